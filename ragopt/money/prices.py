"""What a call costs, from the price table of `genai-prices`: never a constant in code."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from ragopt.domain import Usage
from ragopt.providers.deployment import Deployment
from ragopt.settings.models import PriceSettings

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

LOGGER = logging.getLogger("ragopt.money")
MILLION = Decimal(1_000_000)
# Source: OpenAI Batch API and Anthropic Message Batches, pricing: half of the same tokens' price.
BATCH_FACTOR = Decimal("0.5")
FREE_PROVIDERS = frozenset({"extractive"})
# Our count is in o200k_base, which is OpenAI's own but for what its chat format adds. Other tokenizers count more.
OWN_TOKENIZER, OTHER_TOKENIZER = Decimal("1.01"), Decimal("1.5")
OVERRIDE_VERSION = "ragopt.toml"


@dataclass(frozen=True, slots=True)
class Priced:
    """A model as the price table looks it up.

    provider: the dialect, `openai`, `anthropic` or `extractive`. model: the provider's name. base_url: where
    it is served, None at the dialect's own provider. override: wins over the table.
    """

    provider: str
    model: str
    base_url: str | None = None
    override: PriceSettings | None = None


def priced(deployment: Deployment) -> Priced:
    """Return the deployment as the price table looks it up."""
    return Priced(deployment.provider.name, deployment.model, deployment.base_url, deployment.price)


def tokenizer_margin(deployment: Deployment) -> Decimal:
    """Return how many tokens the deployment may count at most for one of ours."""
    own = deployment.provider.name == "openai" and deployment.base_url is None
    return OWN_TOKENIZER if own else OTHER_TOKENIZER


class Prices:
    """Prices of models; the table is loaded on first use, see `load_table`."""

    def __init__(self) -> None:
        self._unknown: set[tuple[str, str]] = set()

    def cost_usd(
        self,
        provider: str,
        model: str,
        usage: Usage,
        *,
        override: PriceSettings | None,
        base_url: str | None = None,
    ) -> Decimal | None:
        """Return the exact cost of `usage` in USD, None where no price is known.

        provider: `openai`, `anthropic` or `extractive`, which costs nothing. model: the provider's
        name. override: wins over the table. base_url: where it is served; a provider that the table knows
        by its address is looked up under its own name.
        """
        return self.cost(Priced(provider, model, base_url, override), usage)

    def cost(self, priced: Priced, usage: Usage, *, batch: bool = False, at: datetime | None = None) -> Decimal | None:
        """Return the exact cost of `usage` in USD, None where no price is known: logged once, never 0.

        batch: through the provider's batch API. at: when, as some prices change with date and hour; default now.
        """
        if priced.provider in FREE_PROVIDERS:
            return Decimal(0)
        if priced.override is not None:
            total: Decimal | None = overridden_cost_usd(usage, priced.override)
        else:
            total = table_cost_usd(priced, usage, at=at)
        if total is None:
            self._tell_unknown(priced)
            return None
        return total * BATCH_FACTOR if batch else total

    def edge(self, priced: Priced, *, at: datetime | None = None) -> int | None:
        """Return the most input tokens at the base price: with one more, every token of the call costs more.

        None where the price has no such edge or is not known.
        """
        found = None if priced.provider in FREE_PROVIDERS or priced.override else found_model(priced)
        if found is None:
            return None
        prices = found[1].get_prices(at or datetime.now(UTC))
        starts = [tier.start for price in vars(prices).values() for tier in getattr(price, "tiers", ())]
        return min(starts, default=None)

    def version(self, priced: Priced) -> str:
        """Return which prices hold for the model: the table with its version, `ragopt.toml`, or "" for free ones."""
        if priced.provider in FREE_PROVIDERS:
            return ""
        return OVERRIDE_VERSION if priced.override is not None else table_version()

    def _tell_unknown(self, priced: Priced) -> None:
        """Log a model without a price, once in the life of this object."""
        name = (priced.provider, priced.model)
        if name not in self._unknown:
            self._unknown.add(name)
            LOGGER.warning(
                "no price is known for %s of %s: its cost is null; set `price` in ragopt.toml",
                priced.model,
                priced.base_url or priced.provider,
            )


def overridden_cost_usd(usage: Usage, price: PriceSettings) -> Decimal:
    """Return the cost at configured prices."""
    cached = price.input if price.cached_input is None else price.cached_input
    written = price.input if price.cache_write is None else price.cache_write
    written_1h = written if price.cache_write_1h is None else price.cache_write_1h
    total = (
        usage.input_tokens * price.input
        + usage.cached_input_tokens * cached
        + usage.cache_write_tokens * written
        + usage.cache_write_1h_tokens * written_1h
        + usage.output_tokens * price.output
    )
    return total / MILLION


def table_cost_usd(priced: Priced, usage: Usage, *, at: datetime | None = None) -> Decimal | None:
    """Return the cost by the price table, None for a model it does not know.

    The table's `input_tokens` are all of the input and its `cache_write_tokens` all of the writes; ours are disjoint.
    Source: genai-prices 0.2.3.
    """
    from genai_prices import Usage as PricedUsage

    found = found_model(priced)
    if found is None:
        return None
    provider, model = found
    tokens = PricedUsage(
        input_tokens=usage.total_input_tokens,
        cache_read_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens + usage.cache_write_1h_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        output_tokens=usage.output_tokens,
    )
    moment = at or datetime.now(UTC)
    return model.calc_price(tokens, provider, genai_request_timestamp=moment).total_price


def found_model(priced: Priced) -> tuple[Provider, ModelInfo] | None:
    """Return the table's entry of a model, None if it has none.

    An address that the table knows (DeepSeek's, xAI's) says whose model it is; any other one is taken for a
    gateway to the dialect's own provider.
    """
    from genai_prices.data_snapshot import get_snapshot

    snapshot = get_snapshot()
    try:
        provider = snapshot.find_provider(None, None, priced.base_url) if priced.base_url else None
    except LookupError:
        provider = None
    try:
        return snapshot.find_provider_model(priced.model, provider, None if provider else priced.provider, None)
    except LookupError:
        return None


def load_table() -> None:
    """Load the price table, which takes about half a second: an answer would wait for it otherwise."""
    found_model(Priced("openai", "gpt-4o"))


def table_version() -> str:
    """Return the price table's name and version."""
    import genai_prices

    return f"genai-prices {genai_prices.__version__}"
