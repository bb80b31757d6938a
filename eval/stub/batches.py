"""Batches of both providers: how they get on by the stub's clock, and what they come to.

A batch takes `batch_s` seconds: the first tenth it is validated, the last tenth finalised, in between
its requests finish one by one. A request whose model never answers (`hang`, `stall`, `drip`) holds
its batch up until it expires after 24 hours. Results come in another order than the requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from eval.stub.asking import Ask, BadRequestError, Json
from eval.stub.dialects import Dialect
from eval.stub.faults import ENDLESS, chosen_fault, without_fault
from eval.stub.planning import Asked, Outcome, outcome_of
from eval.stub.state import Step, StubState

EXPIRES_S = 86_400
VALIDATED, FINALISED = 0.1, 0.9

Phase: TypeAlias = Literal["validating", "failed", "running", "finalizing", "ended", "expired", "canceling", "canceled"]
Ending: TypeAlias = Literal["done", "expired", "canceled"]


@dataclass(frozen=True, slots=True)
class Item:
    """One request of a batch: what it asks, or why it cannot be asked."""

    custom_id: str
    ask: Ask | None
    error: BadRequestError | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one request; `outcome` None where it never ran."""

    custom_id: str
    ending: Ending
    n: int
    outcome: Outcome | None = None

    @property
    def succeeded(self) -> bool:
        """Return whether there is a reply."""
        return self.outcome is not None and self.outcome.reply is not None


@dataclass(slots=True)
class Batch:
    """One batch.

    created_at, canceled_at: on the stub's clock. errors: why it fails as a whole. shown: what the
    provider's object says besides. results: None until it is over and was looked at.
    """

    id: str
    dialect: Dialect
    account: str
    items: Sequence[Item]
    created_at: float
    duration_s: float
    errors: Sequence[Json] = ()
    shown: Json = field(default_factory=dict)
    canceled_at: float | None = None
    results: list[Result] | None = None

    def phase(self, now: float) -> Phase:
        """Return how far the batch is."""
        progress = self.progress(now)
        if self.canceled_at is not None:
            return "canceling" if now < self.canceled_at + self.duration_s / 10 else "canceled"
        if progress < VALIDATED:
            return "validating"
        if self.errors:
            return "failed"
        if now >= self.created_at + EXPIRES_S:
            return "ended" if not self.held_up else "expired"
        if self.held_up or progress < FINALISED:
            return "running"
        return "finalizing" if progress < 1 else "ended"

    def progress(self, now: float) -> float:
        """Return the share of its time that has passed; more than 1 once it is over."""
        return (now - self.created_at) / self.duration_s if self.duration_s else 1.0

    @property
    def held_up(self) -> bool:
        """Return whether some request never ends."""
        return any(item.ask is not None and fault_of(item.ask) in ENDLESS for item in self.items)

    def finished(self, now: float) -> int:
        """Return how many requests are finished, those that never end not counted."""
        endless = sum(item.ask is not None and fault_of(item.ask) in ENDLESS for item in self.items)
        share = min(1.0, max(0.0, (self.progress(now) - VALIDATED) / (FINALISED - VALIDATED)))
        return int(share * (len(self.items) - endless))


def settled(batch: Batch, state: StubState) -> list[Result] | None:
    """Return the results of a batch that is over, made on first sight; None of one that is not."""
    now = state.now()
    phase = batch.phase(now)
    if phase not in ("ended", "expired", "canceled"):
        return None
    if batch.results is None:
        unfinished: Ending = "canceled" if phase == "canceled" else "expired"
        done = batch.finished(batch.canceled_at) if batch.canceled_at is not None else len(batch.items)
        results = []
        for item in batch.items:
            endless = item.ask is not None and fault_of(item.ask) in ENDLESS
            ending: Ending = unfinished if endless or done <= 0 else "done"
            done -= ending == "done"
            results.append(result_of(item, batch, state=state, ending=ending))
        batch.results = results[::-1]
    return batch.results


def result_of(item: Item, batch: Batch, *, state: StubState, ending: Ending) -> Result:
    """Return what came of one request."""
    n = next(state.numbers)
    if ending != "done":
        return Result(item.custom_id, ending, n)
    if item.ask is None:
        message = str(item.error or "")
        return Result(
            item.custom_id, ending, n, Outcome((), status=400, body=batch.dialect.error(400, message=message))
        )
    step = state.next_step(batch.dialect.name, without_fault(item.ask.model), named=True)
    asked = Asked(item.ask, batch.dialect, fault_of(item.ask, step), batch.account, n, step, batch=True)
    return Result(item.custom_id, ending, n, outcome_of(asked, state))


def fault_of(ask: Ask, step: Step | None = None) -> str:
    """Return the fault of a request in a batch: that of its step, else its model's name tells."""
    return step.fault if step else chosen_fault(ask.model, None, "ok")
