"""The embedded engine: Qdrant Edge, one shard per store, in this process.

Every call of qdrant_edge 0.9 holds the interpreter lock from start to end, so what runs long stops
the whole process wherever it is called: searches take 0.3 to 5 ms, reading a point 6 µs, and no
thread is worth the way there; compaction takes seconds, in a process of its own (`python -m indexes.edge_shard`).
"""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias, TypeVar
from uuid import UUID

import anyio.to_thread
import numpy as np
from qdrant_edge import (
    CountRequest,
    EdgeShard,
    FieldCondition,
    Filter,
    MatchAny,
    MatchValue,
    Query,
    QueryRequest,
    RangeFloat,
    Record,
    ScrollRequest,
    SearchParams,
    UpdateOperation,
)
from qdrant_edge import Point as EdgePoint
from qdrant_edge import SparseVector as EdgeSparseVector

from indexes.edge_shard import LOCKED, create_shard, load_shard, shard_kind
from indexes.errors import IndexingError, StoreLocked, StoreUnavailable
from indexes.points import DENSE, SCROLL_PAGE, SPARSE, batches, check_where, in_order, payload_bytes
from indexes.records import FloatVector, SparseVector
from indexes.room import refuse_full
from indexes.shard_files import copy_shard
from indexes.shards import Compaction, OpenShard, ShardPool
from indexes.store import Payload, Point, Scored, Where

T = TypeVar("T")
PointId: TypeAlias = int | UUID | str
NamedVector: TypeAlias = list[float] | EdgeSparseVector | list[list[float]]

# An open shard holds 34 MB of page cache, even an empty one: room that its payload file has reserved.
MAX_OPEN = 32
THREADS = 4
# Candidates of a graph search: the engine's 100 is little for 50 hits.
GRAPH_CANDIDATES = 256
# Points written before compaction can be worth its copy. What is written stays in memory until then, about 2 kB a
# point, though little of it may be live: a store is compacted too where as much was written as it holds.
COMPACT_AFTER = 5_000
# Not for less than this: a compaction takes 0.7 s of processor time, which writing so many points takes tenfold.
COMPACT_LEAST = 1_000


class EdgeEngine:
    """The shards under one folder, which belong to this process alone. At most `max_open` are open at once."""

    def __init__(self, folder: Path, *, max_open: int = MAX_OPEN, compact_after: int = COMPACT_AFTER) -> None:
        self._folder = folder.absolute()
        self._pool = ShardPool(self._folder, load=load_shard, max_open=max_open)
        self._compact_after = compact_after
        self._threads = anyio.CapacityLimiter(THREADS)
        self._writers = anyio.CapacityLimiter(THREADS)  # writers wait for each other: searches must not wait with them

    async def open(self, name: str, *, dim: int) -> EdgeStore:
        """Return the store of that name, made with dense size `dim` if it does not exist yet; loaded on first use.

        Raises: `StoreUnavailable`, `InvalidText` if the name is not valid Unicode.
        """
        add = partial(self._pool.add, name, kind=shard_kind(dim), create=partial(create_shard, dim=dim))
        await self._run(add)
        return EdgeStore(name, self._pool, compact_after=self._compact_after, limiters=(self._threads, self._writers))

    async def names(self) -> list[str]:
        """Return the names of the existing stores, sorted. Raises: `StoreUnavailable`."""
        return await self._run(self._pool.names)

    async def ping(self) -> None:
        """Return if the folder can be read. Raises: `StoreUnavailable`."""
        await self._run(self._pool.refuse_closed)

    async def close(self) -> None:
        """Close every shard once nobody uses it; the engine is not used afterwards."""
        await self._run(self._pool.close_all)

    async def _run(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(translated, work, limiter=self._threads)


class EdgeStore:
    """One shard. Calls that may wait run in worker threads; a cancelled one runs on to its end there."""

    def __init__(
        self,
        name: str,
        pool: ShardPool[EdgeShard],
        *,
        compact_after: int,
        limiters: tuple[anyio.CapacityLimiter, anyio.CapacityLimiter],
    ) -> None:
        self._name = name
        self._pool = pool
        self._compact_after = compact_after
        self._readers, self._writers = limiters

    async def upsert(self, points: Sequence[Point]) -> None:
        """Insert or replace points, in batches; each batch is in the write-ahead log when the next begins.

        Raises: `InvalidText`, `DocumentError`, `StoreUnavailable`, `StorageFull`, `StoreLocked`.
        """
        for batch in batches(points):
            await self._write(partial(upsert_operation, batch), size=len(batch))

    async def search_dense(self, vector: FloatVector, where: Where, *, limit: int) -> list[Scored]:
        """Return the `limit` points nearest to `vector` that match, by cosine, best first."""
        return await self._search(vector.tolist(), where, using=DENSE, limit=limit)

    async def search_sparse(self, vector: SparseVector, where: Where, *, limit: int) -> list[Scored]:
        """Return the `limit` points of the highest BM25 that match, best first; [] for an empty vector."""
        if not vector.indices:
            return []
        terms = EdgeSparseVector(list(vector.indices), list(vector.values))
        return await self._search(terms, where, using=SPARSE, limit=limit)

    async def fetch(self, ids: Sequence[str], *, with_vectors: bool = False) -> list[Point]:
        """Return the points of `ids` that exist, in the order of `ids`."""
        wanted: list[PointId] = list(ids)
        records = await self._read(lambda shard: shard.retrieve(wanted, with_payload=True, with_vector=with_vectors))
        return in_order(ids, map(from_edge, records))

    async def scroll(self, where: Where, *, with_vectors: bool = False) -> AsyncIterator[Point]:
        """Yield every matching point, by id."""
        matching = edge_filter(where)
        offset: PointId | None = None
        while True:
            page = ScrollRequest(
                offset=offset, limit=SCROLL_PAGE, filter=matching, with_payload=True, with_vector=with_vectors
            )
            records, offset = await self._read(partial(EdgeShard.scroll, scroll=page), here=False)
            for record in records:
                yield from_edge(record)
            if offset is None:
                return

    async def set_payload(self, where: Where, payload: Payload) -> None:
        """Merge `payload` into every matching point; their vectors stay."""
        payload_bytes(payload)
        matching = edge_filter(where)
        await self._write(lambda: UpdateOperation.set_payload_by_filter(matching, payload))

    async def delete(self, where: Where) -> None:
        """Delete every matching point."""
        matching = edge_filter(where)
        await self._write(lambda: UpdateOperation.delete_points_by_filter(matching))

    async def count(self, where: Where) -> int:
        """Return how many points match."""
        request = CountRequest(exact=True, filter=edge_filter(where))
        return await self._read(lambda shard: shard.count(request))

    async def optimize(self) -> bool:
        """Compact the shard in a process of its own: drop deleted points, build the graph of a large one.

        Does nothing until enough was written since the last time. Searches and writes go on, and what is written
        meanwhile is written to the compacted shard too; if that is too much, the result is thrown away: False, and
        the next call tries again. Raises: `StoreUnavailable` if the compaction failed, `StorageFull`.
        """
        over = threading.Event()
        try:
            plan = await self._leased(partial(self._plan, over=over), limiter=self._writers)
            return plan is None or await self._compact(plan)
        finally:
            over.set()  # here and not in the thread, which runs on if this call is cancelled

    async def close(self) -> None:
        """Release the files of the shard once nobody uses it."""
        await anyio.to_thread.run_sync(translated, partial(self._pool.close, self._name), limiter=self._writers)

    async def _search(self, vector: NamedVector, where: Where, *, using: str, limit: int) -> list[Scored]:
        request = QueryRequest(
            limit=limit,
            query=Query.Nearest(vector, using=using),
            filter=edge_filter(where),
            params=SearchParams(hnsw_ef=max(GRAPH_CANDIDATES, limit)),
        )
        found = await self._read(lambda shard: shard.query(request))
        return [Scored(str(point.id), point.score) for point in found]

    async def _read(self, work: Callable[[EdgeShard], T], *, here: bool = True) -> T:
        """Return what `work` returns: done here if it is quick, in a thread where the shard is not at hand."""
        with self._pool.held(self._name) as shard:
            if here and shard is not None:
                return translated(partial(work, shard.engine))
        return await self._leased(lambda shard: work(shard.engine), limiter=self._readers)

    async def _write(self, operation: Callable[[], UpdateOperation], *, size: int = 1) -> None:
        def write() -> None:
            refuse_full(self._pool.folder)
            update = operation()
            self._pool.write(self._name, lambda engine: engine.update(update), points=size)

        await anyio.to_thread.run_sync(translated, write, limiter=self._writers)

    async def _leased(self, work: Callable[[OpenShard[EdgeShard]], T], *, limiter: anyio.CapacityLimiter) -> T:
        def leased() -> T:
            with self._pool.lease(self._name) as shard:
                return work(shard)

        return await anyio.to_thread.run_sync(translated, leased, limiter=limiter)

    def _plan(self, shard: OpenShard[EdgeShard], *, over: threading.Event) -> Compaction[EdgeShard] | None:
        """Return the compaction that begins, with the shard copied; None if one runs or too little was written."""
        with shard.writing:
            if shard.replaced or shard.compacting() or not self._is_due(shard):
                return None
            shard.engine.flush()
            plan = Compaction.of(shard, over)
            try:
                copy_shard(shard.path, plan.target)
            except OSError as error:
                shutil.rmtree(plan.target, ignore_errors=True)
                raise StoreUnavailable(f"compaction failed: {error}") from error
            return plan

    def _is_due(self, shard: OpenShard[EdgeShard]) -> bool:
        live = shard.engine.info().points_count
        # What an earlier process wrote is not known: all of it counts until this one has compacted once.
        before = 0 if shard.compacted else live
        return before + shard.written >= self._compact_after or shard.written >= max(COMPACT_LEAST, live)

    async def _compact(self, plan: Compaction[EdgeShard]) -> bool:
        command = [sys.executable, "-m", "indexes.edge_shard", str(plan.target)]
        done = await anyio.run_process(command, cwd=Path(__file__).parent.parent, check=False)
        if done.returncode != 0:
            reason = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
            raise StoreUnavailable(f"compaction failed: {reason or f'exit code {done.returncode}'}")
        adopt = partial(self._pool.adopt, self._name, plan)
        return await anyio.to_thread.run_sync(translated, adopt, limiter=self._writers)


def translated(work: Callable[[], T]) -> T:
    """Return what `work` returns. Raises: `StoreLocked` or `StoreUnavailable` in place of the engine's errors."""
    try:
        return work()
    except IndexingError:
        raise
    except Exception as error:  # qdrant_edge raises bare Exception for everything
        if LOCKED in str(error):
            message = "another process holds the embedded index: stop it, or point RAGOPT_DATA_DIR elsewhere"
            raise StoreLocked(message) from error
        raise StoreUnavailable(f"the embedded index failed: {error}") from error


def edge_filter(where: Where) -> Filter:
    """Return the engine's filter. Raises: `InvalidText`."""
    check_where(where)
    must: list[FieldCondition] = [
        FieldCondition(key, match=MatchAny(list(value)) if isinstance(value, tuple) else MatchValue(value))
        for key, value in where.equal.items()
    ]
    must += [FieldCondition(key, match=MatchAny(list(values))) for key, values in where.holds]
    must += [FieldCondition(key, range=RangeFloat(lte=value)) for key, value in where.at_most.items()]
    must += [FieldCondition(key, range=RangeFloat(gt=value)) for key, value in where.above.items()]
    return Filter(must=[*must])


def upsert_operation(points: Sequence[Point]) -> UpdateOperation:
    """Return the operation that inserts or replaces these points."""
    return UpdateOperation.upsert_points([to_edge(point) for point in points])


def to_edge(point: Point) -> EdgePoint:
    """Return the point as the engine takes it."""
    vectors: dict[str, NamedVector] = {}
    if point.dense is not None:
        vectors[DENSE] = point.dense.tolist()
    if point.sparse is not None:
        vectors[SPARSE] = EdgeSparseVector(list(point.sparse.indices), list(point.sparse.values))
    return EdgePoint(point.id, vectors, point.payload)


def from_edge(record: Record) -> Point:
    """Return a record of the engine as a point; vectors are None where they were not asked for."""
    vectors = record.vector if isinstance(record.vector, dict) else {}
    dense, sparse = vectors.get(DENSE), vectors.get(SPARSE)
    return Point(
        str(record.id),
        record.payload or {},
        None if dense is None else np.asarray(dense, dtype=np.float32),
        SparseVector(tuple(sparse.indices), tuple(sparse.values)) if isinstance(sparse, EdgeSparseVector) else None,
    )
