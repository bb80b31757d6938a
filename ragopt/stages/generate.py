"""The answer text, from the first of the planned models that delivers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace

from ragopt.domain import TIER_RANK, Attempt, Route, Usage
from ragopt.errors import IncompleteStream, ProviderError, ProviderProtocolError
from ragopt.money.prices import Prices
from ragopt.pipeline import ABSTENTION, Generated, Prepared
from ragopt.providers.deployment import Deployment, Gate, Plan, Planner
from ragopt.providers.protocol import Completed, CompletionRequest, ProviderEvent, TextDelta
from ragopt.providers.usage import estimated_usage, total_usage
from ragopt.telemetry import Trace


class GenerateWithFallback:
    """Calls the planned models in turn until one has begun to answer; satisfies `ragopt.pipeline.Generate`."""

    def __init__(self, plan: Planner, *, prices: Prices, max_output_tokens: int) -> None:
        self._plan = plan
        self._prices = prices
        self._max_output_tokens = max_output_tokens

    async def __call__(self, prepared: Prepared, *, trace: Trace) -> AsyncGenerator[TextDelta | Generated, None]:
        """Yield deltas of one model, then one `Generated`; closing the iterator ends the model call.

        Nothing is yielded until a model has delivered text, so that falling back is never seen.
        After that an error ends the answer as partial: two models are never spliced.

        A cheap model's answer is held until the plan's gate has passed it; one that fails goes up a tier.

        Raises: `UnknownModel`, `ModelNotAllowed`; `ProviderError`, of the kind of the last one, if every model failed.
        """
        with trace.stage("route"):
            plan = self._plan(prepared)
        with trace.stage("generate"):
            limit = self._output_limit(prepared)
            run = _Run(prepared=prepared, plan=plan, trace=trace, prices=self._prices, max_output_tokens=limit)
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
        # An empty answer is a failure of the model, which falls back within its tier.
        self.flaw = self.gate.flaw(self.text, self.prepared.context) if self.text.strip() else None
        self.open = self.flaw is None
        return self.text if self.open else ""


@dataclass(slots=True)
class _Run:
    """The attempts at one answer. ended: how the latest one did; error: of the latest one that failed."""

    prepared: Prepared
    plan: Plan
    trace: Trace
    prices: Prices
    max_output_tokens: int
    attempts: list[Attempt] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    ended: Completed | ProviderError | None = None
    error: ProviderError | None = None
    started_s: float = field(default_factory=time.perf_counter)
    held: Held | None = None
    rejected: Deployment | None = None

    @property
    def delivered(self) -> bool:
        """Return whether text was released: from then on there is no other model."""
        return bool(self.texts)

    async def events(self) -> AsyncGenerator[TextDelta | Generated, None]:
        """Yield what the first model that delivers has to say. Raises: `ProviderError` if none does."""
        for at, deployment in enumerate(self.plan.deployments):
            if self.rejected and not above(deployment, self.rejected):
                continue
            gated = any(above(later, deployment) for later in self.plan.deployments[at:])
            self.held = Held(self.plan.gate, self.prepared) if self.plan.gate and gated else None
            async with aclosing(self.attempt(deployment)) as events:
                async for event in events:
                    yield event
            if self.delivered:
                return
        if not self.rejected:
            raise self.failure()
        # No model above the rejected one delivers: what it has to say is better than an error.
        self.held = None
        async with aclosing(self.attempt(self.rejected)) as events:
            async for event in events:
                yield event
        if not self.delivered:
            raise self.failure()

    async def attempt(self, deployment: Deployment) -> AsyncGenerator[TextDelta | Generated, None]:
        """Yield the deltas of one model and `Generated`; nothing if it failed before its first text."""
        began_s = time.perf_counter()
        self.ended = IncompleteStream(f"{deployment.provider.name}: the stream ended without its terminal event")
        async with self.opened(deployment) as events:
            async for event in events:
                if text := self.released(event):
                    yield TextDelta(text)
                if self.held and self.held.flaw:
                    break
        await self.settle(deployment, self.ended, ms=1000 * (time.perf_counter() - began_s))
        if self.delivered:
            # The output limit or a filter of the provider may have cut the text: then it is not the whole answer.
            whole = isinstance(self.ended, Completed) and self.ended.stop == "end"
            yield self.generated(deployment, partial=not whole)

    @asynccontextmanager
    async def opened(self, deployment: Deployment) -> AsyncIterator[AsyncIterator[ProviderEvent]]:
        """Open the model's stream for the block and close it at its end; a failure ends the block and is kept."""
        events = deployment.provider.stream(self.request(deployment))
        try:
            yield events
        except ProviderError as error:
            self.ended = error
        finally:
            # A generator left to the garbage collector would keep the connection open until then.
            if isinstance(events, AsyncGenerator):
                await events.aclose()

    def request(self, deployment: Deployment) -> CompletionRequest:
        """Return the call of `deployment`."""
        return CompletionRequest(
            model=deployment.model,
            prompt=self.prepared.prompt,
            context=self.prepared.context,
            max_output_tokens=self.max_output_tokens,
            timeout_s=deployment.timeout_s,
            capabilities=deployment.capabilities,
            effort=deployment.effort,
        )

    def released(self, event: ProviderEvent) -> str:
        """Return the text to release: white space before the answer is none of it. Keeps the terminal event."""
        if isinstance(event, Completed):
            self.ended = event
        text = event.text if isinstance(event, TextDelta) else ""
        text = self.held.passed(text, ended=isinstance(event, Completed)) if self.held else text
        text = text if self.delivered else text.lstrip()
        if text and not self.delivered:
            self.trace.note(ttft_ms=round(1000 * (time.perf_counter() - self.started_s), 3))
        if text:
            self.texts.append(text)
        return text

    async def settle(self, deployment: Deployment, ended: Completed | ProviderError, *, ms: float) -> None:
        """Keep what the attempt came to and what it used."""
        if self.held and self.held.flaw:
            self.rejected = deployment
            known = ended.usage if isinstance(ended, Completed) else None
            await self.spend(deployment, known or estimated_usage(self.prepared.prompt, self.held.text))
            self.attempts.append(Attempt(deployment.name, "rejected", self.held.flaw, ms))
            return
        if isinstance(ended, Completed) and not self.delivered:
            await self.spend(deployment, ended.usage)
            ended = ProviderProtocolError(f"{deployment.provider.name}: an empty answer ({ended.stop})")
        elif isinstance(ended, Completed):
            await self.spend(deployment, ended.usage)
            self.trace.note(model_served=ended.model_served, stop=ended.stop)
        elif self.delivered or isinstance(ended, IncompleteStream):
            # The provider had begun and will charge for it, but no longer said how much.
            await self.spend(deployment, estimated_usage(self.prepared.prompt, "".join(self.texts)))
        if isinstance(ended, ProviderError):
            self.error = ended
            self.attempts.append(Attempt(deployment.name, "error", f"{ended.code}: {ended.detail}", ms))
        else:
            self.attempts.append(Attempt(deployment.name, "ok", f"stopped: {ended.stop}", ms))

    async def spend(self, deployment: Deployment, usage: Usage) -> None:
        """Add one attempt's usage with its price; the first look at the price table blocks, so in a thread."""
        provider, model = deployment.provider.name, deployment.model
        cost = await asyncio.to_thread(self.prices.cost_usd, provider, model, usage, override=deployment.price)
        self.usages.append(replace(usage, cost_usd=cost))

    def generated(self, deployment: Deployment, *, partial: bool) -> Generated:
        """Return the terminal event."""
        text = "".join(self.texts)
        self.trace.note(model=deployment.name)
        return Generated(
            route=Route(
                provider=deployment.provider.name,
                model=deployment.name,
                tier=deployment.tier,
                score=self.plan.score,
                reason=self.plan.reason,
                attempts=tuple(self.attempts),
            ),
            usage=total_usage(self.usages),
            partial=partial,
            abstained=not self.prepared.context.passages or text.startswith(ABSTENTION),
        )

    def failure(self) -> ProviderError:
        """Return the error of a run in which every model failed, of the last one's kind."""
        kind = type(self.error) if self.error else ProviderError
        failed = "; ".join(f"{attempt.model}: {attempt.detail}" for attempt in self.attempts)
        error = kind(f"no model answered ({failed})")
        error.__cause__ = self.error
        return error


def above(one: Deployment, other: Deployment) -> bool:
    """Return whether `one` is of a higher tier than `other`."""
    return TIER_RANK[one.tier] > TIER_RANK[other.tier]
