"""How the embedded engine grows: search, memory, disk and reopening from a thousand chunks to a hundred thousand.

Chunks are real text, embedded once; beyond those, jittered copies. All of them go through
`Collection.publish`, are compacted, and are then measured by a process that did not write them.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from eval.bench.copies import copies, embedded
from eval.bench.index import SCOPE, Encoders, configured_encoder, library_over
from eval.bench.reopen import TOP_K, Reopened, Searched, reopened, search
from eval.bench.texts import BenchTexts
from eval.intervals import Interval, bootstrap, exact, percentile_of
from eval.plot import Chart, Curve
from eval.report import ConfigValue, Report, Segment
from eval.resident import MIB
from indexes.collection import Collection
from indexes.edge import EdgeEngine
from indexes.ingest import TextEncoder
from indexes.library import store_name
from indexes.manifest import PreparedDocument
from indexes.records import EncodedQuestion, FloatMatrix

STEPS = (1_000, 3_000, 10_000, 30_000, 100_000)
REAL_CHUNKS = 2_000
# Published in one commit.
GROUP_CHUNKS = 2_000
QUESTIONS = 200
# Asked between the writes and the compaction, while every new vector is scanned.
QUESTIONS_BEFORE = 20
TARGET_P95_MS = 15.0


@dataclass(frozen=True, slots=True)
class Step:
    """One size.

    publish_chunks_per_s: of each commit on the way to it. before: searches between the writes and the
    compaction. recall: of the dense search, per question.
    """

    chunks: int
    publish_chunks_per_s: tuple[float, ...]
    compact_s: float
    compact_cpu_s: float
    disk_bytes: int
    before: tuple[Searched, ...]
    seen: Reopened
    recall: tuple[float, ...]


def bench_scale(
    texts: BenchTexts,
    *,
    chunks: int,
    encoders: Encoders = configured_encoder,
    steps: Sequence[int] = STEPS,
    questions: int = QUESTIONS,
) -> Report:
    """Return one segment per size: the steps below `chunks`, and `chunks`, whose figures are also the whole's.

    Raises: `BenchError`, `StoreUnavailable`.
    """
    sizes = [*(size for size in steps if size < chunks), chunks]
    asked = list(islice(texts.questions(), questions))
    with encoders() as encoder, tempfile.TemporaryDirectory(prefix="ragopt-bench-") as folder:
        seen = asyncio.run(Growth(texts, Path(folder), encoder).through(sizes, asked, encoders))
    seed, last = texts.seed, seen[-1]
    config: dict[str, ConfigValue] = {
        "chunks": last.chunks,
        "real_chunks": min(REAL_CHUNKS, chunks),
        "top_k": TOP_K,
        "engine": "qdrant-edge",
    }
    segments = {f"{step.chunks:,} chunks": Segment(len(step.seen.searched), metrics_of(step, seed)) for step in seen}
    return Report("bench.scale", texts.name, len(asked), seed, config, metrics_of(last, seed), segments=segments)


class Growth:
    """A collection in a folder that is written in steps, and what the last step holds."""

    def __init__(self, texts: BenchTexts, folder: Path, encoder: TextEncoder) -> None:
        self._texts = texts
        self._folder = folder
        self._encoder = encoder
        self._ids: list[str] = []
        self._vectors: list[FloatMatrix] = []

    async def through(self, sizes: Sequence[int], asked: Sequence[str], encoders: Encoders) -> list[Step]:
        """Return a step for each of the ascending sizes."""
        engine = EdgeEngine(self._folder)
        collection = await opened(engine, self._encoder)
        real = await embedded(self._texts, collection, self._encoder, chunks=min(REAL_CHUNKS, sizes[-1]))
        await engine.close()
        documents = copies(real, seed=self._texts.seed)
        return [await self._step(size, documents, asked=asked, encoders=encoders) for size in sizes]

    async def _step(
        self, size: int, documents: Iterator[PreparedDocument], *, asked: Sequence[str], encoders: Encoders
    ) -> Step:
        engine = EdgeEngine(self._folder)
        try:
            collection = await opened(engine, self._encoder)
            rates = await self._publish(collection, documents, size=size)
            library = library_over(engine, self._encoder)
            before = [await search(library, self._encoder, text) for text in asked[:QUESTIONS_BEFORE]]
            started, children = time.perf_counter(), children_cpu_s()
            await collection.optimize()
            compact = (time.perf_counter() - started, children_cpu_s() - children)
        finally:
            await engine.close()
        seen = await asyncio.to_thread(reopened, self._folder, asked, encoders=encoders)
        nearest = self._nearest([await self._encoder.encode_question(text) for text in asked])
        recall = [len(true & set(found)) / len(true) for true, found in zip(nearest, seen.nearest, strict=True)]
        disk = disk_bytes(self._folder)
        return Step(len(self._ids), tuple(rates), *compact, disk, tuple(before), seen, tuple(recall))

    async def _publish(
        self, collection: Collection, documents: Iterator[PreparedDocument], *, size: int
    ) -> list[float]:
        """Publish until there are `size` chunks; return the chunks per second of each commit, preparation excluded."""
        rates: list[float] = []
        with tqdm(desc="publish", unit="chunk", total=size, initial=len(self._ids)) as bar:
            while len(self._ids) < size:
                group = self._taken(documents, until=min(size, len(self._ids) + GROUP_CHUNKS))
                started = time.perf_counter()
                await collection.publish(group)
                rates.append((len(self._ids) - bar.n) / (time.perf_counter() - started))
                bar.update(len(self._ids) - bar.n)
        return rates

    def _taken(self, documents: Iterator[PreparedDocument], *, until: int) -> list[PreparedDocument]:
        """Return the next documents, up to `until` chunks in all, and keep their ids and vectors."""
        group: list[PreparedDocument] = []
        while len(self._ids) < until:
            group.append(next(documents))
            chunks = group[-1].chunks
            self._ids += [SCOPE.point_id("chunk", group[-1].document.id, 1, n) for n in range(len(chunks))]
            self._vectors.append(np.stack([chunk.encoded.dense for chunk in chunks]))
        return group

    def _nearest(self, questions: Sequence[EncodedQuestion]) -> list[set[str]]:
        """Return the ids of the `TOP_K` chunks nearest to each question, found by comparing all."""
        scores = np.stack([question.dense for question in questions]) @ np.concatenate(self._vectors).T
        best = np.argpartition(-scores, min(TOP_K, scores.shape[1]) - 1, axis=1)[:, :TOP_K]
        return [{self._ids[at] for at in row} for row in best]


async def opened(engine: EdgeEngine, encoder: TextEncoder) -> Collection:
    """Return the collection that is measured, whose one writer this process is."""
    store = await engine.open(store_name(SCOPE), dim=encoder.dim)
    collection = Collection(store, SCOPE, embedder=encoder.tag, lock=nullcontext)
    await collection.recover()
    return collection


def children_cpu_s() -> float:
    """Return the processor time of the child processes that have ended: compaction runs in one."""
    times = os.times()
    return times.children_user + times.children_system


def disk_bytes(folder: Path) -> int:
    """Return what the files of the stores take on disk; reserved space that was never written takes none."""
    homes = [path.parent for path in folder.glob("*/name")]
    return sum(512 * path.stat().st_blocks for home in homes for path in home.rglob("*") if path.is_file())


def metrics_of(step: Step, seed: int) -> dict[str, Interval]:
    """Return the figures of one size.

    search: both searches, fusion, and the payloads of 50 hits. search+embed: and the question's
    vectors. cpu_ms: processor time of a search, which a busy machine changes least. dense_recall@50:
    share of the truly nearest chunks that the dense search finds.
    """
    seen = step.seen
    search_ms = [one.search_ms for one in seen.searched]
    with_embedding = [one.search_ms + one.embed_ms for one in seen.searched]
    before_ms = [one.search_ms for one in step.before]
    return {
        "search.p50_ms": bootstrap(search_ms, seed=seed, statistic=percentile_of(50)),
        "search.p95_ms": bootstrap(search_ms, seed=seed, statistic=percentile_of(95)),
        "search+embed.p50_ms": bootstrap(with_embedding, seed=seed, statistic=percentile_of(50)),
        "search+embed.p95_ms": bootstrap(with_embedding, seed=seed, statistic=percentile_of(95)),
        "search.cpu_ms": bootstrap([one.cpu_ms for one in seen.searched], seed=seed),
        "search.p50_ms.before_compaction": bootstrap(before_ms, seed=seed, statistic=percentile_of(50)),
        f"dense_recall@{TOP_K}": bootstrap(step.recall, seed=seed),
        "memory_mib": exact((seen.anonymous_bytes + seen.mapped_bytes) / MIB),
        "memory_bytes_per_chunk": exact((seen.anonymous_bytes + seen.mapped_bytes) / step.chunks),
        "memory_bytes_per_chunk.anonymous": exact(seen.anonymous_bytes / step.chunks),
        "disk_bytes_per_chunk": exact(step.disk_bytes / step.chunks),
        "reopen_s": bootstrap(seen.reopen_s, seed=seed),
        "publish_chunks_per_s": bootstrap(step.publish_chunks_per_s, seed=seed),
        "compact_s": exact(step.compact_s),
        "compact_cpu_s": exact(step.compact_cpu_s),
    }


def chart_of(report: Report) -> Chart:
    """Return the growth of the search times of a report of `bench_scale`."""
    sizes = {float(name.split()[0].replace(",", "")): segment.metrics for name, segment in report.segments.items()}
    curves = [
        Curve(f"{what}, {percentile}", [(size, m[f"{key}.{percentile}_ms"].value) for size, m in sizes.items()])
        for key, what in (("search", "search"), ("search+embed", "with embedding"))
        for percentile in ("p50", "p95")
    ]
    return Chart("Hybrid search as the index grows", "chunks", "milliseconds", curves, limit=TARGET_P95_MS)
