"""The models of a lineup by tier, and what their tokens cost: of 2024, and today's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from ragopt.domain import TIER_RANK, Tier, Usage
from ragopt.money.prices import Priced, Prices
from ragopt.providers.capabilities import Capabilities, capabilities_of
from ragopt.settings.models import PriceSettings

# Prices are linear below a model's price edge, and no prompt of the replay comes near one.
PROBE_TOKENS = 1_000


@dataclass(frozen=True, slots=True)
class Rate:
    """What one token of a model costs in USD, by bucket, and how its provider caches.

    lifetime_s: how long a beginning is kept after it was last sent.
    """

    name: str
    input: float
    cached: float
    written: float
    output: float
    min_cache_tokens: int
    lifetime_s: float

    def cost(self, *, sent: int, cached: int = 0, written: int = 0, output: int = 0) -> float:
        """Return the cost of a call; `sent` is all of its input, `cached` and `written` are parts of it."""
        plain = sent - cached - written
        return plain * self.input + cached * self.cached + written * self.written + output * self.output


def dollars(million: str) -> Decimal:
    """Return USD per million tokens."""
    return Decimal(million)


# Source: the providers' price pages of late 2024, as the target of the project names them. Reads of OpenAI's automatic
# cache were at half price then, and writing was free.
LINEUP_2024: Mapping[Tier, Priced] = MappingProxyType(
    {
        "simple": Priced(
            "openai",
            "gpt-4o-mini",
            None,
            PriceSettings(input=dollars("0.15"), cached_input=dollars("0.075"), output=dollars("0.60")),
        ),
        "medium": Priced(
            "anthropic",
            "claude-3-5-haiku",
            None,
            PriceSettings(
                input=dollars("0.80"),
                cached_input=dollars("0.08"),
                cache_write=dollars("1.00"),
                output=dollars("4.00"),
            ),
        ),
        "complex": Priced(
            "openai",
            "gpt-4o",
            None,
            PriceSettings(input=dollars("2.50"), cached_input=dollars("1.25"), output=dollars("10.00")),
        ),
    }
)
LINEUP_TODAY: Mapping[Tier, Priced] = MappingProxyType(
    {
        "simple": Priced("openai", "gpt-6-luna"),
        "medium": Priced("openai", "gpt-6.1-terra"),
        "complex": Priced("openai", "gpt-6.1-sol"),
    }
)
LINEUPS: Mapping[str, Mapping[Tier, Priced]] = MappingProxyType({"2024": LINEUP_2024, "today": LINEUP_TODAY})
# Automatic caches of that time kept a beginning for minutes. Source: OpenAI, prompt caching, 2024: 5 to 10 minutes.
AUTOMATIC_LIFETIME_S = 300.0


def rates_of(lineup: Mapping[Tier, Priced]) -> dict[Tier, Rate]:
    """Return the rate of each tier. Raises: `LookupError` for a model without a known price."""
    prices = Prices()
    return {tier: rate_of(lineup[tier], prices) for tier in TIER_RANK}


def rate_of(model: Priced, prices: Prices) -> Rate:
    """Return what a model's tokens cost. Raises: `LookupError` if no price is known."""
    probes = {
        "input": Usage(input_tokens=PROBE_TOKENS),
        "cached": Usage(cached_input_tokens=PROBE_TOKENS),
        "written": Usage(cache_write_tokens=PROBE_TOKENS),
        "output": Usage(output_tokens=PROBE_TOKENS),
    }
    costs = {name: prices.cost(model, usage) for name, usage in probes.items()}
    if None in costs.values():
        raise LookupError(f"no price is known for {model.model}")
    takes = capabilities_of(model.provider, model.model)
    each = {name: float(cost or 0) / PROBE_TOKENS for name, cost in costs.items()}
    return Rate(model.model, **each, min_cache_tokens=takes.min_cache_tokens, lifetime_s=lifetime_s(takes))


def lifetime_s(takes: Capabilities) -> float:
    """Return how long the provider keeps what was sent; 0 where it caches nothing."""
    if takes.prompt_caching == "none":
        return 0.0
    return float(takes.cache_lifetimes_s[0]) if takes.cache_lifetimes_s else AUTOMATIC_LIFETIME_S
