"""What a call costs, from the price table of `genai-prices`: never a constant in code."""

from __future__ import annotations

from decimal import Decimal

from ragopt.config import PriceSettings
from ragopt.domain import Usage

MILLION = Decimal(1_000_000)
FREE_PROVIDERS = frozenset({"extractive"})


class Prices:
    """Prices of models; the table is loaded on first use, which blocks for about a third of a second."""

    def cost_usd(self, provider: str, model: str, usage: Usage, *, override: PriceSettings | None) -> Decimal | None:
        """Return the exact cost of `usage` in USD, None where no price is known.

        provider: `openai`, `anthropic` or `extractive`, which costs nothing. model: the provider's
        name. override: wins over the table.
        """
        if provider in FREE_PROVIDERS:
            return Decimal(0)
        if override is not None:
            return overridden_cost_usd(usage, override)
        return table_cost_usd(provider, model, usage)


def overridden_cost_usd(usage: Usage, price: PriceSettings) -> Decimal:
    """Return the cost at configured prices; cached input costs as input unless said, a cache write always does."""
    cached_price = price.input if price.cached_input is None else price.cached_input
    full_price_tokens = usage.input_tokens + usage.cache_write_tokens + usage.cache_write_1h_tokens
    total = (
        full_price_tokens * price.input + usage.cached_input_tokens * cached_price + usage.output_tokens * price.output
    )
    return total / MILLION


def table_cost_usd(provider: str, model: str, usage: Usage) -> Decimal | None:
    """Return the cost by the price table, None for a model it does not know.

    The table's `input_tokens` are all of the input and its `cache_write_tokens` all of the writes; ours are disjoint.
    Source: genai-prices 0.2.3.
    """
    from genai_prices import Usage as PricedUsage
    from genai_prices import calc_price

    priced = PricedUsage(
        input_tokens=usage.total_input_tokens,
        cache_read_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens + usage.cache_write_1h_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        output_tokens=usage.output_tokens,
    )
    try:
        return calc_price(priced, model, provider_id=provider).total_price
    except LookupError:
        return None
