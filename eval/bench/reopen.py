"""What a fresh process sees of an index: how long it takes to open, to search, and how much memory that takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from eval.bench.index import SCOPE, Encoders, library_over
from eval.resident import resident
from indexes.access import EVERYTHING
from indexes.edge import EdgeEngine
from indexes.ingest import TextEncoder
from indexes.library import Library, store_name
from indexes.records import EncodedQuestion
from ragopt.telemetry import Trace

TOP_K = 50
WARM_UP = 10
REOPENS = 3


@dataclass(frozen=True, slots=True)
class Searched:
    """One question. search_ms: both searches, fusion and the payloads of the hits. cpu_ms: of the whole process."""

    embed_ms: float
    search_ms: float
    cpu_ms: float
    hits: int


@dataclass(frozen=True, slots=True)
class Reopened:
    """An index opened by a process that did not make it.

    anonymous_bytes, mapped_bytes: by how much the process's own memory and its share of the page cache
    grew from before it opened the index until after the last question. nearest: per question, the ids
    of the dense search alone, best first.
    """

    reopen_s: tuple[float, ...]
    anonymous_bytes: int
    mapped_bytes: int
    searched: tuple[Searched, ...]
    nearest: tuple[tuple[str, ...], ...]


def reopened(folder: Path, questions: Sequence[str], *, encoders: Encoders) -> Reopened:
    """Return what a new process measures of the index in `folder`, which nobody else may hold open."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
        return process.submit(open_and_ask, folder, questions, encoders).result()


def open_and_ask(folder: Path, questions: Sequence[str], encoders: Encoders) -> Reopened:
    """Return what this process measures."""
    with encoders() as encoder:
        return asyncio.run(asked(folder, questions, encoder))


async def asked(folder: Path, questions: Sequence[str], encoder: TextEncoder) -> Reopened:
    """Return what opening the index and asking every question took, the first few questions asked twice."""
    for text in questions[:WARM_UP]:
        await encoder.encode_question(text)
    before = resident()
    reopen_s = [await opening_s(folder, encoder) for _ in range(REOPENS)]
    engine = EdgeEngine(folder)
    try:
        library = library_over(engine, encoder)
        generation = await library.generation(SCOPE.tenant, SCOPE.collection)
        for text in questions[:WARM_UP]:
            await search(library, encoder, text)
        searched = [await search(library, encoder, text) for text in questions]
        store = await engine.open(store_name(SCOPE), dim=encoder.dim)
        where = SCOPE.live("chunk", generation, reader=EVERYTHING)
        encoded = [await encoder.encode_question(text) for text in questions]
        found = [await store.search_dense(one.dense, where, limit=TOP_K) for one in encoded]
        after = resident()
    finally:
        await engine.close()
    return Reopened(
        tuple(reopen_s),
        after.anonymous_bytes - before.anonymous_bytes,
        after.mapped_bytes - before.mapped_bytes,
        tuple(searched),
        tuple(tuple(hit.id for hit in hits) for hits in found),
    )


async def opening_s(folder: Path, encoder: TextEncoder) -> float:
    """Return the seconds from a closed index to one that can be searched; it is closed again."""
    started = time.perf_counter()
    engine = EdgeEngine(folder)
    try:
        await library_over(engine, encoder).generation(SCOPE.tenant, SCOPE.collection)
        return time.perf_counter() - started
    finally:
        await engine.close()


async def search(library: Library, encoder: TextEncoder, text: str) -> Searched:
    """Return how one question went."""
    started = time.perf_counter()
    question: EncodedQuestion = await encoder.encode_question(text)
    embedded, cpu = time.perf_counter(), time.process_time()
    _, hits = await library.search(
        SCOPE.tenant, SCOPE.collection, text, question=question, top_k=TOP_K, timer=Trace("bench").stage
    )
    ended, cpu_s = time.perf_counter(), time.process_time() - cpu
    return Searched(1000 * (embedded - started), 1000 * (ended - embedded), 1000 * cpu_s, len(hits))
