"""The answer text, from the first of the planned models that delivers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace

from ragopt.domain import BilledCall, Route
from ragopt.errors import BudgetSpent, PromptTooLong, ProviderError
from ragopt.pipeline import ABSTENTION
from ragopt.providers.attempt import Tried
from ragopt.providers.call import ModelCaller
from ragopt.providers.deployment import Deployment, Inspect, Inspection, Plan, Planner, Shorten, above
from ragopt.providers.drafts import Draft, Held, best_of
from ragopt.providers.layout import Prompt
from ragopt.providers.prefixes import PrefixPlanner
from ragopt.providers.protocol import NO_MARKS, Completed, CompletionRequest, ProviderEvent, TextDelta
from ragopt.providers.usage import total_usage
from ragopt.results import Generated, Prepared, Shortened, Written
from ragopt.telemetry import ModelCall, Trace


class GenerateWithFallback:
    """Calls the planned models in turn until one has begun to answer; satisfies `ragopt.ports.Generate`."""

    def __init__(
        self,
        plan: Planner,
        *,
        caller: ModelCaller,
        max_output_tokens: int,
        prefixes: PrefixPlanner | None = None,
        inspect: Inspect | None = None,
        shorten: Shorten | None = None,
    ) -> None:
        self._plan = plan
        self._shorten = shorten
        self._inspect = inspect
        self._prefixes = prefixes
        self._caller = caller
        self._max_output_tokens = max_output_tokens

    async def __call__(self, prepared: Prepared, *, trace: Trace) -> Written:
        """Yield deltas of one model, then one `Generated`; closing the iterator ends the model call.

        Nothing is yielded until a model has delivered text, so that retries and falling back are never
        seen. After that an error ends the answer as partial: two models are never spliced.

        A cheap model's answer is held until the plan's gate has passed it; one that fails goes up a tier. Where
        `inspect` finds that the whole answer has to pass, it is held to its end, and what fails is mended, asked of
        the next tier, or answered with what is left. A model whose window the prompt does not fit is asked once more
        with a shorter one; `Shortened` then comes before the first delta.

        Raises: `UnknownModel`, `ModelNotAllowed`; `UnusableAnswer`; `ProviderError` or `BudgetSpent`, of the kind of
        the last one, if every model failed.
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
            inspection=self._inspect(prepared) if self._inspect else None,
            shorten=self._shorten,
        )
        with trace.stage("generate"), run.traced():
            async with aclosing(run.events()) as events:
                async for event in events:
                    yield event

    def _output_limit(self, prepared: Prepared) -> int:
        asked = prepared.question.max_output_tokens
        return self._max_output_tokens if asked is None else min(asked, self._max_output_tokens)


@dataclass(slots=True)
class _Run:
    """The attempts at one answer. completed: the terminal event; errors: of each model that failed.

    inspection: what has to pass before anything is released. drafts: whole answers that did not pass it. prompt: of
    the next call, None for the prepared one. short: the shorter prompt of each model whose window that does not fit.
    """

    prepared: Prepared
    plan: Plan
    trace: Trace
    caller: ModelCaller
    max_output_tokens: int
    prefixes: PrefixPlanner | None = None
    inspection: Inspection | None = None
    tried: list[Tried] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    completed: Completed | None = None
    errors: list[ProviderError | BudgetSpent] = field(default_factory=list)
    started_s: float = field(default_factory=time.perf_counter)
    held: Held | None = None
    rejected: Deployment | None = None
    drafts: list[Draft] = field(default_factory=list)
    prompt: Prompt | None = None
    corrections: int = 0
    shorten: Shorten | None = None
    short: dict[str, Shortened] = field(default_factory=dict)

    async def events(self) -> Written:
        """Yield what the first model that delivers has to say. Raises: `ProviderError`, `BudgetSpent` if none does."""
        deployments = self.caller.shared(self.plan.deployments)
        for number, deployment in enumerate(deployments, 1):
            if self.rejected and not above(deployment, self.rejected):
                continue
            gated = any(above(later, deployment) for later in deployments[number:])
            async with aclosing(self.tries(deployment, gated=gated, spare=number < len(deployments))) as events:
                async for event in events:
                    yield event
            if self.texts:
                return
            if self.caller.is_over(self.trace.ends) or self.is_settled():
                break
        async with aclosing(self.last_resort()) as events:
            async for event in events:
                yield event

    async def tries(self, deployment: Deployment, *, gated: bool, spare: bool) -> Written:
        """Yield the answer of one model, once it has mended it where that is asked for; nothing where none passes."""
        gate = self.plan.gate if gated else None
        while True:
            inspected = gate is not None or self.inspection is not None
            sent, failures = self.sent_to(deployment), len(self.errors)
            self.held = Held(sent, self.trace, gate, inspection=self.inspection) if inspected else None
            async with aclosing(self.attempt(deployment, spare=spare)) as events:
                async for event in events:
                    yield event
            self.prompt = None
            if not self.texts and await self.is_shortened(deployment, self.errors[failures:]):
                continue
            if self.texts or not self.is_to_mend(deployment):
                return
            draft = self.drafts[-1]
            self.corrections += 1
            self.prompt = sent.prompt.corrected(draft.text, draft.flaw.correction)

    def sent_to(self, deployment: Deployment) -> Prepared:
        """Return the first half with what `deployment` is asked with."""
        shorter = self.short.get(deployment.name)
        return shorter.of(self.prepared) if shorter else self.prepared

    async def is_shortened(self, deployment: Deployment, failures: Sequence[Exception]) -> bool:
        """Return whether the model, which just failed so, is to be asked with a shorter prompt: once in an answer."""
        long = any(isinstance(error, PromptTooLong) for error in failures) and deployment.name not in self.short
        if self.shorten is None or not long or self.caller.is_over(self.trace.ends):
            return False
        shorter = await self.shorten(self.prepared)
        if shorter is None:
            return False
        self.short[deployment.name] = shorter
        few, many = len(shorter.context.passages), len(self.prepared.context.passages)
        why = f"the prompt does not fit the window of {deployment.name}: asked again with {few} of {many} passages"
        self.trace.fell_back("generate", why)
        return True

    def is_to_mend(self, deployment: Deployment) -> bool:
        """Return whether the model is to mend what it has just written: once in an answer."""
        written = self.drafts and self.drafts[-1].deployment is deployment and self.held and self.held.flaw
        asked = self.inspection is not None and self.inspection.corrects and not self.corrections
        return bool(written and asked and self.drafts[-1].flaw.correction) and not self.caller.is_over(self.trace.ends)

    def is_settled(self) -> bool:
        """Return whether what was found wrong is not to be tried again with another model."""
        return self.held is not None and self.held.flaw is not None and self.held.flaw.final

    async def last_resort(self) -> Written:
        """Yield what is left: the best draft, the abstention, or what the rejected model says when asked again.

        Raises: `UnusableAnswer` where nothing less than what was asked for will do; the failure if there is nothing.
        """
        if self.inspection and self.drafts:
            async for event in self.drafted(self.inspection):
                yield event
        elif self.rejected:
            self.held = None
            async with aclosing(self.attempt(self.rejected, spare=False)) as events:
                async for event in events:
                    yield event
        if not self.texts:
            raise self.failure()

    async def drafted(self, inspection: Inspection) -> Written:
        """Yield the draft with fewest unsupported claims, or the abstention. Raises: `UnusableAnswer`."""
        draft = self.drafts[best_of([item.flaw for item in self.drafts])]
        self.completed = draft.completed
        self.texts = [ABSTENTION if inspection.abstains else draft.text]
        for piece in self.pieces(self.texts[0], draft.shorter):
            yield piece
        yield self.generated(draft.deployment)

    async def attempt(self, deployment: Deployment, *, spare: bool) -> Written:
        """Yield the deltas of one model and `Generated`; nothing if it failed before its first text."""
        self.completed, shorter = None, self.short.get(deployment.name)
        async with self.opened(deployment, spare=spare) as events:
            async for event in events:
                for piece in self.pieces(await self.released(event), shorter):
                    yield piece
                if self.held and self.held.flaw:
                    break
        if self.held and self.held.flaw:
            self.rejected = deployment
            if self.completed:
                self.drafts.append(Draft(deployment, self.held.text, self.held.flaw, self.completed, shorter))
            attempt = replace(self.tried[-1].attempt, outcome="rejected", detail=self.held.flaw.detail)
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
        sent = self.sent_to(deployment)
        prompt = self.prompt or sent.prompt
        cache = self.prefixes.plan(deployment, prompt, question=self.prepared.question) if self.prefixes else NO_MARKS
        self.trace.note(cache_marks=len(cache.after))
        return deployment.request(prompt, sent.context, max_output_tokens=self.max_output_tokens, cache=cache)

    async def released(self, event: ProviderEvent) -> str:
        """Return the text to release, and keep it; keeps the terminal event."""
        if isinstance(event, Completed):
            self.completed = event
        text = event.text if isinstance(event, TextDelta) else ""
        text = await self.held.passed(text, ended=isinstance(event, Completed)) if self.held else text
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

    def pieces(self, text: str, shorter: Shortened | None) -> list[TextDelta | Shortened]:
        """Return a released text as it is yielded: the first one behind what was really sent, if that is shorter."""
        if not text:
            return []
        return [shorter, TextDelta(text)] if shorter and len(self.texts) == 1 else [TextDelta(text)]

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
            corrections=self.corrections,
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
