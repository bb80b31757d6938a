"""Ingest jobs: what was accepted, who works on it, and what became of it.

A job's documents stay in Redis until it ends, so a restart can take it up again. `ragopt:jobs` is
a sorted set of the jobs that have not ended: id to the Unix time of the last heartbeat, 0 while
nobody works on it. Ids start with the time of creation, so the oldest is claimed first.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from redis.asyncio import Redis

from indexes.access import ANYONE, Reader
from indexes.records import Document, IngestFailure, IngestResult
from ragopt.errors import NotFound
from ragopt.principals import reader_from
from ragopt.state.access import as_bytes, redis_errors, redis_key

JobStatus: TypeAlias = Literal["queued", "running", "done", "failed"]

STALE_S = 15.0
KEPT_S = 7 * 86_400
MAX_CLAIMED = 100
UNFINISHED = redis_key("jobs")
FIELDS = ("owner", "status", "outcome", "chunks_done", "chunks_total")

CLAIM = """
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, id in ipairs(ids) do
  redis.call('ZADD', KEYS[1], ARGV[2], id)
  redis.call('HSET', ARGV[4] .. id, 'status', 'running')
end
return ids
"""
PROGRESS = """
if redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
  redis.call('HSET', KEYS[2], 'chunks_done', ARGV[3], 'chunks_total', ARGV[4])
end
"""
END = """
if redis.call('ZREM', KEYS[1], ARGV[1]) == 1 then
  redis.call('HSET', KEYS[2], 'status', ARGV[2], 'outcome', ARGV[3])
  redis.call('EXPIRE', KEYS[2], ARGV[4])
  redis.call('DEL', KEYS[3])
end
"""


@dataclass(frozen=True, slots=True)
class JobOwner:
    """Whose ingest it is and into what. by: who sends the documents. restricted: whether one of them has a list."""

    tenant: str
    collection: str
    by: Reader = ANYONE
    restricted: bool = False

    def may_look(self, tenant: str, reader: Reader) -> bool:
        """Return whether a reader of a tenant may know what became of the documents."""
        return tenant == self.tenant and (not self.restricted or reader.covers(self.by))


@dataclass(frozen=True, slots=True)
class Job:
    """One ingest. `documents` is empty until it is done, `error` None unless it failed."""

    id: str
    owner: JobOwner
    status: JobStatus
    documents: tuple[IngestResult, ...]
    error: str | None
    chunks_done: int
    chunks_total: int


class Jobs:
    """The jobs in Redis. Methods raise `StateUnavailable` when Redis does not answer."""

    def __init__(self, redis: Redis, *, now: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._now = now

    async def create(self, owner: JobOwner, documents: Sequence[Document]) -> str:
        """Return the id of a new queued job that holds the documents, in order."""
        job_id = new_job_id()
        held = redis_key("job-documents", job_id)
        with redis_errors():
            for n, document in enumerate(documents):
                # One command each: a large ingest must fit neither one message nor one time limit.
                await self._redis.hset(held, str(n), await asyncio.to_thread(pack_document, document))
                if n == 0:
                    await self._redis.expire(held, KEPT_S)
            async with self._redis.pipeline(transaction=True) as commands:
                told = owner_to_json(owner)
                commands.hset(redis_key("job", job_id), mapping={"owner": told, "status": "queued"})
                commands.persist(held)
                commands.zadd(UNFINISHED, {job_id: 0})
                await commands.execute()
        return job_id

    async def record(self, owner: JobOwner, results: Sequence[IngestResult]) -> str:
        """Return the id of a new job that is done already: of an ingest that its request waited for."""
        job_id = new_job_id()
        told, outcome = owner_to_json(owner), outcome_to_json(results)
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as commands:
                commands.hset(redis_key("job", job_id), mapping={"owner": told, "status": "done", "outcome": outcome})
                commands.expire(redis_key("job", job_id), KEPT_S)
                await commands.execute()
        return job_id

    async def get(self, tenant: str, job_id: str, *, reader: Reader = ANYONE) -> Job:
        """Return the job; it can be asked for until 7 days after its end.

        Raises: `NotFound` if there is none, or it is another tenant's, or not for this reader.
        """
        with redis_errors():
            stored = await self._redis.hmget(redis_key("job", job_id), FIELDS)
        fields = {name: as_bytes(value).decode() for name, value in zip(FIELDS, stored, strict=True) if value}
        job = job_from_fields(job_id, fields) if "owner" in fields else None
        if job is None or not job.owner.may_look(tenant, reader):
            raise NotFound(f"There is no job {job_id}.")
        return job

    async def claim_unfinished(self, *, limit: int = MAX_CLAIMED) -> list[str]:
        """Return at most `limit` jobs that this caller now works on, oldest first.

        Those are the queued ones and the running ones without a sign of life for 15 seconds. No
        two callers get the same one, as long as each calls `progress` in time for all it claimed.
        """
        now = self._now()
        with redis_errors():
            claimed = await self._redis.eval(CLAIM, 1, UNFINISHED, now - STALE_S, now, limit, redis_key("job", ""))
        return [as_bytes(job_id).decode() for job_id in claimed]

    async def owner(self, job_id: str) -> JobOwner:
        """Return whose job it is. Raises: `NotFound` if there is none."""
        with redis_errors():
            stored = await self._redis.hget(redis_key("job", job_id), "owner")
        if stored is None:
            raise NotFound(f"There is no job {job_id}.")
        return owner_from_json(stored)

    async def documents(self, job_id: str) -> list[Document]:
        """Return the documents of a job that has not ended, in order. Raises: `NotFound` for any other."""
        held = redis_key("job-documents", job_id)
        with redis_errors():
            if await self._redis.zscore(UNFINISHED, job_id) is None:
                raise NotFound(f"There is no unfinished job {job_id}.")
            packed = [await self._redis.hget(held, str(n)) for n in range(await self._redis.hlen(held))]
        return await asyncio.to_thread(lambda: [unpack_document(as_bytes(item)) for item in packed if item])

    async def progress(self, job_id: str, *, chunks_done: int, chunks_total: int) -> None:
        """Record how far the job is, and that its worker lives; nothing once it has ended."""
        with redis_errors():
            await self._redis.eval(
                PROGRESS, 2, UNFINISHED, redis_key("job", job_id), job_id, self._now(), chunks_done, chunks_total
            )

    async def release(self, job_id: str) -> None:
        """Put a claimed job back, so that the next start takes it up at once; nothing once it has ended."""
        with redis_errors():
            await self._redis.zadd(UNFINISHED, {job_id: 0}, xx=True)

    async def finish(self, job_id: str, results: Sequence[IngestResult]) -> None:
        """End the job as done with one result per document; nothing if it has ended already."""
        await self._end(job_id, "done", outcome_to_json(results))

    async def fail(self, job_id: str, error: str) -> None:
        """End the job as failed with a sentence that says why; nothing if it has ended already."""
        await self._end(job_id, "failed", outcome_to_json((), error=error))

    async def _end(self, job_id: str, status: JobStatus, outcome: str) -> None:
        names = (UNFINISHED, redis_key("job", job_id), redis_key("job-documents", job_id))
        with redis_errors():
            await self._redis.eval(END, len(names), *names, job_id, status, outcome, KEPT_S)


def new_job_id() -> str:
    """Return an id that nobody can guess and that sorts by the time it was made."""
    return f"{time.time_ns():016x}{secrets.token_hex(8)}"


def owner_to_json(owner: JobOwner) -> str:
    """Return whose a job is, as it is stored."""
    return json.dumps(asdict(owner))


def owner_from_json(stored: bytes | str) -> JobOwner:
    """Return what `owner_to_json` wrote; older versions of ragopt knew no readers."""
    fields = json.loads(stored)
    by = reader_from(fields.get("by"))
    return JobOwner(fields["tenant"], fields["collection"], by, fields.get("restricted", False))


def outcome_to_json(results: Sequence[IngestResult], *, error: str | None = None) -> str:
    """Return what became of a job, as it is stored."""
    return json.dumps({"documents": [asdict(result) for result in results], "error": error})


def job_from_fields(job_id: str, fields: dict[str, str]) -> Job:
    """Return the job that the fields of its Redis hash describe."""
    outcome = json.loads(fields.get("outcome") or outcome_to_json(()))
    statuses: dict[str, JobStatus] = {"running": "running", "done": "done", "failed": "failed"}
    return Job(
        id=job_id,
        owner=owner_from_json(fields["owner"]),
        status=statuses.get(fields["status"], "queued"),
        documents=tuple(
            IngestResult(**{**item, "error": IngestFailure(**item["error"]) if item["error"] else None})
            for item in outcome["documents"]
        ),
        error=outcome["error"],
        chunks_done=int(fields.get("chunks_done", 0)),
        chunks_total=int(fields.get("chunks_total", 0)),
    )


def pack_document(document: Document) -> bytes:
    """Return the document as compressed JSON; lone surrogates included, which only ingestion may judge."""
    return zlib.compress(json.dumps(asdict(document)).encode(), level=1)


def unpack_document(packed: bytes) -> Document:
    """Return the document that `pack_document` wrote."""
    fields = json.loads(zlib.decompress(packed))
    access = fields.pop("access", None)
    return Document(**fields, access=None if access is None else tuple(access))
