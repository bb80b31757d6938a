"""The one function through which every model call passes: an attempt, and another one where that is sensible."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from ragopt.domain import Question
from ragopt.errors import BudgetSpent, ProviderError, ProviderOverloaded, ProviderRejected
from ragopt.money.prices import Prices
from ragopt.providers.attempt import Call, Means, Target, Tried
from ragopt.providers.deployment import Deployment
from ragopt.providers.health import BreakerRules, BreakerState, Clock, RetryBudget
from ragopt.providers.meter import Meter, Unmetered
from ragopt.providers.protocol import CompletionRequest, ProviderEvent
from ragopt.providers.residency import Residency


@dataclass(frozen=True, slots=True)
class RetryRules:
    """How often and after how long a failed call is made again.

    attempts: of one model for one question. chain_attempts: asked in all, fallbacks included, before
    retries end. share: retries per first call. base_s, overloaded_base_s, cap_s: the wait before retry n
    is drawn from [0, min(cap_s, base_s · 2ⁿ)]. patience_s: the longest wait, for Retry-After or a limit
    of ours, where another model could answer instead, last_patience_s where none could.
    Source of the values: AWS Architecture Blog, "Exponential Backoff and Jitter" (full jitter); the rest
    are starting values.
    """

    attempts: int = 2
    chain_attempts: int = 4
    share: float = 0.1
    base_s: float = 0.5
    overloaded_base_s: float = 2.0
    cap_s: float = 8.0
    patience_s: float = 2.0
    last_patience_s: float = 30.0


def loop_time() -> float:
    """Return the event loop's time, which deadlines are in."""
    return asyncio.get_running_loop().time()


class ModelCaller:
    """Calls deployments; keeps the breaker, the limits and the places of each, in this process."""

    def __init__(
        self,
        prices: Prices,
        *,
        meter: Meter | None = None,
        retries: RetryRules | None = None,
        breaker: BreakerRules | None = None,
        clock: Clock = loop_time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        randomness: random.Random | None = None,
        residency: Residency | None = None,
    ) -> None:
        self._residency = residency or Residency()
        self.rules = retries or RetryRules()
        self.means = Means(prices, meter or Unmetered(), clock, sleep)
        self.breaker_rules = breaker or BreakerRules()
        self._random = randomness or random.Random()  # noqa: S311 - spreads load, hides nothing
        self._budget = RetryBudget(self.rules.share, clock=clock)
        self._targets: dict[str, Target] = {}

    def refuse_barred(self, deployment: Deployment, question: Question) -> None:
        """Raise `ProviderRejected` where the collection of a question may not be sent to a model's regions."""
        if not self._residency.allows(deployment, question):
            raise ProviderRejected(f"{deployment.name}: {self._residency.barred(question)}")

    async def stream(
        self,
        deployment: Deployment,
        request: CompletionRequest,
        *,
        question: Question,
        tried: list[Tried],
        deadline_s: float = math.inf,
        spare: bool = False,
    ) -> AsyncGenerator[ProviderEvent, None]:
        """Yield the deltas of one model, none of them empty, then `Completed`; closing it ends the call.

        Every attempt that has ended is appended to `tried`, which holds those of earlier models. A call is
        made again only before its first delta. deadline_s: when all must be over, on the clock. spare:
        whether another model could answer instead.

        Raises: `ProviderError` subclasses, after deltas too; `BudgetSpent`.
        """
        self.refuse_barred(deployment, question)
        target = self.target(deployment)
        patience_s = self.rules.patience_s if spare else self.rules.last_patience_s
        for number in range(1, self.rules.attempts + 1):
            call = Call(
                self.means,
                target,
                deployment=deployment,
                request=request,
                question=question,
                deadline_s=deadline_s,
                patience_s=patience_s,
                spare=spare,
            )
            async with aclosing(call.events(tried)) as events:
                async for event in events:
                    yield event
            # One a question: a fallback is no first call, else an outage would pay for its own retries.
            if call.asked and len(tried) == 1:
                self._budget.called()
            if call.error is None:
                return
            await self.means.sleep(self._wait_s(call, call.error, number=number, tried=tried))

    def is_over(self, deadline_s: float) -> bool:
        """Return whether a deadline has passed."""
        return deadline_s <= self.means.clock()

    def shared(self, deployments: Sequence[Deployment]) -> tuple[Deployment, ...]:
        """Return them with those of each group among their places by what is left of their limits, most first."""
        groups = {deployment.group for deployment in deployments if deployment.group}
        ordered = list(deployments)
        for group in groups:
            places = [at for at, deployment in enumerate(deployments) if deployment.group == group]
            members = sorted((deployments[at] for at in places), key=self._load)
            for at, deployment in zip(places, members, strict=True):
                ordered[at] = deployment
        return tuple(ordered)

    def breakers(self) -> dict[str, BreakerState]:
        """Return the state of the breaker of each model that was ever considered, by configured name."""
        return {name: target.breaker.state for name, target in self._targets.items()}

    def target(self, deployment: Deployment) -> Target:
        """Return the gates of a deployment, known by its name."""
        if deployment.name not in self._targets:
            self._targets[deployment.name] = Target(deployment, rules=self.breaker_rules, clock=self.means.clock)
        return self._targets[deployment.name]

    def _load(self, deployment: Deployment) -> tuple[float, int]:
        target = self.target(deployment)
        return -target.share_left(), target.bulkhead.inside

    def _wait_s(self, call: Call, error: ProviderError | BudgetSpent, *, number: int, tried: Sequence[Tried]) -> float:
        """Return the wait before the next attempt of the same model. Raises: `error` if there is to be none."""
        asked = sum(item.asked for item in tried)
        final = number >= self.rules.attempts or asked >= self.rules.chain_attempts or call.texts
        if final or not isinstance(error, ProviderError) or not error.retryable:
            raise error
        wait_s = self._backoff_s(error, number=number)
        if wait_s >= min(call.patience_s, call.left_s) or call.target.breaker.wait_s() > wait_s:
            raise error
        if not self._budget.take():
            raise error
        return wait_s

    def _backoff_s(self, error: ProviderError, *, number: int) -> float:
        if error.retry_after_s is not None:
            # A floor, never cut short; jitter on top, for everyone was told the same moment.
            return error.retry_after_s + self._random.uniform(0, 1)
        base_s = self.rules.overloaded_base_s if isinstance(error, ProviderOverloaded) else self.rules.base_s
        return self._random.uniform(0, min(self.rules.cap_s, base_s * 2 ** (number - 1)))
