"""Costs from the price table and from overrides."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from ragopt.config import PriceSettings
from ragopt.domain import Usage
from ragopt.money.prices import Prices

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
