"""The answer text, from the first of the planned models that delivers."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace

from ragopt.domain import BilledCall, Route
from ragopt.errors import BudgetSpent, ProviderError
from ragopt.pipeline import ABSTENTION
from ragopt.providers.attempt import Tried
from ragopt.providers.call import ModelCaller
from ragopt.providers.deployment import Deployment, Gate, Plan, Planner, above
from ragopt.providers.prefixes import PrefixPlanner
from ragopt.providers.protocol import NO_MARKS, Completed, CompletionRequest, ProviderEvent, TextDelta
from ragopt.providers.usage import total_usage
from ragopt.results import Generated, Prepared
from ragopt.telemetry import ModelCall, Trace


class GenerateWithFallback:
    """Calls the planned models in turn until one has begun to answer; satisfies `ragopt.ports.Generate`."""

    def __init__(
        self, plan: Planner, *, caller: ModelCaller, max_output_tokens: int, prefixes: PrefixPlanner | None = None
    ) -> None:
        self._plan = plan
        self._prefixes = prefixes
        self._caller = caller
        self._max_output_tokens = max_output_tokens

    async def __call__(self, prepared: Prepared, *, trace: Trace) -> AsyncGenerator[TextDelta | Generated, None]:
        """Yield deltas of one model, then one `Generated`; closing the iterator ends the model call.

        Nothing is yielded until a model has delivered text, so that retries and falling back are never
        seen. After that an error ends the answer as partial: two models are never spliced.

        A cheap model's answer is held until the plan's gate has passed it; one that fails goes up a tier.

        Raises: `UnknownModel`, `ModelNotAllowed`; `ProviderError` or `BudgetSpent`, of the kind of the last one, if
        every model failed.
        """
        with trace.stage("route"):
            plan = self._plan(prepared)
        run = _Run(
            prepared=prepared,
            plan=plan,
            trace=trace,
            caller=self._caller,
            max_output_tokens=self._output_limit(prepared),
            prefixes=self._prefixes,
        )
        with trace.stage("generate"), run.traced():
            async with aclosing(run.events()) as events:
                async for event in events:
                    yield event

    def _output_limit(self, prepared: Prepared) -> int:
        asked = prepared.question.max_output_tokens
        return self._max_output_tokens if asked is None else min(asked, self._max_output_tokens)


@dataclass(slots=True)
class Held:
    """A cheap model's text while the gate has not passed it. flaw: why it never will, None while that is open."""

    gate: Gate
    prepared: Prepared
    text: str = ""
    flaw: str | None = None
    open: bool = False

    def passed(self, text: str, *, ended: bool) -> str:
        """Return what may be released after `text`: all that was held once the gate has passed it, "" before.

        The gate judges the opening of an answer that is streamed to the caller, else the whole answer.
        """
        if self.open or self.flaw:
            return text if self.open else ""
        self.text += text
        if not ended and not (self.prepared.question.streamed and self.gate.ready(self.text)):
            return ""
        self.flaw = self.gate.flaw(self.text, self.prepared.context)
        self.open = self.flaw is None
        return self.text if self.open else ""


@dataclass(slots=True)
class _Run:
    """The attempts at one answer. completed: the terminal event; errors: of each model that failed."""

    prepared: Prepared
    plan: Plan
    trace: Trace
    caller: ModelCaller
    max_output_tokens: int
    prefixes: PrefixPlanner | None = None
    tried: list[Tried] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    completed: Completed | None = None
    errors: list[ProviderError | BudgetSpent] = field(default_factory=list)
    started_s: float = field(default_factory=time.perf_counter)
    held: Held | None = None
    rejected: Deployment | None = None

    async def events(self) -> AsyncGenerator[TextDelta | Generated, None]:
        """Yield what the first model that delivers has to say. Raises: `ProviderError`, `BudgetSpent` if none does."""
        deployments = self.caller.shared(self.plan.deployments)
        for number, deployment in enumerate(deployments, 1):
            if self.rejected and not above(deployment, self.rejected):
                continue
            gated = any(above(later, deployment) for later in deployments[number:])
            self.held = Held(self.plan.gate, self.prepared) if self.plan.gate and gated else None
            async with aclosing(self.attempt(deployment, spare=number < len(deployments))) as events:
                async for event in events:
                    yield event
            if self.texts:
                return
            if self.caller.is_over(self.trace.ends):
                break
        async with aclosing(self.last_resort()) as events:
            async for event in events:
                yield event

    async def last_resort(self) -> AsyncGenerator[TextDelta | Generated, None]:
        """Yield what the rejected model has to say: better than an error. Raises: the failure if it has nothing."""
        if self.rejected:
            self.held = None
            async with aclosing(self.attempt(self.rejected, spare=False)) as events:
                async for event in events:
                    yield event
        if not self.texts:
            raise self.failure()

    async def attempt(self, deployment: Deployment, *, spare: bool) -> AsyncGenerator[TextDelta | Generated, None]:
        """Yield the deltas of one model and `Generated`; nothing if it failed before its first text."""
        self.completed = None
        async with self.opened(deployment, spare=spare) as events:
            async for event in events:
                if text := self.released(event):
                    yield TextDelta(text)
                if self.held and self.held.flaw:
                    break
        if self.held and self.held.flaw:
            self.rejected = deployment
            attempt = replace(self.tried[-1].attempt, outcome="rejected", detail=self.held.flaw)
            self.tried[-1] = replace(self.tried[-1], attempt=attempt)
        if self.texts:
            yield self.generated(deployment)

    @asynccontextmanager
    async def opened(self, deployment: Deployment, *, spare: bool) -> AsyncIterator[AsyncIterator[ProviderEvent]]:
        """Open the model's stream for the block and close it at its end; a failure ends the block and is kept."""
        events = self.caller.stream(
            deployment,
            self.request(deployment),
            question=self.prepared.question,
            tried=self.tried,
            deadline_s=self.trace.ends,
            spare=spare,
        )
        async with aclosing(events):
            try:
                yield events
            except (ProviderError, BudgetSpent) as error:
                self.errors.append(error)

    def request(self, deployment: Deployment) -> CompletionRequest:
        """Return the call of `deployment`, marked where its provider is to cache the prompt."""
        prompt = self.prepared.prompt
        cache = self.prefixes.plan(deployment, prompt, question=self.prepared.question) if self.prefixes else NO_MARKS
        self.trace.note(cache_marks=len(cache.after))
        context, limit = self.prepared.context, self.max_output_tokens
        return deployment.request(prompt, context, max_output_tokens=limit, cache=cache)

    def released(self, event: ProviderEvent) -> str:
        """Return the text to release, and keep it; keeps the terminal event."""
        if isinstance(event, Completed):
            self.completed = event
        text = event.text if isinstance(event, TextDelta) else ""
        text = self.held.passed(text, ended=isinstance(event, Completed)) if self.held else text
        if isinstance(event, Completed) and not (self.held and self.held.flaw):
            self.trace.note(model_served=event.model_served, stop=event.stop)
        if text and not self.texts:
            now_s = time.perf_counter()
            self.trace.note(
                ttft_ms=round(1000 * (now_s - self.started_s), 3),
                first_text_ms=round(1000 * (now_s - self.trace.opened), 3),
            )
        if text:
            self.texts.append(text)
        return text

    def generated(self, deployment: Deployment) -> Generated:
        """Return the terminal event."""
        self.trace.note(model=deployment.name)
        billed = tuple(BilledCall(item.attempt.model, item.usage) for item in self.tried if item.usage)
        return Generated(
            route=Route(
                provider=deployment.provider.name,
                model=deployment.name,
                tier=deployment.tier,
                score=self.plan.score,
                reason=self.plan.reason,
                attempts=tuple(item.attempt for item in self.tried),
            ),
            usage=total_usage([call.usage for call in billed]),
            # The output limit or a filter of the provider may have cut the text: then it is not the whole answer.
            partial=self.completed is None or self.completed.stop != "end",
            abstained=not self.prepared.context.passages or "".join(self.texts).startswith(ABSTENTION),
            billed=billed,
        )

    @contextmanager
    def traced(self) -> Iterator[None]:
        """Keep the attempts of the block in the trace, however it ends."""
        try:
            yield
        finally:
            self.trace.calls += self.calls()

    def calls(self) -> list[ModelCall]:
        """Return the attempts as the trace keeps them."""
        deployments = {deployment.name: deployment for deployment in self.plan.deployments}
        opened = self.trace.opened
        return [
            ModelCall(
                model=item.attempt.model,
                provider=deployments[item.attempt.model].provider.name,
                requested=deployments[item.attempt.model].model,
                outcome=item.attempt.outcome,
                start_s=item.began_s - opened,
                first_s=None if item.first_s is None else item.first_s - opened,
                end_s=item.ended_s - opened,
                usage=item.usage,
                error=item.error,
            )
            for item in self.tried
        ]

    def failure(self) -> ProviderError | BudgetSpent:
        """Return the error of a run in which every model failed, of the last one's kind; the soonest Retry-After."""
        last = self.errors[-1]
        attempts = [item.attempt for item in self.tried]
        failed = "; ".join(f"{attempt.model}: {attempt.detail}" for attempt in attempts)
        error = type(last)(f"no model answered ({failed})")
        if isinstance(error, ProviderError):
            waits = [item.retry_after_s for item in self.errors if isinstance(item, ProviderError)]
            error.retry_after_s = min((wait for wait in waits if wait is not None), default=None)
        error.__cause__ = last
        return error
