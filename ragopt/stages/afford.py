"""The answer that a spent budget leaves, where the operator wants one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace

from ragopt.domain import Attempt, BilledCall
from ragopt.errors import BudgetSpent, InvalidRequest
from ragopt.ports import Generate
from ragopt.providers.deployment import Deployment, first_of_each_tier
from ragopt.providers.protocol import TextDelta
from ragopt.providers.usage import total_usage
from ragopt.results import Generated, Prepared, Shortened, Written
from ragopt.telemetry import ModelCall, Trace


@dataclass(frozen=True, slots=True)
class GenerateWithinBudget:
    """Answers by what is planned, then as `when_spent` says; satisfies `ragopt.ports.Generate`.

    planned: raises `BudgetSpent` if no budget pays for what it plans. extractive: answers from the passages,
    which costs nothing. deployments: those configured.
    """

    planned: Generate
    extractive: Generate
    deployments: Sequence[Deployment]

    async def __call__(self, prepared: Prepared, *, trace: Trace) -> Written:
        """Yield deltas of one model, then one `Generated`, whose route says where a budget decided.

        Raises: what `planned` raises; `BudgetSpent` where the budget leaves no answer.
        """
        run = _Run(self, prepared, trace, known=len(trace.calls))
        for model in (prepared.question.model, *self._cheaper(prepared.question.model)):
            async with aclosing(run.attempt(model)) as events:
                async for event in events:
                    yield event
            if run.ended:
                return
        async with aclosing(run.left()) as events:
            async for event in events:
                yield event

    def _cheaper(self, model: str) -> list[str]:
        """Return the first model of each tier, the dearest first, without the one that was asked for."""
        return [item.name for item in first_of_each_tier(self.deployments) if item.name != model]


@dataclass(slots=True)
class _Run:
    """One answer under way; spent: the first budget that did not pay. known: calls that the trace had before it."""

    stage: GenerateWithinBudget
    prepared: Prepared
    trace: Trace
    known: int
    spent: BudgetSpent | None = None
    ended: bool = False

    async def attempt(self, model: str) -> Written:
        """Yield the answer by one model's plan; nothing where no budget pays for it, or it is not to be asked."""
        if self.spent is not None and self.spent.when_spent != "cheaper_tier":
            return
        asked = replace(self.prepared, question=replace(self.prepared.question, model=model))
        with self.refusals():
            async with aclosing(self.stage.planned(asked, trace=self.trace)) as events:
                async for event in events:
                    yield self.told(event)
            self.ended = True

    @contextmanager
    def refusals(self) -> Iterator[None]:
        """Keep what a budget says in the block; a cheaper model that this key may not have is passed over."""
        try:
            yield
        except BudgetSpent as error:
            self.spent = self.spent or root_of(error)
            # Also what keeps the lesser answer out of the response cache.
            self.trace.fell_back("afford", self.spent.detail)
        except InvalidRequest:
            if self.spent is None:
                raise

    async def left(self) -> Written:
        """Yield the answer that the budget leaves. Raises: `BudgetSpent` where it leaves none."""
        if self.spent is None or self.spent.when_spent in {"refuse", "cached_only"}:
            raise self.spent or BudgetSpent("no model is planned")
        async with aclosing(self.stage.extractive(self.prepared, trace=self.trace)) as events:
            async for event in events:
                yield self.told(event)

    def told(self, event: TextDelta | Shortened | Generated) -> TextDelta | Shortened | Generated:
        """Return the event; the last one says which budget decided, if one did, and counts what was asked before."""
        if self.spent is None or not isinstance(event, Generated):
            return event
        # The calls of the model that answers are not in the trace yet: these are of the plans that a budget ended.
        before = self.trace.calls[self.known :]
        billed = (*(BilledCall(call.model, call.usage) for call in before if call.usage), *event.billed)
        route = replace(
            event.route,
            reason=f"{self.spent.detail}; {event.route.reason}",
            attempts=(*(attempt_of(call) for call in before), *event.route.attempts),
        )
        usage = total_usage([*(call.usage for call in before if call.usage), event.usage])
        return replace(event, route=route, usage=usage, billed=billed)


def attempt_of(call: ModelCall) -> Attempt:
    """Return a call of the trace as the route tells it."""
    return Attempt(call.model, call.outcome, call.error, 1000 * (call.end_s - call.start_s))


def root_of(error: BudgetSpent) -> BudgetSpent:
    """Return the budget's own error under one that sums up several models."""
    return error.__cause__ if isinstance(error.__cause__, BudgetSpent) else error
