"""Costs from the price table and from overrides."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragopt.domain import Usage
from ragopt.money.prices import OVERRIDE_VERSION, Priced, Prices, table_version
from ragopt.settings.models import PriceSettings

COUNTS = st.integers(min_value=0, max_value=10_000_000)
PRICES = Prices()


def test_table_price_of_uncached_tokens() -> None:
    """gpt-4o-mini costs 0.15 and 0.60 USD per million tokens in and out."""
    usage = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    assert PRICES.cost_usd("openai", "gpt-4o-mini", usage, override=None) == Decimal("0.75")


def test_cached_tokens_are_cheaper_than_input() -> None:
    """Tokens in the cached bucket are priced as cache reads, once."""
    usage = Usage(cached_input_tokens=1_000_000)
    assert PRICES.cost_usd("openai", "gpt-4o-mini", usage, override=None) == Decimal("0.075")


def test_cache_writes_cost_more_than_input() -> None:
    """Anthropic charges 1.25 times the input price for a write of five minutes."""
    plain = PRICES.cost_usd("anthropic", "claude-haiku-4-5", Usage(input_tokens=1000), override=None)
    written = PRICES.cost_usd("anthropic", "claude-haiku-4-5", Usage(cache_write_tokens=1000), override=None)
    assert plain
    assert written == plain * Decimal("1.25")


def test_unknown_model_has_no_price() -> None:
    """Unknown is None, never zero."""
    assert PRICES.cost_usd("openai", "stub-ok", Usage(input_tokens=5), override=None) is None


def test_extractive_answers_are_free() -> None:
    """The built-in provider costs exactly zero."""
    assert PRICES.cost_usd("extractive", "extractive", Usage(output_tokens=50), override=None) == Decimal(0)


def test_override_wins_over_the_table() -> None:
    """The configured price holds for a model the table knows; cached input costs as input unless said."""
    override = PriceSettings(input=Decimal(2), output=Decimal(4))
    usage = Usage(input_tokens=500_000, cached_input_tokens=500_000, output_tokens=1_000_000)
    assert PRICES.cost_usd("openai", "gpt-4o-mini", usage, override=override) == Decimal(6)
    cheaper = PriceSettings(input=Decimal(2), output=Decimal(4), cached_input=Decimal(1))
    assert PRICES.cost_usd("openai", "gpt-4o-mini", usage, override=cheaper) == Decimal("5.5")


@given(COUNTS, COUNTS, COUNTS, COUNTS)
def test_override_is_linear_in_every_bucket(fresh: int, cached: int, written: int, out: int) -> None:
    """The cost is the exact sum of the buckets' costs, without floating point."""
    override = PriceSettings(input=Decimal("0.15"), output=Decimal("0.60"), cached_input=Decimal("0.075"))
    usage = Usage(fresh, cached, written, out)
    parts = (Usage(fresh), Usage(0, cached), Usage(0, 0, written), Usage(0, 0, 0, out))
    costs = [PRICES.cost_usd("openai", "x", part, override=override) or Decimal(0) for part in parts]
    assert PRICES.cost_usd("openai", "x", usage, override=override) == sum(costs)


@pytest.mark.parametrize(
    ("base_url", "model", "usd_per_million"),
    [
        ("https://api.deepseek.com/v1", "deepseek-v4-flash", "0.15"),
        ("https://api.x.ai/v1", "grok-4", "3"),
        ("https://api.groq.com/openai/v1", "llama-3.1-8b-instant", "0.05"),
        ("https://api.openai.com/v1", "gpt-4o-mini", "0.15"),
        ("http://127.0.0.1:9000/v1", "gpt-4o-mini", "0.15"),
        (None, "gpt-4o-mini", "0.15"),
    ],
)
def test_the_address_says_whose_price_holds(base_url: str | None, model: str, usd_per_million: str) -> None:
    """Servers that the table knows have their own prices; any other one is a gateway to the dialect's provider."""
    at = datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
    cost = PRICES.cost(Priced("openai", model, base_url), Usage(input_tokens=1_000_000), at=at)
    assert cost == Decimal(usd_per_million)


def test_a_model_of_another_provider_has_no_price_here() -> None:
    """OpenAI's models do not get OpenAI's price at DeepSeek's address."""
    assert PRICES.cost(Priced("openai", "gpt-4o-mini", "https://api.deepseek.com"), Usage(input_tokens=1)) is None


def test_an_unknown_model_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """One warning names the model, however often it is called."""
    prices = Prices()
    with caplog.at_level(logging.WARNING, "ragopt.money"):
        costs = [prices.cost(Priced("openai", "stub-ok"), Usage(input_tokens=5)) for _ in range(3)]
    assert costs == [None] * 3
    assert [record.args for record in caplog.records] == [("stub-ok", "openai")]


@pytest.mark.parametrize(
    ("provider", "model", "edge"),
    [("anthropic", "claude-haiku-5-5", 100_000), ("openai", "gpt-6.1-sol", 272_000), ("openai", "gpt-4o-mini", None)],
)
def test_past_the_edge_every_token_costs_more(provider: str, model: str, edge: int | None) -> None:
    """The edge is the last cheap prompt: one token more costs far more than that token."""
    priced = Priced(provider, model)
    assert PRICES.edge(priced) == edge
    if edge is not None:
        below, above = (PRICES.cost(priced, Usage(input_tokens=tokens)) or Decimal(0) for tokens in (edge, edge + 1))
        assert above > below * Decimal("1.5")


def test_overridden_and_free_and_unknown_models_have_no_edge() -> None:
    """An override is one price for every size."""
    override = PriceSettings(input=Decimal(1), output=Decimal(1))
    assert PRICES.edge(Priced("anthropic", "claude-haiku-5-5", override=override)) is None
    assert PRICES.edge(Priced("openai", "stub-ok")) is None
    assert PRICES.edge(Priced("extractive", "extractive")) is None


def test_cache_writes_have_configured_prices_by_lifetime() -> None:
    """A write costs as input unless said, one for an hour as one for the shorter lifetime unless said."""
    usage = Usage(cache_write_tokens=1_000_000, cache_write_1h_tokens=1_000_000)
    plain, five, both = (
        PriceSettings.model_validate({"input": 1, "output": 1, **extra})
        for extra in ({}, {"cache_write": 2}, {"cache_write": 2, "cache_write_1h": 3})
    )
    costs = [PRICES.cost(Priced("openai", "x", override=price), usage) for price in (plain, five, both)]
    assert costs == [2, 4, 5]


def test_a_batch_costs_half_and_the_version_says_which_prices_held() -> None:
    """Table, override and free."""
    usage, override = Usage(input_tokens=1_000_000), PriceSettings(input=Decimal(1), output=Decimal(1))
    table, own = Priced("openai", "gpt-4o-mini"), Priced("openai", "gpt-4o-mini", override=override)
    assert [PRICES.cost(priced, usage, batch=True) for priced in (table, own)] == [Decimal("0.075"), Decimal("0.5")]
    free = Priced("extractive", "extractive")
    assert [PRICES.version(priced) for priced in (table, own, free)] == [table_version(), OVERRIDE_VERSION, ""]


@pytest.mark.parametrize(
    ("provider", "model"), [("openai", "gpt-6.1-sol"), ("anthropic", "claude-haiku-5-5"), ("openai", "gpt-4o-mini")]
)
@given(usage=st.builds(Usage, COUNTS, COUNTS, COUNTS, COUNTS, cache_write_1h_tokens=COUNTS), more=COUNTS)
def test_more_tokens_never_cost_less(provider: str, model: str, usage: Usage, more: int) -> None:
    """In any bucket, edges of the price included."""
    priced = Priced(provider, model)
    before = PRICES.cost(priced, usage)
    assert before is not None
    for bucket in ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens"):
        after = PRICES.cost(priced, replace(usage, **{bucket: getattr(usage, bucket) + more}))
        assert after is not None
        assert after >= before
