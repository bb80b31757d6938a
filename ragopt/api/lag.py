"""How late the event loop runs what is due: what holds it up holds up every request."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

PROBE_S = 0.5
# The worst of so many probes is told: who reads between two stalls must not miss both.
PROBES = 10


class LoopLag:
    """The lateness of the last probes."""

    def __init__(self, *, every_s: float = PROBE_S) -> None:
        self._every_s = every_s
        self._late_s: deque[float] = deque(maxlen=PROBES)

    @property
    def worst_s(self) -> float:
        """Return the most that a recent probe was late, in seconds; 0 before the first one."""
        return max(self._late_s, default=0.0)

    @asynccontextmanager
    async def probing(self) -> AsyncIterator[None]:
        """Probe for as long as the block lasts."""
        task = asyncio.create_task(self._probe())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _probe(self) -> None:
        while True:
            due = time.monotonic() + self._every_s
            await asyncio.sleep(self._every_s)
            self._late_s.append(max(0.0, time.monotonic() - due))
