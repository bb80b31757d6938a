"""What the tests of money share: models, calls and questions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal

from ragopt.domain import Question, Tier, Usage
from ragopt.providers.deployment import Deployment
from ragopt.providers.protocol import CompletionRequest, ProviderEvent
from ragopt.settings.models import PriceSettings
from ragopt.settings.money import BudgetSettings
from tests.model_calls import call

PRICE = PriceSettings(input=Decimal(1), output=Decimal(10))


class NamedProvider:
    """A provider that is never called."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def stream(self, request: CompletionRequest) -> AsyncIterator[ProviderEvent]:
        """Raise: nothing here calls a model."""
        raise AssertionError(request.model)
        yield

    async def connected(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


def deployment(
    name: str = "small",
    *,
    provider: str = "openai",
    model: str = "gpt-4o-mini",
    tier: Tier = "simple",
    price: PriceSettings | None = PRICE,
) -> Deployment:
    """Return a configured model that cannot be called."""
    return Deployment(name, NamedProvider(provider), model, tier, timeout_s=10, price=price)


def question(
    tenant: str = "acme", *, key_id: str = "k1", trusted: frozenset[str] = frozenset(), **labels: str
) -> Question:
    """Return a question of a key, with its labels."""
    return Question(
        "How long do cats sleep?", tenant, labels=labels, trusted_labels=trusted, key_id=key_id, answer_id="ans_1"
    )


def budget(scope: str = "tenant", *, day: str | None = "1.00", month: str | None = None, **more: str) -> BudgetSettings:
    """Return an entry of `[[budgets]]`."""
    return BudgetSettings.model_validate({"scope": scope, "usd_per_day": day, "usd_per_month": month, **more})


REQUEST = call("gpt-4o-mini")
USED = Usage(input_tokens=100, output_tokens=20)
