"""Batches in Redis: everything that a process needs to go on with one that another process left.

`ragopt:batches` is a sorted set of the batches that are not closed: id to the Unix time of the last sign of life of
whoever works on it, 0 while nobody does. What a batch consists of stands in hashes of its own.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar, cast

from redis.asyncio import Redis

from indexes.access import EVERYTHING, Reader
from ragopt.errors import IdempotencyConflict, NotFound, RateLimited
from ragopt.state.access import as_bytes, redis_errors
from ragopt.state.batch_keys import OPEN, info_key, named_key, part_key, tenant_key, waiting_key
from ragopt.state.batch_records import (
    BatchInfo,
    BatchItem,
    BatchResult,
    BatchState,
    Half,
    Part,
    Place,
    SharedCall,
    Terms,
    adapter,
    packed,
    unpacked,
)
from ragopt.state.batch_scripts import BEAT, CLAIM, CLOSE, CREATE, FINISH, ORPHAN, RECORD
from ragopt.state.jobs import new_job_id

T = TypeVar("T")

STALE_S = 15.0
KEPT_S = 7 * 86_400
# No batch runs longer: providers end theirs after a day, and what is left of it is settled soon after.
LONGEST_S = 3 * 86_400
LISTED = 100
CHUNK = 200
# A guess: results come as the providers' batches end, mostly within an hour.
OPEN_RETRY_S = 60.0
COUNTED = ("batch", "live", "cache", "duplicate", "none", "prepared")


@dataclass(frozen=True, slots=True)
class Claim:
    """A batch that one process works on; `token` tells it from every other."""

    id: str
    token: str


class Batches:
    """The batches in Redis. Methods raise `StateUnavailable` when Redis does not answer. `now`: Unix seconds."""

    def __init__(self, redis: Redis, *, now: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self.now = now

    async def create(
        self,
        terms: Terms,
        items: Sequence[BatchItem],
        *,
        idempotency: tuple[str, str] | None = None,
        most_open: int = 0,
    ) -> tuple[str, bool]:
        """Return the id of a new batch and True; of the one that the same Idempotency-Key made before, and False.

        idempotency: the key and the body's digest. most_open: questions of its API key that may be without a result,
        those of the new batch counted, 0 for any number. Nobody sees the batch before all of it is there.
        Raises: `IdempotencyConflict` if the key came with another body; `RateLimited` if too many questions are open.
        """
        batch_id = new_job_id()
        key, digest = idempotency or ("", "")
        with redis_errors():
            await self._put(part_key("items", batch_id), {str(n): packed(item) for n, item in enumerate(items)})
            waiting = waiting_key(terms.tenant, terms.key_id)
            names = (named_key(terms.tenant, key), info_key(batch_id), OPEN, tenant_key(terms.tenant), waiting)
            told = adapter(Terms).dump_json(terms)
            lives_s, named = KEPT_S + LONGEST_S, int(idempotency is not None)
            args = (batch_id, digest, told, terms.created_at, lives_s, named, info_key(""), terms.total, most_open)
            reply = await self._eval(CREATE, names, args)
        first_id, first_digest = (as_bytes(part).decode() for part in cast("Sequence[bytes]", reply))
        if first_id == batch_id:
            return batch_id, True
        await self._delete(part_key("items", batch_id))
        if not first_id:
            raise RateLimited(too_many_open(terms, first_digest, most=most_open), retry_after_s=OPEN_RETRY_S)
        if first_digest != digest:
            raise IdempotencyConflict("This Idempotency-Key was used with another request body.")
        return first_id, False

    async def info(self, batch_id: str, *, tenant: str | None = None, reader: Reader = EVERYTHING) -> BatchInfo:
        """Return how a batch stands.

        Raises: `NotFound` if there is none, or it is not the tenant's, or rests on what the reader may not read.
        """
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as commands:
                commands.hgetall(info_key(batch_id))
                commands.hvals(part_key("parts", batch_id))
                fields, parts = await commands.execute()
        found = info_from(batch_id, {as_bytes(k).decode(): as_bytes(v) for k, v in fields.items()}, parts)
        if found is None or tenant not in (None, found.terms.tenant) or not reader.covers(found.terms.reader):
            raise NotFound(f"There is no batch {batch_id}.")
        return found

    async def of_tenant(self, tenant: str, *, reader: Reader) -> list[BatchInfo]:
        """Return those of the tenant's newest 100 batches that the reader may read, the newest first."""
        with redis_errors():
            ids = await self._redis.zrevrange(tenant_key(tenant), 0, LISTED - 1)
        found = []
        for batch_id in ids:
            try:
                found.append(await self.info(as_bytes(cast("bytes", batch_id)).decode(), tenant=tenant, reader=reader))
            except NotFound:
                continue
        return found

    async def cancel(self, batch_id: str) -> None:
        """Ask for the end of a batch; nothing for one that has ended."""
        with redis_errors():
            await self._redis.hset(info_key(batch_id), "cancelled", "1")

    async def orphan(self) -> None:
        """Put every batch back: whoever worked on one is gone."""
        with redis_errors():
            await self._eval(ORPHAN, (OPEN,), ())

    async def claim(self) -> list[Claim]:
        """Return the batches that this caller now works on: those of nobody, and those without a sign of life.

        No two callers get the same one, as long as each calls `beat` in time for all it claimed.
        """
        now, token = self.now(), secrets.token_hex(8)
        with redis_errors():
            ids = await self._eval(CLAIM, (OPEN,), (now - STALE_S, now, token, info_key("")))
        return [Claim(as_bytes(batch_id).decode(), token) for batch_id in cast("Sequence[bytes]", ids)]

    async def beat(self, claim: Claim) -> bool:
        """Give a sign of life; returns False if somebody else works on the batch by now, or nobody has to."""
        with redis_errors():
            reply = await self._eval(BEAT, (OPEN, info_key(claim.id)), (claim.id, self.now(), claim.token))
        return bool(reply)

    async def release(self, claim: Claim) -> None:
        """Put a batch back, so that the next start goes on with it at once."""
        with redis_errors():
            await self._eval(BEAT, (OPEN, info_key(claim.id)), (claim.id, 0, claim.token))

    async def items(self, batch_id: str, numbers: Sequence[int]) -> list[BatchItem]:
        """Return the requests of these numbers, in their order. Raises: `NotFound` if one is gone."""
        return [unpacked(BatchItem, stored) for stored in await self._got("items", batch_id, numbers)]

    async def halves(self, batch_id: str, numbers: Sequence[int]) -> list[Half]:
        """Return the first halves of these numbers, in their order. Raises: `NotFound` if one is gone."""
        return [unpacked(Half, stored) for stored in await self._got("halves", batch_id, numbers)]

    async def unprepared(self, batch_id: str, *, total: int) -> list[int]:
        """Return the numbers of the requests that have neither a first half nor a result."""
        with redis_errors():
            done = {int(name) for name in await self._redis.hkeys(part_key("halves", batch_id))}
            done |= {int(name) for name in await self._redis.hkeys(part_key("results", batch_id))}
        return [n for n in range(total) if n not in done]

    async def unanswered(self, batch_id: str, numbers: Sequence[int]) -> list[int]:
        """Return those of the numbers that have no result, in their order."""
        with redis_errors():
            done = {int(name) for name in await self._redis.hkeys(part_key("results", batch_id))}
        return [n for n in numbers if n not in done]

    async def keep_halves(self, batch_id: str, halves: Mapping[int, tuple[Half, Place]]) -> None:
        """Keep the first halves of requests by number, each with its place: both or neither."""
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as commands:
                for n, (half, place) in halves.items():
                    commands.hset(part_key("halves", batch_id), str(n), packed(half))
                    commands.hset(part_key("places", batch_id), str(n), packed(place))
                await commands.execute()
            for kind in ("halves", "places"):
                await self._redis.expire(part_key(kind, batch_id), KEPT_S + LONGEST_S)
            placed = await self._redis.hlen(part_key("places", batch_id))
            await self._redis.hset(info_key(batch_id), "prepared", placed)

    async def places(self, batch_id: str) -> dict[int, Place]:
        """Return the places by the number of their request, ascending."""
        with redis_errors():
            stored = await self._redis.hgetall(part_key("places", batch_id))
        found = {int(n): unpacked(Place, as_bytes(value)) for n, value in stored.items()}
        return dict(sorted(found.items()))

    async def calls(self, batch_id: str) -> dict[str, SharedCall]:
        """Return the calls by key; {} until they are planned."""
        with redis_errors():
            stored = await self._redis.hgetall(part_key("calls", batch_id))
        # Ten thousand of them take half a second, which nothing else should wait for.
        read = await asyncio.to_thread(lambda: [unpacked(SharedCall, as_bytes(value)) for value in stored.values()])
        return {call.key: call for call in read}

    async def keep_calls(self, batch_id: str, calls: Sequence[SharedCall]) -> None:
        """Keep calls as they are now."""
        with redis_errors():
            await self._put(part_key("calls", batch_id), {call.key: packed(call) for call in calls})

    async def parts(self, batch_id: str) -> list[Part]:
        """Return the providers' batches, by number."""
        with redis_errors():
            stored = await self._redis.hvals(part_key("parts", batch_id))
        found = [unpacked(Part, as_bytes(value)) for value in stored]
        return sorted(found, key=lambda part: part.number)

    async def keep_parts(self, batch_id: str, parts: Sequence[Part], *, calls: Sequence[SharedCall] = ()) -> None:
        """Keep providers' batches as they are now, together with their calls: all or nothing."""
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as commands:
                if parts:
                    fields = [value for part in parts for value in (str(part.number), packed(part))]
                    commands.hset(part_key("parts", batch_id), items=fields)
                if calls:
                    fields = [value for call in calls for value in (call.key, packed(call))]
                    commands.hset(part_key("calls", batch_id), items=fields)
                await commands.execute()

    async def record(
        self,
        batch_id: str,
        results: Mapping[int, BatchResult],
        *,
        calls: Sequence[SharedCall] = (),
        costs: Mapping[str, int] | None = None,
    ) -> None:
        """Keep results by number and what calls came to, in one step; the first result of a number stays.

        costs: nano-USD by a name that stands for one charge: however often it is recorded, it counts once.
        """
        names = [part_key(kind, batch_id) for kind in ("results", "calls", "costs", "halves")]
        args: list[bytes | str | int] = [len(results), len(calls), len(costs or {})]
        for n, result in results.items():
            args += [str(n), packed(result), result.served]
        for call in calls:
            args += [call.key, packed(call)]
        for name, nano in (costs or {}).items():
            args += [name, nano]
        with redis_errors():
            await self._eval(RECORD, (info_key(batch_id), *names), args)

    async def results(self, batch_id: str, *, total: int) -> AsyncIterator[BatchResult]:
        """Yield the results that there are, in the order of the requests."""
        for numbers in runs(range(total)):
            with redis_errors():
                stored = await self._redis.hmget(part_key("results", batch_id), [str(n) for n in numbers])
            for value in stored:
                if value is not None:
                    yield unpacked(BatchResult, as_bytes(value))

    async def finish(self, batch_id: str, state: BatchState, *, error: str = "") -> None:
        """Say that a batch has ended and how, once; what is left of its money is settled before it is closed."""
        with redis_errors():
            await self._eval(FINISH, (info_key(batch_id),), (state, error, self.now()))

    async def close(self, claim: Claim) -> None:
        """Forget all of a batch but its results and how it stood; these go 7 days later."""
        kept = [info_key(claim.id), part_key("results", claim.id), part_key("parts", claim.id)]
        gone = [part_key(kind, claim.id) for kind in ("items", "halves", "places", "calls", "costs")]
        with redis_errors():
            await self._eval(CLOSE, (OPEN, *kept, *gone), (claim.id, KEPT_S, len(kept)))

    async def _put(self, name: str, fields: Mapping[str, bytes]) -> None:
        """Write many fields in messages of a bounded size; what nobody closes goes with time."""
        for some in runs(fields.items()):
            await self._redis.hset(name, mapping=dict(some))
        if fields:
            await self._redis.expire(name, KEPT_S + LONGEST_S)

    async def _got(self, kind: str, batch_id: str, numbers: Sequence[int]) -> list[bytes]:
        found: list[bytes] = []
        for some in runs(numbers):
            with redis_errors():
                stored = await self._redis.hmget(part_key(kind, batch_id), [str(n) for n in some])
            if None in stored:
                raise NotFound(f"There is no batch {batch_id} to go on with.")
            found += [as_bytes(value) for value in stored if value is not None]
        return found

    async def _delete(self, name: str) -> None:
        with redis_errors():
            await self._redis.delete(name)

    async def _eval(self, script: str, keys: Sequence[str], args: Sequence[bytes | str | float]) -> object:
        return await cast("Awaitable[object]", self._redis.eval(script, len(keys), *keys, *args))


async def batches_in(redis: Redis, *, alone: bool) -> Batches:
    """Return the batches in Redis; alone: no other process uses it, so a dead one's can be gone on with at once."""
    batches = Batches(redis)
    if alone:
        await batches.orphan()
    return batches


def info_from(batch_id: str, fields: Mapping[str, bytes], parts: Sequence[bytes]) -> BatchInfo | None:
    """Return the batch that stored fields describe, None for none."""
    if "terms" not in fields:
        return None
    ended_at = float(fields.get("ended_at", b"0"))
    return BatchInfo(
        id=batch_id,
        terms=adapter(Terms).validate_json(fields["terms"]),
        state=cast("BatchState", fields["state"].decode()),
        cancelled="cancelled" in fields,
        error=fields.get("error", b"").decode(),
        ended_at=ended_at or None,
        cost_nano=int(fields.get("cost_nano", b"0")),
        counts={name: int(fields.get(name, b"0")) for name in COUNTED},
        parts=tuple(sorted((unpacked(Part, as_bytes(part)) for part in parts), key=lambda part: part.number)),
    )


def too_many_open(terms: Terms, already: str, *, most: int) -> str:
    """Return why a batch is refused whose API key has so many open questions already, in a sentence."""
    return (
        f"This key may have {most} questions open in batches at once (batch_questions); {already} are open, "
        f"and this batch has {terms.total}."
    )


def runs(values: Iterable[T]) -> Iterator[list[T]]:
    """Yield the values in lists of a bounded length, in order."""
    left = iter(values)
    while some := list(islice(left, CHUNK)):
        yield some
