"""Documents to prepared versions: checked, chunked, embedded, with nothing done twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

import numpy as np
from anyio import CapacityLimiter, to_thread

from indexes.access import Reader
from indexes.bm25 import Bm25Encoder
from indexes.chunking import CountTokens, chunk_text
from indexes.collection import Collection
from indexes.errors import AccessDenied, DocumentError
from indexes.invisible import strip_invisible
from indexes.loading import check_text
from indexes.manifest import PreparedChunk, PreparedDocument, content_hash, not_replaced, str_of
from indexes.points import payload_bytes
from indexes.records import (
    ChunkSpan,
    Document,
    Encoded,
    EncodedQuestion,
    IndexKnobs,
    IngestFailure,
    IngestResult,
    IntVector,
)
from indexes.store import Point
from indexes.tokens import from_text

# Documents chunked at once, in threads of their own: a large ingest holds up no question.
THREADS = 2

# Of a long title the beginning is indexed, of a long heading path the end: the text itself must have room.
TITLE_CHARS = 200
PATH_CHARS = 400

Progress: TypeAlias = "Callable[[IngestProgress], None]"


class TextEncoder(Protocol):
    """What indexing needs of an embedder. `tag` names model and projection, `dim` is the dense size."""

    tag: str
    dim: int

    async def encode(self, texts: Sequence[str], *, on_batch: Callable[[int], None] | None = None) -> list[Encoded]:
        """Return one `Encoded` per text, in order; `on_batch` is told the size of each batch done."""

    async def token_starts(self, texts: Sequence[str]) -> list[IntVector]:
        """Return where in each text its token vectors begin, ascending code points: one int64 [n_tokens] per text."""

    async def encode_question(self, text: str) -> EncodedQuestion:
        """Return the vectors of a question."""


@dataclass(frozen=True, slots=True)
class IngestProgress:
    """How far an ingest is. Chunks count the documents read so far: `chunks_total` grows until all are."""

    documents_done: int
    documents_total: int
    chunks_done: int
    chunks_total: int


@dataclass(frozen=True, slots=True)
class ChunkedDocument:
    """A document whose chunks are known. `reusable`: vectors of the live version's chunks, by what was indexed."""

    document: Document
    content_hash: str
    tokens: int
    spans: tuple[ChunkSpan, ...]
    reusable: dict[str, Encoded]

    def texts(self) -> list[str]:
        """Return what is indexed of each chunk, in order."""
        document = self.document
        return [
            indexed_text(document.text[span.start : span.end], title=document.title, heading=span.heading)
            for span in self.spans
        ]


def indexed_text(text: str, *, title: str, heading: str) -> str:
    """Return the copy of a chunk that is embedded and searched: title, headings above it, its text.

    A line each where there is one, without invisible characters. A heading path that begins with
    the title does not repeat it. Words that only stand above a passage find it too; the stored text
    and its spans know nothing of this.
    """
    path = heading.removeprefix(title).removeprefix(" > ") if title else heading
    above = (title[:TITLE_CHARS], path[-PATH_CHARS:])
    return strip_invisible("\n".join(part for part in (*above, text) if part))


def indexed_point(point: Point) -> str:
    """Return what was indexed of a stored chunk."""
    payload = point.payload
    title, heading = str_of(payload, "title"), str_of(payload, "heading")
    return indexed_text(str_of(payload, "text"), title=title, heading=heading)


def unit_tokens(span: ChunkSpan, text: str, *, indexed: str, starts: IntVector) -> tuple[int, ...]:
    """Return how many tokens of the indexed copy lie above the chunk's text `text`, then in each of its units.

    `starts` are where the tokens begin in `indexed`; what the model's limit cut off counts nowhere.
    """
    above = len(indexed) - len(strip_invisible(text))
    edges = [above + len(strip_invisible(text[: start - span.start])) for start, _ in span.units]
    bounds = [0, *np.searchsorted(starts, edges), len(starts)]
    return tuple(int(count) for count in np.diff(bounds))


class IngestTally:
    """Counts an ingest as it goes and reports each change."""

    def __init__(self, documents_total: int, report: Progress | None) -> None:
        self._now = IngestProgress(0, documents_total, 0, 0)
        self._report = report

    def add(self, *, documents: int = 0, chunks: int = 0, chunks_found: int = 0) -> None:
        """Count what was finished or found since the last call."""
        now = self._now
        self._now = IngestProgress(
            now.documents_done + documents,
            now.documents_total,
            now.chunks_done + chunks,
            now.chunks_total + chunks_found,
        )
        if self._report is not None:
            self._report(self._now)


class Preparer:
    """Turns documents into versions ready to publish."""

    def __init__(
        self, embedder: TextEncoder, bm25: Bm25Encoder, *, knobs: IndexKnobs, count_tokens: CountTokens, max_bytes: int
    ) -> None:
        self._embedder = embedder
        self._bm25 = bm25
        self._knobs = knobs
        self._count_tokens = count_tokens
        self._max_bytes = max_bytes
        self._threads = CapacityLimiter(THREADS)

    def refusals(self, documents: Sequence[Document], by: Reader) -> dict[int, IngestResult]:
        """Return a failed result for each document, by position, that cannot be stored: checked before any work.

        by: who sends them, and may write only what it may read.
        """
        refused: dict[int, IngestResult] = {}
        seen: set[str] = set()
        for at, document in enumerate(documents):
            try:
                check_text(document.text, max_bytes=self._max_bytes)
                if document.id in seen:
                    raise DocumentError(f"document id {document.id!r} appears twice in one request")
                payload_bytes({"title": document.title, "metadata": dict(document.metadata)})
                if not by.may_read(document.access):
                    raise AccessDenied(
                        f"this key could not read the document {document.id!r} afterwards: it must belong to a group "
                        "on the document's list, or read all documents"
                    )
            except DocumentError as error:
                failure = IngestFailure(error.code, error.detail)
                refused[at] = IngestResult(document.id, None, "failed", 0, 0, failure)
            seen.add(document.id)
        return refused

    async def chunked(self, target: Collection, document: Document, *, by: Reader) -> ChunkedDocument | IngestResult:
        """Return the chunked document, or its result if it is not to be stored: it is the same already, or hidden."""
        digest = content_hash(document, settings=f"{self._knobs.digest()}/{self._embedder.tag}")
        live = await target.info(document.id)
        if live is not None and not by.may_read(live.access):
            return not_replaced(document.id)
        if live is not None and live.content_hash == digest:
            return IngestResult(document.id, live.version, "unchanged", live.chunks, live.tokens)
        chunk = partial(chunk_text, document.text, self._knobs, count_tokens=self._count_tokens)
        spans = await to_thread.run_sync(chunk, limiter=self._threads)
        tokens = (await to_thread.run_sync(self._count_tokens, [document.text], limiter=self._threads))[0]
        points = await target.chunk_points(live) if live is not None else []
        reusable = {
            indexed_point(point): Encoded(point.dense, from_text(str_of(point.payload, "token_bits")))
            for point in points
            if point.dense is not None
        }
        return ChunkedDocument(document, digest, tokens, tuple(spans), reusable)

    async def prepared(self, group: Sequence[ChunkedDocument], tally: IngestTally) -> list[PreparedDocument]:
        """Return the group with vectors, in order; a text is embedded once, or never if the live version has it."""
        known = {text: encoded for item in group for text, encoded in item.reusable.items()}
        texts = [text for item in group for text in item.texts()]
        fresh = list(dict.fromkeys(text for text in texts if text not in known))
        tally.add(chunks=len(texts) - len(fresh))
        encoded, begins = await asyncio.gather(
            self._embedder.encode(fresh, on_batch=lambda count: tally.add(chunks=count)),
            self._embedder.token_starts(texts),
        )
        known.update(zip(fresh, encoded, strict=True))
        starts = dict(zip(texts, begins, strict=True))
        return await to_thread.run_sync(
            lambda: [self._with_vectors(item, known, starts) for item in group], limiter=self._threads
        )

    def _with_vectors(
        self, item: ChunkedDocument, known: dict[str, Encoded], starts: dict[str, IntVector]
    ) -> PreparedDocument:
        chunks: list[PreparedChunk] = []
        for span, indexed in zip(item.spans, item.texts(), strict=True):
            text = item.document.text[span.start : span.end]
            counts = unit_tokens(span, text, indexed=indexed, starts=starts[indexed])
            chunks.append(PreparedChunk(span, known[indexed], self._bm25.document(indexed), counts))
        return PreparedDocument(item.document, item.content_hash, item.tokens, tuple(chunks))
