"""Whether a model may be called now: circuit breaker, bounded concurrency, and the share of retries. In process.

Source: Site Reliability Engineering, "Handling Overload" and "Addressing Cascading Failures"; Nygard, Release It!.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Clock: TypeAlias = Callable[[], float]
"""Seconds since some fixed moment, never going back."""
BreakerState: TypeAlias = Literal["closed", "open", "half_open"]
Verdict: TypeAlias = Literal["ok", "failed", "spent", "unknown"]
"""What a call says of its model: it works, it does not, its quota is spent, or nothing."""


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When calls of a model stop, and for how long.

    share, calls, window_s: they stop at this share of failures among at least so many calls within the
    window. wait_s: until one call is let through to see, doubled each time it fails, up to max_wait_s.
    """

    share: float = 0.5
    calls: int = 20
    window_s: float = 30.0
    wait_s: float = 15.0
    max_wait_s: float = 300.0


class Breaker:
    """Stops the calls of a model that fails; one probe at a time finds out when it works again."""

    def __init__(self, rules: BreakerRules, *, clock: Clock) -> None:
        self._rules = rules
        self._clock = clock
        self._state: BreakerState = "closed"
        self._era = 0
        self._ended: deque[tuple[float, bool]] = deque()
        self._failures = 0
        self._wait_s = rules.wait_s
        self._opens_at = 0.0

    @property
    def state(self) -> BreakerState:
        """Return the state; `open` also when the next call would be the probe."""
        return self._state

    def wait_s(self) -> float:
        """Return in how many seconds a call may be let through: 0 unless calls are stopped."""
        if self._state == "closed":
            return 0.0
        return max(0.0, self._opens_at - self._clock())

    def enter(self) -> int | None:
        """Return the era of a call that may go on, for `leave`; None if it may not. The probe begins an era."""
        if self._state == "closed":
            return self._era
        if self._state == "half_open" or self._clock() < self._opens_at:
            return None
        self._change("half_open")
        return self._era

    def leave(self, era: int, verdict: Verdict) -> None:
        """Count the end of a call; calls of an earlier era say nothing about the present one."""
        if era != self._era:
            return
        if verdict == "spent":
            self._open()
        elif self._state == "half_open":
            self._judge_probe(verdict)
        elif verdict != "unknown":
            self._count(failed=verdict == "failed")

    def _judge_probe(self, verdict: Verdict) -> None:
        if verdict == "ok":
            self._wait_s = self._rules.wait_s
            self._change("closed")
        elif verdict == "failed":
            self._open()
        else:
            # The probe was cancelled or judged by a limit of ours: the next call is the probe.
            self._change("open")

    def _count(self, *, failed: bool) -> None:
        now = self._clock()
        self._ended.append((now, failed))
        self._failures += failed
        while self._ended[0][0] <= now - self._rules.window_s:
            self._failures -= self._ended.popleft()[1]
        if len(self._ended) >= self._rules.calls and self._failures >= self._rules.share * len(self._ended):
            self._open()

    def _open(self) -> None:
        # A failed probe doubles the wait; a model that had worked again starts from the shortest.
        if self._state == "half_open":
            self._wait_s = min(self._rules.max_wait_s, 2 * self._wait_s)
        self._opens_at = self._clock() + self._wait_s
        self._change("open")

    def _change(self, state: BreakerState) -> None:
        self._state = state
        self._era += 1
        self._ended.clear()
        self._failures = 0


class Bulkhead:
    """Bounds the calls of a model that run at once, and those that wait for a place; None: no bound."""

    def __init__(self, max_concurrent: int | None, *, max_queue: int | None = None) -> None:
        self._places = None if max_concurrent is None else asyncio.Semaphore(max_concurrent)
        self._max_queue = max_concurrent if max_queue is None else max_queue
        self.waiting = 0
        self.inside = 0

    async def enter(self, *, most_s: float) -> bool:
        """Return whether a place was taken, waiting for one in line; False if the line is full or it took too long."""
        if self._places is not None and not await self._place(self._places, most_s=most_s):
            return False
        self.inside += 1
        return True

    def leave(self) -> None:
        """Give the place to whoever waits longest."""
        self.inside -= 1
        if self._places is not None:
            self._places.release()

    async def _place(self, places: asyncio.Semaphore, *, most_s: float) -> bool:
        if places.locked() and self.waiting >= (self._max_queue or 0):
            return False
        self.waiting += 1
        try:
            async with asyncio.timeout(max(0.0, most_s)):
                return await places.acquire()
        except TimeoutError:
            return False
        finally:
            self.waiting -= 1


class RetryBudget:
    """Keeps retries to a share of the first calls of the last minute, so that an outage is not doubled."""

    def __init__(self, share: float, *, clock: Clock, window_s: float = 60.0, at_least: int = 3) -> None:
        self._share = share
        self._clock = clock
        self._window_s = window_s
        self._at_least = at_least if share > 0 else 0
        self._calls: deque[float] = deque()
        self._retries: deque[float] = deque()

    def called(self) -> None:
        """Count a first call."""
        self._calls.append(self._clock())

    def take(self) -> bool:
        """Return whether one more retry is within the budget, and count it if it is."""
        now = self._clock()
        for times in (self._calls, self._retries):
            while times and times[0] <= now - self._window_s:
                times.popleft()
        if len(self._retries) + 1 > max(self._at_least, self._share * len(self._calls)):
            return False
        self._retries.append(now)
        return True
