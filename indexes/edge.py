"""The embedded engine: Qdrant Edge, one shard per store, in this process.

Every call of qdrant_edge 0.9 holds the interpreter lock from start to end, so what runs long stops
the whole process wherever it is called: searches take 0.3 to 5 ms, reading a point 6 µs, and no
thread is worth the way there; compaction takes seconds, in a process of its own (`python -m indexes.edge`).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias, TypeVar
from uuid import UUID

import anyio.to_thread
import numpy as np
from qdrant_edge import (
    CountRequest,
    Distance,
    EdgeConfig,
    EdgeOptimizersConfig,
    EdgeShard,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    FieldCondition,
    Filter,
    MatchAny,
    MatchValue,
    Memory,
    Modifier,
    PayloadSchemaType,
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

from indexes.errors import IndexingError, StoreLocked, StoreUnavailable
from indexes.points import DENSE, SCROLL_PAGE, SPARSE, batches, check_where, in_order, payload_bytes
from indexes.records import FloatVector, SparseVector
from indexes.room import refuse_full
from indexes.shards import Compaction, OpenShard, ShardPool, copy_shard, sync_tree
from indexes.store import INTEGER_FIELDS, KEYWORD_FIELDS, Payload, Point, Scored, Where

T = TypeVar("T")
PointId: TypeAlias = int | UUID | str
NamedVector: TypeAlias = list[float] | EdgeSparseVector | list[list[float]]

# An open shard holds 34 MB of page cache, even an empty one: room that its payload file has reserved.
MAX_OPEN = 32
THREADS = 4
# A scan of 20,000 vectors of 384 floats takes 5 ms and is exact: up to this size no graph is built.
SCAN_KIBIBYTES = 40_000
# Candidates of a graph search: the engine's 100 is little for 50 hits.
GRAPH_CANDIDATES = 256
# Points written before compaction can be worth its copy.
COMPACT_AFTER = 5_000


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

        Does nothing until enough was written since the last time. Searches and writes go on; if anything was
        written meanwhile, the result is thrown away: False, and the next call tries again.
        Raises: `StoreUnavailable` if the compaction failed.
        """
        plan = await self._leased(self._plan, limiter=self._writers)
        if plan is None or plan.shard.compacting:
            return True
        plan.shard.compacting = True  # here and not in the thread, which runs on if this call is cancelled
        try:
            return await self._compact(plan)
        finally:
            plan.shard.compacting = False

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
        def work(shard: OpenShard[EdgeShard]) -> None:
            refuse_full(shard.path)
            with shard.writing:
                shard.engine.update(operation())
                shard.written += size

        await self._leased(work, limiter=self._writers)

    async def _leased(self, work: Callable[[OpenShard[EdgeShard]], T], *, limiter: anyio.CapacityLimiter) -> T:
        def leased() -> T:
            with self._pool.lease(self._name) as shard:
                return work(shard)

        return await anyio.to_thread.run_sync(translated, leased, limiter=limiter)

    def _plan(self, shard: OpenShard[EdgeShard]) -> Compaction[EdgeShard] | None:
        """Return what to compact and where to, None if too little was written."""
        with shard.writing:
            # What an earlier process wrote is not known: all of it counts until this one has compacted once.
            before = 0 if shard.compacted else shard.engine.info().points_count
            if before + shard.written < self._compact_after:
                return None
            shard.engine.flush()
            return Compaction.of(shard)

    async def _compact(self, plan: Compaction[EdgeShard]) -> bool:
        command = [sys.executable, "-m", "indexes.edge", str(plan.shard.path), str(plan.target)]
        done = await anyio.run_process(command, cwd=Path(__file__).parent.parent, check=False)
        if done.returncode != 0 and plan.shard.written == plan.written:
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
        if "WouldBlock" in str(error):
            message = "another process holds the embedded index: stop it, or point RAGOPT_DATA_DIR elsewhere"
            raise StoreLocked(message) from error
        raise StoreUnavailable(f"the embedded index failed: {error}") from error


def shard_kind(dim: int) -> str:
    """Return what changes when an empty shard would be made differently."""
    made_of = (KEYWORD_FIELDS, INTEGER_FIELDS, SCAN_KIBIBYTES)
    return f"{dim}-{hashlib.sha256(repr(made_of).encode()).hexdigest()[:8]}"


def create_shard(path: Path, *, dim: int) -> None:
    """Make an empty shard in a new folder, with its payload indexes, and close it."""
    config = EdgeConfig(
        vectors={DENSE: EdgeVectorParams(size=dim, distance=Distance.Cosine)},
        sparse_vectors={SPARSE: EdgeSparseVectorParams(modifier=Modifier.Idf)},
        optimizers=EdgeOptimizersConfig(indexing_threshold=SCAN_KIBIBYTES),
        # Cold, the default: 50 payloads of 3 kB take 4 to 6 ms after a restart or a compaction, cached 0.2 ms.
        payload_memory=Memory.Cached,
        max_search_threads=2,  # the default is eight more threads for each open shard
    )
    EdgeShard.create(str(path), config).close()
    load_shard(path).close()


def load_shard(path: Path) -> EdgeShard:
    """Return the shard of a folder; payload indexes that it lacks are made, in 0.2 s each for 20,000 points."""
    shard = EdgeShard.load(str(path))
    present = shard.info().payload_schema
    for name in (*KEYWORD_FIELDS, *INTEGER_FIELDS):
        if name not in present:
            kind = PayloadSchemaType.Keyword if name in KEYWORD_FIELDS else PayloadSchemaType.Integer
            shard.update(UpdateOperation.create_field_index(name, kind))
    return shard


def compact(source: Path, target: Path) -> None:
    """Leave a compacted copy of the shard at `target`, or nothing where there was nothing to gain."""
    os.nice(10)
    try:
        copy_shard(source, target)
        shard = load_shard(target)
        changed = shard.optimize()
        shard.close()
        sync_tree(target)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    if not changed:
        shutil.rmtree(target)


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


if __name__ == "__main__":
    compact(Path(sys.argv[1]), Path(sys.argv[2]))
