"""A bound on what something optional may cost: a time limit each, and none at all for a while after a failure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

# A timeout that fires so much too late says that this process was busy, not that what it waited for is down.
LATE, LATE_S = 1.5, 0.01
# So many in a row that were late make a failure: one is what a busy machine does to anything.
LATE_IN_A_ROW = 2


class Skipped(Exception):
    """What was optional failed, was late, or is left alone for now."""


@dataclass(slots=True)
class Allowance:
    """Seconds that one request may still wait."""

    left_s: float


class Guard:
    """Stands before something optional. failures: what it raises when it is down. `clock` counts seconds.

    One request waits for it at most `timeout_s` in all; after a failure, or two uses in a row that were late, nobody
    waits for `pause_s`.
    """

    def __init__(
        self,
        *failures: type[Exception],
        timeout_s: float,
        pause_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures = failures
        self._timeout_s = timeout_s
        self._pause_s = pause_s
        self._clock = clock
        self._failed_at: float | None = None
        self._late = 0
        self._abandoned: set[asyncio.Task[Any]] = set()

    def allowance(self) -> Allowance:
        """Return what a request may wait."""
        return Allowance(self._timeout_s)

    @property
    def usable(self) -> bool:
        """Return whether there was no failure within the last `pause_s`."""
        return self._failed_at is None or self._clock() - self._failed_at >= self._pause_s

    async def run(self, work: Coroutine[Any, Any, T], allowance: Allowance) -> T:
        """Return what `work` returns in what is left of the allowance.

        It is given up then, whether or not it lets itself be cancelled: redis-py, once in two hundred times, does not
        while it connects to a server that hangs. Raises: `Skipped` if it fails, is late, or must not run now.
        """
        if not self.usable or allowance.left_s <= 0:
            work.close()
            raise Skipped
        began_s, limit_s = time.monotonic(), allowance.left_s
        task = asyncio.create_task(work)
        try:
            await asyncio.wait({task}, timeout=limit_s)
        finally:
            allowance.left_s -= time.monotonic() - began_s
            if not task.done():
                self._abandon(task)
        if not task.done():
            self._late += time.monotonic() - began_s < LATE * limit_s + LATE_S
            if self._late >= LATE_IN_A_ROW:
                self._failed()
            raise Skipped
        try:
            result = task.result()
        except self._failures as error:
            self._failed()
            raise Skipped from error
        self._late = 0
        return result

    def _failed(self) -> None:
        self._failed_at, self._late = self._clock(), 0

    def _abandon(self, task: asyncio.Task[Any]) -> None:
        self._abandoned.add(task)
        task.add_done_callback(self._forget)
        task.cancel()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()  # nobody waits for it any more
