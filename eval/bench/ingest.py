"""How fast texts become vectors and documents an index: ours beside sentence-transformers and beside LlamaIndex."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from tqdm import tqdm

from eval.bench.llama import LlamaIngest, llama_ingest
from eval.bench.texts import BenchTexts
from eval.errors import BenchError, MissingExtra
from eval.intervals import Interval, bootstrap, paired_ratio
from eval.report import ConfigValue, Report
from indexes.chunking import chunk_text
from indexes.embedding import Embedder
from indexes.ingest import indexed_text
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

TorchEncode: TypeAlias = Callable[[Sequence[str]], FloatMatrix]


def bench_ingest(texts: BenchTexts) -> Report:
    """Return chunks per second: of embedding ours, torch's in float32 and their ratio, and the same of whole ingests.

    The ratios are paired by repetition, the two sides in turns. cosine_to_torch: of the two dense vectors of a chunk.
    Without the extra the rows of LlamaIndex are left out, and `left_out` says so. Raises: `BenchError` if a document
    is not ingested.
    """
    with tempfile.TemporaryDirectory(prefix="ragopt-bench-") as folder:
        settings = load_settings(data_dir=Path(folder)).model_copy(update={"qdrant_url": None})
        chunks = some_chunks(texts, settings)
        encoder = torch_encoder(settings)
        ours, torch, cosines = embedding_rates(chunks, settings, encoder)
        config: dict[str, ConfigValue] = {
            "chunks_timed": len(chunks),
            "repetitions": REPETITIONS,
            "chunk_tokens": settings.chunk_tokens,
        }
        try:
            others: LlamaIngest | None = llama_ingest(encoder)
        except MissingExtra as error:
            others, config["left_out"] = None, str(error)
        whole, llama = asyncio.run(ingest_rates(texts, settings, others))
    metrics: dict[str, Interval] = {
        "embed_chunks_per_s.ours": bootstrap(ours, seed=texts.seed),
        "embed_chunks_per_s.torch": bootstrap(torch, seed=texts.seed),
        "embed_ratio": paired_ratio(ours, torch, seed=texts.seed),
        "cosine_to_torch": bootstrap(cosines, seed=texts.seed),
        "ingest_chunks_per_s.ours": bootstrap(whole, seed=texts.seed),
    }
    if llama:
        metrics["ingest_chunks_per_s.llama_index"] = bootstrap(llama, seed=texts.seed)
        metrics["ingest_ratio"] = paired_ratio(whole, llama, seed=texts.seed)
    return Report("bench.ingest", texts.name, len(chunks), texts.seed, config, metrics)


def torch_encoder(settings: Settings) -> TorchEncode:
    """Return the same model as sentence-transformers runs it, in float32 on the CPU: texts to float32 [n, dim]."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(model_files(settings.embedding_model).folder), device="cpu")

    def encode(batch: Sequence[str]) -> FloatMatrix:
        vectors = model.encode(list(batch), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, np.float32)

    return encode


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


def embedding_rates(
    chunks: list[str], settings: Settings, by_torch: TorchEncode
) -> tuple[list[float], list[float], list[float]]:
    """Return chunks per second of ours and of torch, one per repetition, and the cosine of each chunk's two vectors."""
    ours = Embedder.load(settings.embedding_model, cache_folder=cache_dir())

    def by_ours(batch: list[str]) -> FloatMatrix:
        return np.stack([encoded.dense for encoded in asyncio.run(ours.encode(batch))])

    try:
        by_ours(chunks[:WARM_UP]), by_torch(chunks[:WARM_UP])
        cosines = (by_ours(chunks) * by_torch(chunks)).sum(axis=1)
        rates = [(rate(by_ours, chunks), rate(by_torch, chunks)) for _ in tqdm(range(REPETITIONS), desc="embed")]
    finally:
        ours.close()
    return [mine for mine, _ in rates], [torch for _, torch in rates], cosines.tolist()


def rate(encode: Callable[[list[str]], object], chunks: list[str]) -> float:
    """Return the chunks per second of one run over all chunks."""
    started = time.perf_counter()
    encode(chunks)
    return len(chunks) / (time.perf_counter() - started)


async def ingest_rates(
    texts: BenchTexts, settings: Settings, others: LlamaIngest | None
) -> tuple[list[float], list[float]]:
    """Return the chunks per second of `REPETITIONS` ingests of ours and of `others`, the same chunks in turns.

    Ours begin with documents: screened, chunked, embedded, in both indexes, on the disk. Theirs begin with our chunks:
    embedded, in both indexes, in memory. [] where there are no others.
    """
    rates: list[float] = []
    others_rates: list[float] = []
    documents = texts.documents()
    async with open_library(settings) as (library, _):
        await ingested(library, documents, chunks=WARM_UP)
        for _ in tqdm(range(REPETITIONS), desc="ingest"):
            group = documents_for(documents, chunks=texts.chunks // REPETITIONS)
            started = time.perf_counter()
            made = await stored(library, group)
            rates.append(made / (time.perf_counter() - started))
            if others is not None:
                chunks = indexed_chunks(group, settings)
                others_rates.append(await asyncio.to_thread(rate, others, chunks))
    return rates, others_rates


def indexed_chunks(documents: Sequence[Document], settings: Settings) -> list[str]:
    """Return what is embedded of each chunk of the documents."""
    knobs = IndexKnobs(chunk_tokens=settings.chunk_tokens)
    return [
        indexed_text(document.text[span.start : span.end], title=document.title, heading=span.heading)
        for document in documents
        for span in chunk_text(document.text, knobs, count_tokens=count_tokens_batch)
    ]


async def ingested(library: Library, documents: Iterator[Document], *, chunks: int) -> int:
    """Ingest documents until `chunks` are there; return how many that made. Raises: `BenchError`."""
    made = 0
    while made < chunks:
        made += await stored(library, documents_for(documents, chunks=chunks - made))
    return made


def documents_for(documents: Iterator[Document], *, chunks: int) -> list[Document]:
    """Return the next documents that make about so many chunks, at least one."""
    group = [next(documents)]
    # About 400 characters make a chunk of 100 tokens.
    while sum(len(document.text) for document in group) < 400 * chunks:
        group.append(next(documents))
    return group


async def stored(library: Library, documents: Sequence[Document]) -> int:
    """Ingest the documents; return how many chunks that made. Raises: `BenchError`."""
    results = await library.ingest(TENANT, "bench", documents)
    for result in results:
        if result.error is not None:
            raise BenchError(f"document {result.id!r} was not ingested: {result.error.detail}")
    return sum(result.chunks for result in results)
