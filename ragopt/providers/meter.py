"""What sees the money of every attempt at a model call."""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

from ragopt.domain import Outcome, Question, Usage
from ragopt.providers.deployment import Deployment
from ragopt.providers.protocol import CompletionRequest


class Reservation(Protocol):
    """Money set aside for one attempt. Neither method raises; exactly one of them is called, once."""

    async def settle(self, usage: Usage, cost_usd: Decimal | None, outcome: Outcome, *, error: str = "") -> None:
        """Write down what an attempt that was sent used, nothing included, and give back the rest.

        cost_usd: None where no price is known. error: the code of its failure, "" for none.
        """

    async def release(self) -> None:
        """Give all of it back: nothing was sent."""


class Meter(Protocol):
    """Sees every attempt before it is made and after it has ended."""

    async def reserve(self, deployment: Deployment, request: CompletionRequest, question: Question) -> Reservation:
        """Return what the attempt may cost at most, set aside. Raises: `BudgetSpent` if that is not there."""


class Unmetered:
    """The meter, and the reservation, of calls that no budget bounds."""

    async def reserve(self, deployment: Deployment, request: CompletionRequest, question: Question) -> Reservation:  # noqa: ARG002
        """Return itself."""
        return self

    async def settle(self, usage: Usage, cost_usd: Decimal | None, outcome: Outcome, *, error: str = "") -> None:
        """Do nothing."""

    async def release(self) -> None:
        """Do nothing."""
