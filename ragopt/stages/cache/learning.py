"""What the cache does beside the requests, to learn from their answers: bounded, and nobody waits for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine

MAX_AT_ONCE = 4


class Learning:
    """Comparisons under way, at most four at once; more than that are not made.

    gap_s: between two looks at what is kept of other words. One costs as much as an embedding or two, and a level needs
    some hundred labels, not one of every answer.
    """

    def __init__(self, *, gap_s: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._gap_s = gap_s
        self._clock = clock
        self._next_s = 0.0

    def is_due(self) -> bool:
        """Return whether it is time for another look, and count it as taken if it is."""
        now_s = self._clock()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + self._gap_s
        return True

    def start(self, comparison: Coroutine[None, None, None]) -> None:
        """Run a comparison in the background, or drop it where enough of them run."""
        if len(self._tasks) >= MAX_AT_ONCE:
            comparison.close()
            return
        task = asyncio.create_task(comparison)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def idle(self) -> None:
        """Return when nothing runs."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """End what runs."""
        for task in self._tasks:
            task.cancel()
        await self.idle()
