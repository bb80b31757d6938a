"""What working on batches takes, and the small steps that several files share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from indexes.errors import IndexingError
from ragopt.audit.events import answered
from ragopt.audit.trail import Audit, NoAudit
from ragopt.domain import Answer, Question
from ragopt.errors import (
    KeyRefused,
    ModelPaused,
    ProviderError,
    ProviderRejected,
    QuotaSpent,
    RagoptError,
    StateUnavailable,
)
from ragopt.money.ledger import row_of
from ragopt.money.meter import BudgetMeter, BudgetReservation
from ragopt.money.prices import Prices
from ragopt.pipeline import Pipeline
from ragopt.providers.batches.protocol import LIMITS, BatchCall, BatchLimits, BatchProvider
from ragopt.providers.call import ModelCaller
from ragopt.providers.deployment import Deployment, Gate, Inspect, Planner
from ragopt.providers.health import Verdict
from ragopt.settings.batch import BatchSettings
from ragopt.state.accounts import Accounts
from ragopt.state.batch_records import BatchItem, BatchResult, Half, SharedCall
from ragopt.state.batches import Batches

T = TypeVar("T")
FLUSH_S = 10.0


@dataclass(frozen=True, slots=True)
class Desk:
    """What working on batches takes.

    inspect: finds what an answer has to pass, as it does live.
    providers: the batch APIs by the name of the deployment; one that is not among them is asked live.
    request_s: most seconds of one live answer. limits: of one provider's batch, by dialect.
    """

    store: Batches
    pipeline: Pipeline
    plan: Planner
    gate: Gate
    inspect: Inspect
    caller: ModelCaller
    accounts: Accounts
    deployments: Mapping[str, Deployment]
    providers: Mapping[str, BatchProvider]
    rules: BatchSettings
    max_output_tokens: int
    request_s: float
    limits: Mapping[str, BatchLimits] = field(default_factory=lambda: LIMITS)
    audit: Audit = field(default_factory=NoAudit)

    @property
    def meter(self) -> BudgetMeter:
        """Return what sees the money."""
        return self.accounts.meter

    @property
    def prices(self) -> Prices:
        """Return the prices."""
        return self.accounts.prices

    def call(self, batch_id: str, call: SharedCall, *, item: BatchItem, half: Half) -> BatchCall:
        """Return the call of a deployment for a request, as it goes into a provider's batch."""
        limit = item.question.max_output_tokens or self.max_output_tokens
        deployment, prompt, draft = self.deployments[call.deployment], half.prompt, call.draft
        if draft is not None and draft.flaw is not None:
            prompt = prompt.corrected(draft.text, draft.flaw.correction)
        request = deployment.request(prompt, half.context, max_output_tokens=min(limit, self.max_output_tokens))
        return BatchCall(sent_name(batch_id, call), request)

    def reservation(self, batch_id: str, call: SharedCall, question: Question) -> BudgetReservation:
        """Return the money of a call, as it was planned."""
        deployment = self.deployments[call.deployment]
        return BudgetReservation(sent_name(batch_id, call), deployment, question, call.hold, self.meter, batch=True)

    def wrote(self, answer: Answer, question: Question) -> None:
        """Write an answer down: in the books once however often, in the audit log each time."""
        self.accounts.ledger.answered(row_of(answer, question, at=self.store.now()), batch=True)
        self.accounts.costs.saw(question.tenant)
        self.audit.record(answered(answer, question, batch=True))

    async def flush(self) -> None:
        """Return once all money is counted. Raises: `StateUnavailable`."""
        if not await self.accounts.outbox.flush(within_s=FLUSH_S):
            raise StateUnavailable("Redis has not taken what was spent")

    async def through(self, deployment: Deployment, step: Callable[[], Awaitable[T]]) -> T:
        """Return what one request to a provider returns, made through the deployment's circuit breaker.

        Raises: `ModelPaused` while the breaker is open, and what the request raises.
        """
        breaker = self.caller.target(deployment).breaker
        era = breaker.enter()
        if era is None:
            raise ModelPaused(f"{deployment.name} was not asked: its circuit breaker is open")
        verdict: Verdict = "unknown"
        try:
            value = await step()
            verdict = "ok"
        except ProviderError as error:
            verdict = verdict_of(error)
            raise
        finally:
            breaker.leave(era, verdict)
        return value


def verdict_of(error: ProviderError) -> Verdict:
    """Return what a failure says of its model."""
    if isinstance(error, QuotaSpent):
        return "spent"
    return "ok" if isinstance(error, ProviderRejected) and not isinstance(error, KeyRefused) else "failed"


def sent_name(batch_id: str, call: SharedCall) -> str:
    """Return by what a provider knows the call: no other call of any batch has it."""
    return f"{batch_id}-{call.name}"


def failed(item: BatchItem, error: RagoptError | IndexingError) -> BatchResult:
    """Return the result of a request that failed."""
    return BatchResult(item.custom_id, None, "none", (error.code, error.detail or error.code))
