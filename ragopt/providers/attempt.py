"""One attempt at a model call: through its gates to the provider, and settled whatever happens.

breaker → budget → limits → place → provider → settle
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import anyio

from ragopt.domain import Attempt, Outcome, Question, Usage
from ragopt.errors import (
    BudgetSpent,
    IncompleteStream,
    KeyRefused,
    ModelPaused,
    ProviderError,
    ProviderOverloaded,
    ProviderProtocolError,
    ProviderRejected,
    ProviderThrottled,
    ProviderTimeout,
    QuotaSpent,
)
from ragopt.money.prices import Prices, priced
from ragopt.providers.allowance import Allowance, Grant
from ragopt.providers.deployment import Deployment
from ragopt.providers.health import Breaker, BreakerRules, Bulkhead, Clock, Verdict
from ragopt.providers.meter import Meter, Reservation
from ragopt.providers.protocol import Completed, CompletionRequest, ProviderEvent, TextDelta
from ragopt.providers.usage import NOTHING_USED, counted_tokens, estimated_usage

LOGGER = logging.getLogger("ragopt.providers")
# Settling may write to Redis and read the price table for the first time; a cancelled call waits for it no longer.
SETTLE_S = 5.0


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt that has ended. asked: whether the provider was. usage: with its cost, None where it has none.

    began_s, first_s, ended_s: on the clock of `time.perf_counter`, when the provider was asked or the attempt given up,
    its first text, None for none, and the end. error: the code of the failure, "" for none.
    """

    attempt: Attempt
    asked: bool
    usage: Usage | None
    began_s: float = 0.0
    first_s: float | None = None
    ended_s: float = 0.0
    error: str = ""


class Target:
    """The gates of one deployment."""

    def __init__(self, deployment: Deployment, *, rules: BreakerRules, clock: Clock) -> None:
        self.breaker = Breaker(rules, clock=clock)
        self.allowance = Allowance(rpm=deployment.rpm, tpm=deployment.tpm, clock=clock)
        self.bulkhead = Bulkhead(deployment.max_concurrent)

    def share_left(self) -> float:
        """Return how much of its limits is left, in [0, 1]; 0 while its breaker lets nothing through."""
        return 0.0 if self.breaker.wait_s() > 0 else self.allowance.share_left()


@dataclass(frozen=True, slots=True)
class Means:
    """What every attempt works with. clock: what deadlines are in."""

    prices: Prices
    meter: Meter
    clock: Clock
    sleep: Callable[[float], Awaitable[None]]


@dataclass(slots=True)
class Call:
    """One attempt. texts: released so far. error, completed: how it ended, neither if it was cancelled."""

    means: Means
    target: Target
    deployment: Deployment
    request: CompletionRequest
    question: Question
    deadline_s: float
    patience_s: float
    spare: bool
    texts: list[str] = field(default_factory=list)
    error: ProviderError | BudgetSpent | None = None
    completed: Completed | None = None
    asked: bool = False
    era: int | None = None
    grant: Grant | None = None
    inside: bool = False
    reservation: Reservation | None = None
    began_s: float = field(default_factory=time.perf_counter)
    asked_s: float | None = None
    first_s: float | None = None

    @property
    def left_s(self) -> float:
        """Return the seconds until the deadline."""
        return self.deadline_s - self.means.clock()

    async def events(self, tried: list[Tried]) -> AsyncGenerator[ProviderEvent, None]:
        """Yield the deltas, then `Completed`; a failure ends them and is kept. Settles whatever happens."""
        try:
            await self._admitted()
            self.asked, self.asked_s = True, time.perf_counter()
            async with aclosing(self._answer()) as events:
                async for event in events:
                    yield event
        except (ProviderError, BudgetSpent) as error:
            self.error = error
        finally:
            self._leave()
            with anyio.move_on_after(SETTLE_S, shield=True):
                tried.append(await self._settled())

    async def _admitted(self) -> None:
        """Pass every gate. Raises: `ModelPaused`, `BudgetSpent`."""
        self.era = self.target.breaker.enter()
        if self.era is None:
            raise self._paused("its circuit breaker is open", retry_after_s=self.target.breaker.wait_s())
        self.reservation = await self.means.meter.reserve(self.deployment, self.request, self.question)
        allowance, most_s = self.target.allowance, min(self.patience_s, self.left_s)
        if self.spare and allowance.held_s() > 0:
            raise self._paused("its provider asked to wait", retry_after_s=allowance.held_s())
        tokens = await self._most_tokens() if allowance.counts_tokens else 0
        self.grant = allowance.reserve(tokens, most_s=most_s)
        if self.grant is None:
            raise self._paused("its requests or tokens per minute are used up", retry_after_s=allowance.wait_s(tokens))
        if self.grant.wait_s > 0:
            await self.means.sleep(self.grant.wait_s)
        self.inside = await self.target.bulkhead.enter(most_s=min(self.patience_s, self.left_s))
        if not self.inside:
            raise self._paused("too many calls of it run or wait")
        if self.left_s <= 0:
            raise self._paused("the request's time is over")

    def _paused(self, why: str, *, retry_after_s: float | None = None) -> ModelPaused:
        return ModelPaused(f"{self.deployment.name} was not asked: {why}", retry_after_s=retry_after_s)

    async def _most_tokens(self) -> int:
        return await counted_tokens(self.request.prompt) + self.request.max_output_tokens

    async def _answer(self) -> AsyncGenerator[ProviderEvent, None]:
        timeout_s = min(self.deployment.timeout_s, self.left_s)
        events = self.deployment.provider.stream(replace(self.request, timeout_s=timeout_s))
        name = self.deployment.provider.name
        try:
            while (event := await self._next(anext(events, None))) is not None:
                if isinstance(event, Completed):
                    self.completed = event
                elif text := self._released(event):
                    yield TextDelta(text)
        finally:
            # A generator left to the garbage collector would keep the connection open until then.
            if isinstance(events, AsyncGenerator):
                await events.aclose()
        if self.completed is None:
            raise IncompleteStream(f"{name}: the stream ended without its terminal event")
        if not self.texts:
            raise ProviderProtocolError(f"{name}: an empty answer ({self.completed.stop})")
        yield self.completed

    async def _next(self, step: Awaitable[ProviderEvent | None]) -> ProviderEvent | None:
        """Return the next event; the request's deadline ends the wait for the first text.

        Later waits are the adapter's to end: its timeout is what was left of the deadline. A timer for
        every piece of text was measured to cost more than all else that is done here.
        """
        if self.texts:
            event = await step
            if self.left_s <= 0 and isinstance(event, TextDelta):
                raise self._too_late()
            return event
        try:
            async with asyncio.timeout(None if self.left_s == math.inf else max(0.0, self.left_s)):
                return await step
        except TimeoutError as error:
            raise self._too_late() from error

    def _too_late(self) -> ProviderTimeout:
        return ProviderTimeout(f"{self.deployment.provider.name}: no complete answer before the request's deadline")

    def _released(self, event: TextDelta) -> str:
        """Return the text to release: white space before the answer is none of it."""
        text = event.text if self.texts else event.text.lstrip()
        if text:
            self.first_s = self.first_s or time.perf_counter()
            self.texts.append(text)
        return text

    def _leave(self) -> None:
        """Leave every gate, with what the call says of its model."""
        target = self.target
        if self.inside:
            target.bulkhead.leave()
        if self.grant and not self.asked:
            target.allowance.give_back(self.grant)
        if self.completed and self.completed.limits:
            target.allowance.learn(self.completed.limits)
        error = self.error
        if isinstance(error, ProviderThrottled | ProviderOverloaded) and error.retry_after_s:
            target.allowance.hold(error.retry_after_s)
        if self.era is not None:
            before = target.breaker.state
            target.breaker.leave(self.era, self._verdict())
            if target.breaker.state != before:
                LOGGER.warning("circuit breaker of %s: %s, was %s", self.deployment.name, target.breaker.state, before)

    def _verdict(self) -> Verdict:
        error = self.error
        if not self.asked or isinstance(error, BudgetSpent) or (error is None and self.completed is None):
            return "unknown"
        if isinstance(error, QuotaSpent):
            return "spent"
        if isinstance(error, ProviderTimeout) and self.left_s <= 0:
            return "unknown"  # it was given less than its own time
        answers = error is None or (isinstance(error, ProviderRejected) and not isinstance(error, KeyRefused))
        return "ok" if answers else "failed"

    async def _settled(self) -> Tried:
        # Counting the tokens of what was not reported takes a thread; reported ones have their price at once.
        usage: Usage | None = None
        if self.completed:
            usage = self._used()
        elif self.asked:
            usage = await asyncio.to_thread(self._used)
        if self.grant and self.asked:
            used_tokens = usage.total_input_tokens + usage.output_tokens if usage else 0
            self.target.allowance.settle(self.grant, used_tokens=used_tokens)
        if self.reservation and self.asked:
            used = usage or NOTHING_USED
            await self.reservation.settle(used, used.cost_usd, self._outcome(), error=self._error_code())
        elif self.reservation:
            await self.reservation.release()
        ended_s = time.perf_counter()
        return Tried(
            Attempt(self.deployment.name, self._outcome(), self._detail(), 1000 * (ended_s - self.began_s)),
            self.asked,
            usage,
            began_s=ended_s if self.asked_s is None else self.asked_s,
            first_s=self.first_s,
            ended_s=ended_s,
            error=self._error_code(),
        )

    def _used(self) -> Usage | None:
        """Return the usage with its cost; an estimate where the provider had begun and no longer said how much."""
        if self.completed:
            usage = self.completed.usage
        elif self.error is None or self.texts or isinstance(self.error, IncompleteStream | ProviderTimeout):
            usage = estimated_usage(self.request.prompt, "".join(self.texts))
        else:
            return None
        return replace(usage, cost_usd=self.means.prices.cost(priced(self.deployment), usage))

    def _outcome(self) -> Outcome:
        if not self.asked:
            return "rejected"
        return "ok" if self.error is None and self.completed else "error"

    def _error_code(self) -> str:
        return self.error.code if self.error else ""

    def _detail(self) -> str:
        if self.error:
            return f"{self.error.code}: {self.error.detail}"
        return f"stopped: {self.completed.stop}" if self.completed else "cancelled before its end"
