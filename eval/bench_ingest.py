"""How fast texts become vectors, ours against the same model as sentence-transformers runs it, and whole ingests."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from eval.bench_texts import BenchTexts
from eval.errors import BenchError
from eval.intervals import Interval, bootstrap, paired_ratio
from eval.report import Report
from indexes.chunking import chunk_text
from indexes.embedding import Embedder
from indexes.library import Library
from indexes.model import model_files
from indexes.records import Document, FloatMatrix, IndexKnobs
from ragopt.config import Settings, cache_dir, load_settings
from ragopt.tokens import count_tokens_batch
from ragopt.wiring import open_library

REPETITIONS = 5
CHUNKS_TIMED = 256
WARM_UP = 32
TENANT = "bench"


def bench_ingest(texts: BenchTexts) -> Report:
    """Return chunks per second: ours, torch in float32, their ratio, and of whole ingests.

    ratio: paired by repetition, ours and torch in turns. cosine_to_torch: of the two dense vectors of a
    chunk. Raises: `BenchError` if a document is not ingested.
    """
    with tempfile.TemporaryDirectory(prefix="ragopt-bench-") as folder:
        settings = load_settings(data_dir=Path(folder)).model_copy(update={"qdrant_url": None})
        chunks = some_chunks(texts, settings)
        ours, torch, cosines = embedding_rates(chunks, settings)
        whole = asyncio.run(ingest_rates(texts, settings))
    metrics: dict[str, Interval] = {
        "embed_chunks_per_s.ours": bootstrap(ours, seed=texts.seed),
        "embed_chunks_per_s.torch": bootstrap(torch, seed=texts.seed),
        "embed_ratio": paired_ratio(ours, torch, seed=texts.seed),
        "cosine_to_torch": bootstrap(cosines, seed=texts.seed),
        "ingest_chunks_per_s": bootstrap(whole, seed=texts.seed),
    }
    config = {"chunks_timed": len(chunks), "repetitions": REPETITIONS, "chunk_tokens": settings.chunk_tokens}
    return Report("bench.ingest", texts.name, len(chunks), texts.seed, config, metrics)


def some_chunks(texts: BenchTexts, settings: Settings) -> list[str]:
    """Return the first chunks of the documents, as ingest cuts them."""
    knobs = IndexKnobs(chunk_tokens=settings.chunk_tokens)
    chunks: list[str] = []
    for document in texts.documents():
        spans = chunk_text(document.text, knobs, count_tokens=count_tokens_batch)
        chunks += [document.text[span.start : span.end] for span in spans]
        if len(chunks) >= CHUNKS_TIMED:
            break
    return chunks[:CHUNKS_TIMED]


def embedding_rates(chunks: list[str], settings: Settings) -> tuple[list[float], list[float], list[float]]:
    """Return chunks per second of ours and of torch, one per repetition, and the cosine of each chunk's two vectors."""
    from sentence_transformers import SentenceTransformer

    files = model_files(settings.embedding_model)
    theirs = SentenceTransformer(str(files.folder), device="cpu")
    ours = Embedder.load(settings.embedding_model, cache_folder=cache_dir())

    def by_ours(batch: list[str]) -> FloatMatrix:
        return np.stack([encoded.dense for encoded in asyncio.run(ours.encode(batch))])

    def by_torch(batch: list[str]) -> FloatMatrix:
        vectors = theirs.encode(batch, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, np.float32)

    try:
        by_ours(chunks[:WARM_UP]), by_torch(chunks[:WARM_UP])
        cosines = (by_ours(chunks) * by_torch(chunks)).sum(axis=1)
        rates = [(rate(by_ours, chunks), rate(by_torch, chunks)) for _ in tqdm(range(REPETITIONS), desc="embed")]
    finally:
        ours.close()
    return [mine for mine, _ in rates], [torch for _, torch in rates], cosines.tolist()


def rate(encode: Callable[[list[str]], FloatMatrix], chunks: list[str]) -> float:
    """Return the chunks per second of one run over all chunks."""
    started = time.perf_counter()
    encode(chunks)
    return len(chunks) / (time.perf_counter() - started)


async def ingest_rates(texts: BenchTexts, settings: Settings) -> list[float]:
    """Return the chunks per second of `REPETITIONS` ingests, each of other documents into the same collection."""
    rates: list[float] = []
    documents = texts.documents()
    async with open_library(settings) as (library, _):
        await ingested(library, documents, chunks=WARM_UP)
        for _ in tqdm(range(REPETITIONS), desc="ingest"):
            started = time.perf_counter()
            chunks = await ingested(library, documents, chunks=texts.chunks // REPETITIONS)
            rates.append(chunks / (time.perf_counter() - started))
    return rates


async def ingested(library: Library, documents: Iterator[Document], *, chunks: int) -> int:
    """Ingest documents until `chunks` are there; return how many that made. Raises: `BenchError`."""
    made = 0
    while made < chunks:
        group: list[Document] = []
        # About 400 characters make a chunk of 100 tokens.
        while sum(len(document.text) for document in group) < 400 * (chunks - made):
            group.append(next(documents))
        for result in await library.ingest(TENANT, "bench", group):
            if result.error is not None:
                raise BenchError(f"document {result.id!r} was not ingested: {result.error.detail}")
            made += result.chunks
    return made
