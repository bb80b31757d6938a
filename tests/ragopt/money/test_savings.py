"""Savings: the parts sum to the whole, and each step says what it changed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import CollectionNotFound
from ragopt.domain import TECHNIQUES, BilledCall, Question, Route, Savings, Turn, Usage
from ragopt.money.prices import Prices, priced
from ragopt.money.savings import Compared, SavingsCounter, baseline_context_tokens, baseline_model, savings_of
from ragopt.pipeline import NOTHING_FOUND
from ragopt.results import Generated, Prepared
from ragopt.settings.models import PriceSettings
from ragopt.settings.money import BaselineSettings
from tests.model_calls import CONTEXT, HISTORY, PROMPT
from tests.ragopt.money.questions import deployment

PRICES = Prices()
STRONG = deployment("large", tier="complex", price=PriceSettings(input=Decimal(10), output=Decimal(50)))
WEAK = deployment(
    "small",
    price=PriceSettings(input=Decimal(1), output=Decimal(5), cached_input=Decimal("0.1"), cache_write=Decimal("1.25")),
)
COUNTS = st.integers(min_value=0, max_value=1_000_000)
COMPARED = Compared(
    baseline=priced(STRONG),
    ours=priced(WEAK),
    baseline_context=4_000,
    context=400,
    whole_history=1_000,
    history=200,
    sent=1_000,
    usage=Usage(input_tokens=400, cached_input_tokens=600, output_tokens=100),
    spent_usd=Decimal("0.00096"),
)


def counted(compared: Compared) -> Savings:
    """Return savings that are known."""
    savings = savings_of(compared, PRICES)
    assert savings
    return savings


def test_each_technique_has_its_own_share() -> None:
    """Worked out by hand, in USD: 10 and 50 a million for the baseline, 1, 0.1 and 5 for ours."""
    savings = counted(COMPARED)
    # 400 of ours are instructions and question: 5,400 in and 100 out.
    assert savings.baseline_cost_usd == Decimal("0.059")
    assert savings.by_technique == {
        "context": Decimal("0.036"),
        "history": Decimal("0.008"),
        "prompt": Decimal(0),
        "routing": Decimal("0.0135"),
        "response_cache": Decimal(0),
        "prompt_cache": Decimal("0.00054"),
        "batch": Decimal(0),
        "retries": Decimal(0),
    }
    assert savings.saved_usd == savings.baseline_cost_usd - Decimal("0.00096")


def test_a_batch_saves_half_and_a_retry_costs() -> None:
    """What was paid for calls that did not answer is a loss, told as one."""
    savings = counted(replace(COMPARED, batch=True, spent_usd=Decimal("0.001")))
    assert savings.by_technique["batch"] == Decimal("0.00048")
    assert savings.by_technique["retries"] == Decimal("-0.00052")
    assert savings.saved_usd == savings.baseline_cost_usd - Decimal("0.001")


def test_a_write_that_is_never_read_is_a_loss() -> None:
    """Savings may be negative."""
    written = replace(COMPARED, usage=Usage(cache_write_tokens=1_000, output_tokens=100), spent_usd=Decimal("0.00175"))
    assert counted(written).by_technique["prompt_cache"] == Decimal("-0.00025")


@given(
    tokens=st.fixed_dictionaries(
        dict.fromkeys(("baseline_context", "context", "whole_history", "history", "sent"), COUNTS)
    ),
    usage=st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, cache_write_1h_tokens=COUNTS),
    spent=st.decimals(min_value=0, max_value=100, places=12),
)
def test_the_parts_sum_to_the_whole(tokens: Mapping[str, int], usage: Usage, spent: Decimal) -> None:
    """Whatever was sent, reported and paid, to the last digit."""
    compared = replace(COMPARED, usage=usage, spent_usd=spent, **tokens)
    for made in (compared, replace(compared, batch=True), replace(compared, ours=priced(STRONG))):
        savings = counted(made)
        assert tuple(savings.by_technique) == TECHNIQUES
        assert sum(savings.by_technique.values()) == savings.saved_usd == savings.baseline_cost_usd - spent
        hit = savings.of_hit()
        assert sum(hit.by_technique.values()) == hit.saved_usd == savings.baseline_cost_usd
        assert hit.baseline_cost_usd == savings.baseline_cost_usd


def test_an_unknown_price_anywhere_leaves_no_savings() -> None:
    """Null, never a guess: the baseline's, ours, or what was spent."""
    unknown = priced(deployment(model="stub-ok", price=None))
    for made in (
        replace(COMPARED, baseline=unknown),
        replace(COMPARED, ours=unknown),
        replace(COMPARED, spent_usd=None),
    ):
        assert savings_of(made, PRICES) is None


def test_the_baseline_s_model_is_the_strongest() -> None:
    """The first of the highest tier, unless one is named; free where none is configured."""
    second = deployment("larger", tier="complex", model="gpt-4o")
    assert baseline_model(BaselineSettings(), [WEAK, STRONG, second]) == priced(STRONG)
    assert baseline_model(BaselineSettings(model="small"), [WEAK, STRONG]) == priced(WEAK)
    assert baseline_model(BaselineSettings(), []).provider == "extractive"


class Size:
    """A collection of documents of given sizes, None for one that is gone; counts how often it was asked."""

    def __init__(self, *documents: int | None) -> None:
        self.documents = documents
        self.asked = 0

    async def __call__(self, tenant: str, collection: str, *, most: int) -> list[int]:
        """Return the sizes of at most that many documents."""
        self.asked += 1
        if None in self.documents:
            raise CollectionNotFound(f"{tenant}/{collection}")
        return [size for size in self.documents if size is not None][:most]


def counted_for(size: Size, generated: Generated, *, times: int = 1) -> Savings | None:
    """Return the savings of an answer of a configured service, counted `times` times."""
    counter = SavingsCounter(BaselineSettings(), [WEAK, STRONG], prices=PRICES, document_tokens=size)
    question = Question(CONTEXT.question, "t", history=(*HISTORY, Turn("user", "word " * 50)))
    prepared = Prepared(question, CONTEXT, PROMPT)

    async def run() -> Savings | None:
        return [await counter(prepared, generated) for _ in range(times)][-1]

    return asyncio.run(run())


def answered(*billed: BilledCall, model: str = "small") -> Generated:
    """Return the end of a generation."""
    usage = Usage(cost_usd=Decimal(0))
    route = Route("openai", model, "simple", None, "a test", ())
    return Generated(route, usage, partial=False, abstained=False, billed=billed)


USAGE = Usage(input_tokens=100, output_tokens=10, cost_usd=Decimal("0.00015"))


@pytest.mark.parametrize(
    ("documents", "tokens"),
    [
        ([], 0),
        ([300], 300),
        ([300, 500], 800),
        ([800], 800),
        ([1_000], 800 + 600),
        ([1_200], 800 + 800),
        ([10**6], 4_000),
        ([100] * 50, 500),
        ([10**6, *[100] * 3], 3_996),
    ],
)
def test_the_baseline_s_context_is_chunks_of_the_collection(documents: list[int], tokens: int) -> None:
    """Chunks of 800 that repeat 400, none over the end of a document; five of them, of the usual size."""
    assert baseline_context_tokens(documents, BaselineSettings()) == tokens


def test_a_small_collection_bounds_the_baseline_s_context() -> None:
    """It cannot send more passages than there are; the size of a generation is looked up once."""
    whole, small = Size(1_000_000), Size(50)
    of_whole, of_small = (counted_for(size, answered(BilledCall("small", USAGE)), times=2) for size in (whole, small))
    assert of_whole
    assert of_small
    # 10 USD a million: 4,000 against 50 tokens.
    assert of_whole.baseline_cost_usd - of_small.baseline_cost_usd == Decimal("0.0395")
    assert of_whole.by_technique["history"] > 0
    assert (whole.asked, small.asked) == (1, 1)


def test_the_call_of_the_model_that_answered_is_the_answer_and_the_rest_are_retries() -> None:
    """An escalation pays for the cheaper model's try."""
    dear = Usage(input_tokens=100, output_tokens=10, cost_usd=Decimal("0.0015"))
    savings = counted_for(Size(0), answered(BilledCall("small", USAGE), BilledCall("large", dear), model="large"))
    assert savings
    assert savings.by_technique["retries"] == Decimal("-0.00015")
    assert savings.by_technique["routing"] == 0


def test_an_answer_without_a_model_saves_all_of_the_baseline() -> None:
    """Extractive answers and abstentions cost nothing; what the passages alone saved is still told apart."""
    free = BilledCall("extractive", Usage(output_tokens=10, cost_usd=Decimal(0)))
    for generated in (answered(free, model="extractive"), NOTHING_FOUND):
        savings = counted_for(Size(10_000), generated)
        assert savings
        assert savings.saved_usd == savings.baseline_cost_usd > 0
        assert savings.by_technique["context"] == Decimal(4_000 - CONTEXT.tokens) / 100_000
        assert savings.by_technique["routing"] > 0


def test_an_index_that_does_not_answer_leaves_no_savings() -> None:
    """Counting savings never fails an answer."""
    assert counted_for(Size(None), answered(BilledCall("small", USAGE))) is None
