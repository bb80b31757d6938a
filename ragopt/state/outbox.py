"""Writes to Redis that no answer waits for and that a Redis that is down only delays."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

LOGGER = logging.getLogger("ragopt.money")
MAX_WAITING = 10_000
MAX_AT_ONCE = 100
RETRY_S = 1.0
# What one answer writes comes in two or three parts: together they cost Redis and the loop one round trip.
GATHER_S = 0.005


@dataclass(frozen=True, slots=True)
class Write:
    """One run of a script. It may run twice, for a reply can get lost: a second run must change nothing."""

    script: str
    keys: Sequence[str]
    args: Sequence[str | bytes | int | float]


class Outbox:
    """Writes in the order they were put, in the background; more than `max_waiting` drop the oldest.

    gather_s: how long the first waits for others. dropped: how many were given up, each time with a line in the log.
    """

    def __init__(
        self, redis: Redis, *, max_waiting: int = MAX_WAITING, retry_s: float = RETRY_S, gather_s: float = GATHER_S
    ) -> None:
        self._redis = redis
        self._max_waiting = max_waiting
        self._retry_s = retry_s
        self._gather_s = gather_s
        self._waiting: deque[Write] = deque()
        self._writer: asyncio.Task[None] | None = None
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Return how many writes Redis has not confirmed."""
        return len(self._waiting)

    def put(self, write: Write) -> None:
        """Add a write; it never fails and never waits. Needs a running event loop."""
        if len(self._waiting) >= self._max_waiting:
            self._waiting.popleft()
            self._lost(f"Redis has not answered while {self._max_waiting} writes waited")
        self._waiting.append(write)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._run())

    async def flush(self, *, within_s: float) -> bool:
        """Return whether every write is confirmed, at the latest after `within_s`."""
        writer = self._writer
        if writer is not None and not writer.done():
            await asyncio.wait([writer], timeout=within_s)
        return not self._waiting

    async def close(self, *, within_s: float = 2.0) -> None:
        """Write what waits, as far as Redis answers in time; the rest is counted and logged as lost."""
        await self.flush(within_s=within_s)
        if self._writer is not None:
            self._writer.cancel()
            with suppress(asyncio.CancelledError):
                await self._writer
        if self._waiting:
            self.dropped += len(self._waiting)
            LOGGER.error("%d ledger writes were lost: Redis did not answer before the end", len(self._waiting))
            self._waiting.clear()

    async def _run(self) -> None:
        """Write until nothing waits."""
        await asyncio.sleep(self._gather_s)
        while self._waiting:
            batch = [self._waiting[i] for i in range(min(MAX_AT_ONCE, len(self._waiting)))]
            if not await self._written(batch):
                await asyncio.sleep(self._retry_s)

    async def _written(self, batch: Sequence[Write]) -> bool:
        """Return whether Redis took the batch; what it will never take is dropped."""
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for write in batch:
                    pipeline.eval(write.script, len(write.keys), *write.keys, *write.args)
                replies = await cast("Awaitable[list[object]]", pipeline.execute(raise_on_error=False))
        except (RedisError, OSError, TimeoutError):
            return False
        if any(isinstance(reply, OutOfMemoryError | ReadOnlyError) for reply in replies):
            return False
        for write, reply in zip(batch, replies, strict=True):
            if isinstance(reply, ResponseError):
                self._lost(f"Redis refused it: {reply}")
            # The oldest may have been dropped for room meanwhile.
            if self._waiting and self._waiting[0] is write:
                self._waiting.popleft()
        return True

    def _lost(self, reason: str) -> None:
        """Count and log a write that was given up."""
        self.dropped += 1
        LOGGER.error("a ledger write was lost: %s", reason)
