"""The log beside a running service: lines wait in a queue and are written by one task, and no answer waits for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import TypeAlias

from ragopt.audit.events import AuditEvent
from ragopt.audit.file import NOBODY, AuditFile

LOGGER = logging.getLogger("ragopt.audit")
SYNC_S = 1.0
RETRY_S = 1.0
# A stop waits so long for a disk that takes nothing.
CLOSE_S = 5.0
MAX_LINES = 500


class NoAudit:
    """An audit that is off."""

    def record(self, event: AuditEvent) -> None:
        """Forget the event."""


class AuditTrail:
    """Takes events for as long as the block lasts, and has written what the disk took by its end.

    text: whether questions and answers are written. max_waiting: events that may wait for the disk; one more is
    lost: counted, and written down as a gap.
    """

    def __init__(self, file: AuditFile, *, text: bool, max_waiting: int) -> None:
        self._file = file
        self._text = text
        self._max_waiting = max_waiting
        self._waiting: deque[AuditEvent] = deque()
        self._lost = 0
        self._wake = asyncio.Event()
        self._ending = False
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> AuditTrail:
        self._writer = asyncio.create_task(self._write_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending = True
        self._wake.set()
        if self._writer is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._writer, CLOSE_S)
        if self._waiting or self._lost:
            LOGGER.error("audit lines lost", extra={"fields": {"lines": len(self._waiting) + self._lost}})

    def record(self, event: AuditEvent) -> None:
        """Have the event written down; returns at once."""
        if len(self._waiting) >= self._max_waiting:
            self._lost += 1
            return
        self._waiting.append(event if self._text else event.without_text())
        self._wake.set()

    async def _write_on(self) -> None:
        synced, dirty = 0.0, False
        while True:
            if self._waiting or self._lost:
                dirty = await self._written() or dirty
            elif self._ending and not dirty:
                return
            elif dirty and (self._ending or time.monotonic() >= synced + SYNC_S):
                dirty, synced = not await self._on_disk(), time.monotonic()
            else:
                self._wake.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), synced + SYNC_S - time.monotonic() if dirty else None)

    async def _written(self) -> bool:
        """Return whether the oldest waiting events are in the file; they wait on where it takes none."""
        lost = self._lost
        batch = [self._waiting[i] for i in range(min(MAX_LINES, len(self._waiting)))]
        gap = [AuditEvent("gap", NOBODY, count=lost)] if lost else []
        try:
            await asyncio.to_thread(self._file.append, [*batch, *gap])
        except OSError as error:
            await self._failed(error)
            return False
        self._lost -= lost
        for _ in batch:
            self._waiting.popleft()
        return True

    async def _on_disk(self) -> bool:
        try:
            await asyncio.to_thread(self._file.sync)
        except OSError as error:
            await self._failed(error)
            return False
        return True

    async def _failed(self, error: OSError) -> None:
        LOGGER.error("audit log cannot be written", extra={"fields": {"reason": str(error)}})
        await asyncio.sleep(RETRY_S)


Audit: TypeAlias = AuditTrail | NoAudit
