"""The background side of batches: claims them, works on them, and takes up what a process that died has left."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from types import TracebackType

from indexes.errors import StoreUnavailable
from ragopt.batches.desk import Desk
from ragopt.batches.work import Work
from ragopt.errors import NotFound, StateUnavailable
from ragopt.state.batches import Claim

LOGGER = logging.getLogger("ragopt.batches")
# Batches of a process that died show up once their sign of life is stale; no signal tells of them.
LOOK_S = 5.0
BEAT_S = 4.0
AGAIN_S = 2.0
MOST_FAULTS = 3


class BatchRunner:
    """Works on all batches for as long as the block lasts, and puts them back at its end."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._wake = asyncio.Event()
        self._works: dict[str, Work] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._looking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> BatchRunner:
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        tasks = [task for task in (self._looking, *self._tasks.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def wake(self, batch_id: str | None = None) -> None:
        """Look for new batches now, or go on with one at once."""
        if batch_id is None:
            self._wake.set()
        elif batch_id in self._works:
            self._works[batch_id].wake.set()

    async def _look(self) -> None:
        while True:
            self._wake.clear()
            with suppress(StateUnavailable):
                for claim in await self._desk.store.claim():
                    await self._start(claim)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), LOOK_S)

    async def _start(self, claim: Claim) -> None:
        # One that we gave no sign of life for is claimed like anybody's; what works on it knows nothing of that.
        if (running := self._tasks.get(claim.id)) is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        self._works[claim.id] = Work(self._desk, claim)
        self._tasks[claim.id] = asyncio.create_task(self._work_on(self._works[claim.id]))

    async def _work_on(self, work: Work) -> None:
        beating = asyncio.create_task(self._beat(work.claim, asyncio.current_task()))
        try:
            await self._until_closed(work)
        except asyncio.CancelledError:
            with suppress(StateUnavailable):
                await self._desk.store.release(work.claim)
            raise
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            if self._works.get(work.id) is work:
                del self._works[work.id], self._tasks[work.id]

    async def _until_closed(self, work: Work) -> None:
        faults = 0
        while True:
            try:
                await work.run()
                LOGGER.info("batch closed", extra={"fields": {"batch_id": work.id}})
                return
            except (StateUnavailable, StoreUnavailable) as error:
                LOGGER.warning("batch waits: %s", error.detail, extra={"fields": {"batch_id": work.id}})
            except NotFound:
                return  # closed by somebody else
            except Exception:  # the edge: the runner must outlive any one batch
                faults += 1
                LOGGER.exception("batch fault", extra={"fields": {"batch_id": work.id}})
                if faults == MOST_FAULTS:
                    await work.abandon("internal_error: see the log")
                    return
            await asyncio.sleep(AGAIN_S)

    async def _beat(self, claim: Claim, working: asyncio.Task[None] | None) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            with suppress(StateUnavailable):
                if not await self._desk.store.beat(claim) and working is not None:
                    working.cancel()
