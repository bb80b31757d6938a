"""Ingest jobs: each is worked on by one, lost by none."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from indexes.records import Document, IngestFailure, IngestResult
from ragopt.errors import NotFound, StateUnavailable
from ragopt.state.access import redis_key
from ragopt.state.jobs import KEPT_S, STALE_S, Job, JobOwner, Jobs, pack_document, unpack_document
from ragopt.state.redis_server import EmbeddedRedis
from tests.ragopt.state.scenarios import Clock, with_redis

OWNER = JobOwner("acme", "default")
DOCUMENTS = [
    Document("a", "Größe\n" * 1000, "A", {"team": "hr", "year": 2024, "share": 1.0, "public": True}),
    Document("b/ü", "\ud800 half a character"),
]
RESULTS = (
    IngestResult("a", 2, "updated", 12, 2110),
    IngestResult("b/ü", None, "failed", 0, 0, IngestFailure("invalid_text", "a lone surrogate")),
)
SCALARS = st.one_of(st.text(), st.integers(), st.booleans(), st.floats(allow_nan=False))


@given(
    document=st.builds(
        Document, id=st.text(), text=st.text(), title=st.text(), metadata=st.dictionaries(st.text(), SCALARS)
    )
)
def test_a_packed_document_is_the_same_document(document: Document) -> None:
    """Documents come out of Redis as they went in, with the types of their metadata."""
    unpacked = unpack_document(pack_document(document))
    assert unpacked == document
    assert [type(value) for value in unpacked.metadata.values()] == [type(v) for v in document.metadata.values()]


def test_a_new_job_is_queued_and_holds_its_documents(redis_url: str) -> None:
    """A job can be asked for as soon as it has an id, and its documents come back in order."""

    async def scenario(redis: Redis) -> None:
        jobs = Jobs(redis)
        job_id = await jobs.create(OWNER, DOCUMENTS)
        assert await jobs.get("acme", job_id) == Job(job_id, OWNER, "queued", (), None, 0, 0)
        assert await jobs.documents(job_id) == DOCUMENTS

    with_redis(redis_url, scenario)


def test_a_job_without_documents_is_a_job(redis_url: str) -> None:
    """An empty ingest is queued and done like any other."""

    async def scenario(redis: Redis) -> None:
        jobs = Jobs(redis)
        job_id = await jobs.create(OWNER, [])
        assert (await jobs.claim_unfinished(), await jobs.documents(job_id)) == ([job_id], [])
        await jobs.finish(job_id, [])
        assert (await jobs.get("acme", job_id)).status == "done"

    with_redis(redis_url, scenario)


def test_a_recorded_job_is_done_from_the_start(redis_url: str) -> None:
    """An ingest that was waited for leaves its results under an id, and nothing for a worker to claim."""

    async def scenario(redis: Redis) -> None:
        jobs = Jobs(redis)
        job_id = await jobs.record(OWNER, RESULTS)
        assert await jobs.get("acme", job_id) == Job(job_id, OWNER, "done", RESULTS, None, 0, 0)
        assert await jobs.claim_unfinished() == []
        assert 0 < await redis.ttl(redis_key("job", job_id)) <= KEPT_S

    with_redis(redis_url, scenario)


def test_a_worker_learns_whose_job_it_is(redis_url: str) -> None:
    """The id alone leads a worker to tenant and collection; an unknown id leads nowhere."""

    async def scenario(redis: Redis) -> None:
        jobs = Jobs(redis)
        assert await jobs.owner(await jobs.create(JobOwner("a:b", "c"), [])) == JobOwner("a:b", "c")
        with pytest.raises(NotFound):
            await jobs.owner("unknown")

    with_redis(redis_url, scenario)


def test_a_job_belongs_to_its_tenant(redis_url: str) -> None:
    """Another tenant's job is not found, like one that never was."""

    async def scenario(redis: Redis) -> None:
        jobs = Jobs(redis)
        job_id = await jobs.create(JobOwner("acme", "c:\ud800"), DOCUMENTS)
        for tenant, wanted in (("other", job_id), ("", job_id), ("acme", "unknown"), ("acme", f"{job_id}:x\ud800")):
            with pytest.raises(NotFound):
                await jobs.get(tenant, wanted)
        assert (await jobs.get("acme", job_id)).owner.collection == "c:\ud800"

    with_redis(redis_url, scenario)


def test_a_finished_job_keeps_its_results_and_drops_its_documents(redis_url: str) -> None:
    """After its end a job says what became of each document for seven days; the texts are gone."""

    async def scenario(redis: Redis) -> None:
        jobs = Jobs(redis)
        job_id = await jobs.create(OWNER, DOCUMENTS)
        await jobs.claim_unfinished()
        await jobs.progress(job_id, chunks_done=12, chunks_total=12)
        await jobs.finish(job_id, RESULTS)
        assert await jobs.get("acme", job_id) == Job(job_id, OWNER, "done", RESULTS, None, 12, 12)
        with pytest.raises(NotFound):
            await jobs.documents(job_id)
        assert await redis.exists(redis_key("job-documents", job_id)) == 0
        assert KEPT_S - 60 < await redis.ttl(redis_key("job", job_id)) <= KEPT_S

    with_redis(redis_url, scenario)


def test_a_failed_job_says_why(redis_url: str) -> None:
    """A job that failed as a whole carries its sentence and no results."""

    async def scenario(redis: Redis) -> None:
        jobs = Jobs(redis)
        job_id = await jobs.create(OWNER, DOCUMENTS)
        await jobs.fail(job_id, "The store is „down“.")
        job = await jobs.get("acme", job_id)
        assert (job.status, job.error, job.documents) == ("failed", "The store is „down“.", ())

    with_redis(redis_url, scenario)


def test_the_first_end_of_a_job_stands(redis_url: str) -> None:
    """A worker that comes late changes nothing, and brings no job back to life."""

    async def scenario(redis: Redis) -> None:
        jobs = Jobs(redis)
        job_id = await jobs.create(OWNER, DOCUMENTS)
        await jobs.finish(job_id, RESULTS)
        ended = await jobs.get("acme", job_id)
        await jobs.fail(job_id, "too late")
        await jobs.progress(job_id, chunks_done=1, chunks_total=99)
        await jobs.release(job_id)
        await jobs.progress("unknown", chunks_done=1, chunks_total=99)
        assert (await jobs.get("acme", job_id), await jobs.claim_unfinished()) == (ended, [])

    with_redis(redis_url, scenario)


def test_workers_at_once_never_claim_the_same_job(redis_url: str) -> None:
    """However many claim at once, each job goes to one of them, and is running then."""

    async def scenario(redis: Redis) -> None:
        jobs = [Jobs(redis) for _ in range(5)]
        made = [await jobs[0].create(OWNER, DOCUMENTS[:1]) for _ in range(20)]
        claimed = await asyncio.gather(*(worker.claim_unfinished(limit=7) for worker in jobs))
        assert sorted(job_id for ids in claimed for job_id in ids) == sorted(made)
        assert max(map(len, claimed)) <= 7
        assert {(await jobs[0].get("acme", job_id)).status for job_id in made} == {"running"}

    with_redis(redis_url, scenario)


def test_the_oldest_job_is_claimed_first(redis_url: str) -> None:
    """Jobs are taken in the order they were accepted."""

    async def scenario(redis: Redis) -> None:
        jobs = Jobs(redis)
        made = [await jobs.create(OWNER, []) for _ in range(3)]
        assert [await jobs.claim_unfinished(limit=1) for _ in range(4)] == [*([job_id] for job_id in made), []]

    with_redis(redis_url, scenario)


def test_a_job_whose_worker_died_is_claimed_again(redis_url: str) -> None:
    """A running job without a sign of life for 15 seconds is taken up, with all its documents; a live one is not."""

    async def scenario(redis: Redis) -> None:
        clock = Clock()
        jobs = Jobs(redis, now=clock)
        dead, alive = [await jobs.create(OWNER, DOCUMENTS) for _ in range(2)]
        await jobs.claim_unfinished()
        clock.seconds += STALE_S - 1
        await jobs.progress(alive, chunks_done=3, chunks_total=9)
        assert await jobs.claim_unfinished() == []
        clock.seconds += 1
        assert await jobs.claim_unfinished() == [dead]
        assert await jobs.documents(dead) == DOCUMENTS
        job = await jobs.get("acme", alive)
        assert (job.status, job.chunks_done, job.chunks_total) == ("running", 3, 9)

    with_redis(redis_url, scenario)


def test_a_released_job_is_claimed_at_once(redis_url: str) -> None:
    """A worker that stops cleanly leaves its job to the next without a wait."""

    async def scenario(redis: Redis) -> None:
        jobs = Jobs(redis)
        job_id = await jobs.create(OWNER, DOCUMENTS)
        await jobs.claim_unfinished()
        assert await jobs.claim_unfinished() == []
        await jobs.release(job_id)
        assert await jobs.claim_unfinished() == [job_id]

    with_redis(redis_url, scenario)


def test_without_redis_every_call_says_so(own_redis: EmbeddedRedis) -> None:
    """With Redis killed no call returns as if nothing were wrong."""

    async def scenario(redis: Redis) -> None:
        jobs = Jobs(redis)
        job_id = await jobs.create(OWNER, DOCUMENTS)
        os.kill(own_redis.pid, signal.SIGKILL)
        for call in (
            jobs.get("acme", job_id),
            jobs.documents(job_id),
            jobs.create(OWNER, DOCUMENTS),
        ):
            with pytest.raises(StateUnavailable):
                await call

    with_redis(own_redis.url, scenario)
