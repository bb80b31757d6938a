"""As many chunks as a measurement of growth needs: real ones, embedded once, then copies that differ a little."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from eval.bench.texts import BenchTexts
from indexes.access import ANYONE
from indexes.bm25 import Bm25Encoder
from indexes.collection import Collection
from indexes.errors import DocumentError
from indexes.ingest import IngestTally, Preparer, TextEncoder
from indexes.library import TERMS_PER_TOKEN
from indexes.manifest import PreparedChunk, PreparedDocument
from indexes.records import Document, FloatVector, IndexKnobs, IngestResult, SparseVector
from ragopt.config import load_settings
from ragopt.tokens import count_tokens_batch

# A document of a few chunks: long ones are cut, so that copies and commits come in small steps.
PIECE_CHARS = 4_000
# Length of the noise added to a unit vector: a copy has a cosine of about 0.9 to its original and 0.8 to another copy.
DENSE_NOISE = 0.5
# A copy's term weights are its original's times a factor between these: no two copies score the same.
TERM_NOISE = (0.8, 1.25)


async def embedded(
    texts: BenchTexts, target: Collection, encoder: TextEncoder, *, chunks: int
) -> list[PreparedDocument]:
    """Return documents of at least `chunks` real chunks, as ingest prepares them, published nowhere."""
    settings = load_settings()
    knobs = IndexKnobs(chunk_tokens=settings.chunk_tokens)
    bm25 = Bm25Encoder(avg_terms=TERMS_PER_TOKEN * knobs.chunk_tokens)
    preparer = Preparer(
        encoder, bm25, knobs=knobs, count_tokens=count_tokens_batch, max_bytes=settings.max_document_bytes
    )
    prepared: list[PreparedDocument] = []
    with tqdm(desc="embed", unit="chunk", total=chunks) as bar:
        for piece in pieces(texts):
            chunked = await preparer.chunked(target, piece, by=ANYONE)
            if isinstance(chunked, IngestResult):
                raise DocumentError(f"document {piece.id!r} is there already")
            prepared += await preparer.prepared([chunked], IngestTally(1, None))
            bar.update(len(chunked.spans))
            if bar.n >= chunks:
                return prepared
    raise AssertionError("texts have no end")


def pieces(texts: BenchTexts) -> Iterator[Document]:
    """Yield the documents without end, cut after `PIECE_CHARS`; pieces of spaces alone are left out."""
    for document in texts.documents():
        for at in range(0, len(document.text), PIECE_CHARS):
            text = document.text[at : at + PIECE_CHARS]
            if text.strip():
                yield replace(document, id=f"{document.id}/{at}", text=text)


def copies(originals: Sequence[PreparedDocument], *, seed: int) -> Iterator[PreparedDocument]:
    """Yield the originals, then jittered copies of them round after round, without end; the same for a seed."""
    yield from originals
    rng = np.random.default_rng(seed)
    number = 0
    while True:
        number += 1
        for original in originals:
            yield replace(
                original,
                document=replace(original.document, id=f"{original.document.id}#{number}"),
                content_hash=f"{original.content_hash}#{number}",
                chunks=tuple(jittered(chunk, rng) for chunk in original.chunks),
            )


def jittered(chunk: PreparedChunk, rng: np.random.Generator) -> PreparedChunk:
    """Return the chunk with its text, and with other vectors near its own."""
    dense = chunk.encoded.dense
    noise = rng.standard_normal(len(dense)) * (DENSE_NOISE / np.sqrt(len(dense)))
    factors = rng.uniform(*TERM_NOISE, len(chunk.sparse.values))
    weights = tuple((np.asarray(chunk.sparse.values) * factors).tolist())
    encoded = replace(chunk.encoded, dense=unit(dense + noise.astype(np.float32)))
    return replace(chunk, encoded=encoded, sparse=SparseVector(chunk.sparse.indices, weights))


def unit(vector: FloatVector) -> FloatVector:
    """Return the vector at unit length."""
    return np.asarray(vector / np.linalg.norm(vector), np.float32)
