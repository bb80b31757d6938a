"""The background side of ingest: claims jobs, works on them, and takes up what a dead process left."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING

from indexes.errors import IndexingError
from indexes.ingest import IngestProgress
from indexes.records import IngestResult
from ragopt.audit.events import Actor, AuditEvent, stored
from ragopt.errors import NotFound, RagoptError, StateUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from indexes.library import Library
    from ragopt.audit.trail import Audit
    from ragopt.state.jobs import Jobs

LOGGER = logging.getLogger("ragopt.jobs")
# Small ingests pass a large one; the encoder behind them is one queue anyway.
WORKERS = 2
# Jobs of a process that died show up here once their heartbeat is stale; no signal tells of them.
POLL_S = 5.0
HEARTBEAT_S = 4.0


class JobRunner:
    """Works on queued jobs for as long as the block lasts, and puts unfinished ones back at its end."""

    def __init__(
        self,
        jobs: Jobs,
        library: Library,
        *,
        audit: Audit,
        observe: Callable[[Sequence[IngestResult]], None] = lambda _: None,
    ) -> None:
        self._audit = audit
        self._jobs = jobs
        self._observe = observe
        self._library = library
        self._wake = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> JobRunner:
        self._workers = [asyncio.create_task(self._work_on_all()) for _ in range(WORKERS)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)

    def wake(self) -> None:
        """Have the workers look for jobs now."""
        self._wake.set()

    async def _work_on_all(self) -> None:
        while True:
            self._wake.clear()
            try:
                claimed = await self._jobs.claim_unfinished(limit=1)
            except StateUnavailable:
                claimed = []
            for job_id in claimed:
                await self._work_on(job_id)
            if not claimed:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), POLL_S)

    async def _work_on(self, job_id: str) -> None:
        try:
            await self._ingest(job_id)
        except asyncio.CancelledError:
            await self._unless_down(lambda: self._jobs.release(job_id))
            raise
        except (StateUnavailable, NotFound) as error:
            # Redis went away or somebody else ended the job; a stale one is claimed again.
            LOGGER.warning("job left", extra={"fields": {"job_id": job_id, "reason": error.detail}})
        except (IndexingError, RagoptError) as error:
            reason = f"{error.code}: {error.detail}"
            await self._unless_down(lambda: self._jobs.fail(job_id, reason))
        except Exception:  # the edge: a worker must outlive any one job
            LOGGER.exception("job failed", extra={"fields": {"job_id": job_id}})
            await self._unless_down(lambda: self._jobs.fail(job_id, "internal_error: see the log"))

    async def _ingest(self, job_id: str) -> None:
        owner = await self._jobs.owner(job_id)
        tenant, collection = owner.tenant, owner.collection
        documents = await self._jobs.documents(job_id)
        async with self._heartbeat(job_id) as report:
            results = await self._library.ingest(tenant, collection, documents, by=owner.by, progress=report)
        self._observe(results)
        # Whose key queued it, the line of the request says, which names the same job.
        told = AuditEvent("ingest", Actor("", tenant), "", collection, job_id, stored(results))
        self._audit.record(told)
        await self._jobs.finish(job_id, results)
        LOGGER.info("job done", extra={"fields": {"job_id": job_id, "tenant": tenant, "documents": len(results)}})

    @asynccontextmanager
    async def _heartbeat(self, job_id: str) -> AsyncIterator[Callable[[IngestProgress], None]]:
        latest = IngestProgress(0, 0, 0, 0)

        def report(progress: IngestProgress) -> None:
            nonlocal latest
            latest = progress

        async def record() -> None:
            done, total = latest.chunks_done, latest.chunks_total
            await self._jobs.progress(job_id, chunks_done=done, chunks_total=total)

        async def beat() -> None:
            while True:
                await self._unless_down(record)
                await asyncio.sleep(HEARTBEAT_S)

        beating = asyncio.create_task(beat())
        try:
            yield report
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
        await self._unless_down(record)

    async def _unless_down(self, write: Callable[[], Awaitable[None]]) -> None:
        with suppress(StateUnavailable):
            await write()
