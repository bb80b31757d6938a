"""Answers on their way into the cache: nobody waits for one but who asks for it again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine

from ragopt.stages.cache.guard import Allowance


class Keeping:
    """Writes of entries under way beside the requests that made them, by the id of the entry."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._latest: dict[str, asyncio.Task[None]] = {}

    def start(self, entry: str, work: Coroutine[None, None, None]) -> None:
        """Run the write of an entry beside the request; needs a running event loop."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        self._latest[entry] = task
        task.add_done_callback(lambda _: self._ended(entry, task))

    async def written(self, entry: str, *, allowance: Allowance) -> None:
        """Return once the last write of an entry has ended, if one is under way and the allowance lasts so long."""
        task = self._latest.get(entry)
        if task is None:
            return
        began_s = time.monotonic()
        await asyncio.wait({task}, timeout=max(0.0, allowance.left_s))
        allowance.left_s -= time.monotonic() - began_s

    async def idle(self) -> None:
        """Return when no write is under way any more of those that are now."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, entry: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._latest.get(entry) is task:
            del self._latest[entry]
