"""Usage objects as the providers report them, against buckets and costs worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices import extract_usage
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from ragopt.domain import Usage
from ragopt.money.prices import Prices
from ragopt.providers.usage import anthropic_usage, openai_usage


@dataclass(frozen=True)
class Golden:
    """One file: where the shape is from, the usage as reported, what it must come to; `sum` shows the arithmetic."""

    source: str
    provider: str
    model: str
    usage: dict[str, object]
    buckets: dict[str, int]
    cost_usd: Decimal | None
    sum: str
    batch: bool = False


FILES = sorted((Path(__file__).parent / "golden").glob("*.json"))
GOLDEN = {path.stem: TypeAdapter(Golden).validate_json(path.read_bytes()) for path in FILES}
PRICED = [name for name, golden in GOLDEN.items() if golden.cost_usd is not None]
READERS = {"openai": openai_usage, "anthropic": anthropic_usage}
PRICES = Prices()
COUNTS = st.integers(min_value=0, max_value=1_000_000)


def read(golden: Golden) -> Usage:
    """Return the usage in our buckets."""
    usage = READERS[golden.provider](golden.usage)
    assert usage
    return usage


@pytest.mark.parametrize("name", GOLDEN)
def test_buckets_are_disjoint_and_complete(name: str) -> None:
    """Every token stands in one bucket, and reasoning is told as a part of the output."""
    usage = read(GOLDEN[name])
    assert {bucket: getattr(usage, bucket) for bucket in GOLDEN[name].buckets} == GOLDEN[name].buckets


@pytest.mark.parametrize("name", GOLDEN)
def test_cost_has_no_error(name: str) -> None:
    """The cost by the price table is the one worked out by hand, to the last digit; a batch costs half."""
    golden = GOLDEN[name]
    cost = PRICES.cost_usd(golden.provider, golden.model, read(golden), override=None)
    assert (cost / 2 if cost is not None and golden.batch else cost) == golden.cost_usd


@pytest.mark.parametrize("name", PRICED)
def test_price_tables_own_reader_agrees(name: str) -> None:
    """genai-prices reads the reported object itself and comes to the same cost."""
    golden = GOLDEN[name]
    flavor = "chat" if golden.provider == "openai" else "default"
    response = {"model": golden.model, "usage": golden.usage}
    theirs = extract_usage(response, provider_id=golden.provider, api_flavor=flavor).calc_price().total_price
    assert theirs == PRICES.cost_usd(golden.provider, golden.model, read(golden), override=None)


def test_shapes_of_both_providers_are_there() -> None:
    """Plain, cached, written, reasoning, batch and both sides of a price edge, for each provider."""
    for provider in READERS:
        found = [name for name, golden in GOLDEN.items() if golden.provider == provider]
        assert len(found) >= 6
        assert {f"{provider}_{shape}" for shape in ("plain", "batch", "below_edge", "above_edge")} <= set(found)


@given(fresh=COUNTS, cached=COUNTS, written=COUNTS, output=COUNTS)
def test_same_call_reads_the_same_from_both_providers(*, fresh: int, cached: int, written: int, output: int) -> None:
    """OpenAI includes in the prompt what was cached and Anthropic does not: the buckets are the same."""
    openai = openai_usage(
        {
            "prompt_tokens": fresh + cached + written,
            "completion_tokens": output,
            "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        }
    )
    anthropic = anthropic_usage(
        {
            "input_tokens": fresh,
            "output_tokens": output,
            "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": written,
        }
    )
    assert openai == anthropic
    assert openai
    assert openai.total_input_tokens == fresh + cached + written


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.dictionaries(st.sampled_from(["cached_tokens", "reasoning_tokens", "x"]), inner, max_size=3),
    max_leaves=5,
)
KEYS = ["prompt_tokens", "completion_tokens", "total_tokens", "prompt_tokens_details", "completion_tokens_details"]


@given(reported=st.dictionaries(st.sampled_from([*KEYS, "input_tokens", "output_tokens"]), NESTED))
def test_no_report_makes_a_negative_bucket(reported: Mapping[str, object]) -> None:
    """Whatever a server calls its usage, it is read as counts of at least 0, or not at all."""
    for reader in READERS.values():
        usage = reader(reported)
        counts = [] if usage is None else [getattr(usage, bucket) for bucket in GOLDEN["openai_plain"].buckets]
        assert all(count >= 0 for count in counts)


def test_golden_files_are_read_as_they_are_written() -> None:
    """No file holds a field that no test looks at."""
    known = set(Golden.__dataclass_fields__)
    assert [path.name for path in FILES if not set(json.loads(path.read_bytes())) <= known] == []
