"""The background worker: takes up what it finds, puts back what it cannot end."""

from __future__ import annotations

import asyncio
import threading
from typing import cast

import pytest

from indexes.library import Library
from indexes.records import Document
from ragopt.api.jobs import JobRunner
from ragopt.audit.trail import NoAudit
from ragopt.errors import StateUnavailable
from ragopt.state.jobs import JobOwner, Jobs
from tests.ragopt.api.fakes import FakeJobs, FakeLibrary

DOCUMENTS = [Document("a", "The sky is blue.")]


def runner(jobs: FakeJobs, library: FakeLibrary) -> JobRunner:
    """Return a runner over stand-ins."""
    return JobRunner(cast("Jobs", jobs), cast("Library", library), audit=NoAudit())


async def until_status(jobs: FakeJobs, job_id: str, status: str) -> None:
    """Return once the job has the status."""
    async with asyncio.timeout(60):
        while jobs.jobs[job_id].status != status:
            await asyncio.sleep(0.005)


def test_jobs_of_an_earlier_process_are_taken_up() -> None:
    """What is queued when the runner starts is done without anybody asking."""

    async def scenario() -> FakeLibrary:
        jobs, library = FakeJobs(), FakeLibrary()
        job_id = await jobs.create(JobOwner("acme", "c"), DOCUMENTS)
        async with runner(jobs, library):
            await until_status(jobs, job_id, "done")
        return library

    assert list(asyncio.run(scenario()).stored) == [("acme", "c", "a")]


def test_unfinished_job_is_put_back_at_the_end() -> None:
    """A job that still runs when the service stops is released for the next start, and not failed."""

    async def scenario() -> FakeJobs:
        jobs, library = FakeJobs(), FakeLibrary()
        library.gate = threading.Event()
        job_id = await jobs.create(JobOwner("acme", "c"), DOCUMENTS)
        async with runner(jobs, library):
            await until_status(jobs, job_id, "running")
            await asyncio.to_thread(library.started.wait, 10)
        return jobs

    jobs = asyncio.run(scenario())
    assert (jobs.released, jobs.jobs["job-0"].status) == (["job-0"], "running")


@pytest.mark.parametrize(("failure", "said"), [(ZeroDivisionError("x"), "internal_error"), (None, None)])
def test_worker_outlives_a_broken_job(failure: Exception | None, said: str | None) -> None:
    """A job that fails in an unexpected way is failed without its text, and the next one is done."""

    async def scenario() -> FakeJobs:
        jobs, library = FakeJobs(), FakeLibrary()
        library.failure = failure
        first = await jobs.create(JobOwner("acme", "c"), DOCUMENTS)
        async with runner(jobs, library) as working:
            await until_status(jobs, first, "failed" if failure else "done")
            library.failure = None
            second = await jobs.create(JobOwner("acme", "c"), DOCUMENTS)
            working.wake()
            await until_status(jobs, second, "done")
        return jobs

    error = asyncio.run(scenario()).jobs["job-0"].error
    assert (error or "").partition(":")[0] == (said or "")


def test_worker_waits_while_redis_is_down() -> None:
    """A runner that cannot reach Redis tries again when it is woken."""

    class Returning(FakeJobs):
        """Jobs whose first claims fail."""

        claims = 0

        async def claim_unfinished(self, *, limit: int = 100) -> list[str]:
            """Fail the first calls."""
            self.claims += 1
            if self.claims <= 2:
                raise StateUnavailable("down")
            return await super().claim_unfinished(limit=limit)

    async def scenario() -> None:
        jobs = Returning()
        job_id = await jobs.create(JobOwner("acme", "c"), DOCUMENTS)
        async with runner(jobs, FakeLibrary()) as working:
            async with asyncio.timeout(60):
                while jobs.jobs[job_id].status != "done":
                    working.wake()
                    await asyncio.sleep(0.005)
        assert jobs.claims > 2

    asyncio.run(scenario())
