"""What the cache does beside the requests, to learn from their answers: bounded, and nobody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

MAX_AT_ONCE = 4


class Learning:
    """Comparisons under way, at most four at once; more than that are not made."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

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
