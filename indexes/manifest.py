"""Which version of which document is live: the points a collection is made of, and their payloads.

Every point carries `born` and `dead`. A reader of generation G sees the points with
born <= G < dead, so publishing any number of documents is one write of G to the manifest point.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from indexes.access import FIELD, Access, Reader, keywords_of
from indexes.errors import AccessDenied
from indexes.facets import NO_FILTER, MetadataFilter, facets_of, wanted_facets
from indexes.records import (
    ChunkSpan,
    Document,
    DocumentInfo,
    Encoded,
    Hit,
    IngestFailure,
    IngestResult,
    LiveChunk,
    Scalar,
    Span,
    SparseVector,
    StoredChunk,
)
from indexes.store import Payload, Point, Where
from indexes.tokens import from_text, to_text

# The largest integer that is exact as a double, which is what engines compare ranges in.
NEVER = 2**53 - 1
# A document's text is stored in parts of this many characters, so that no single write is huge.
TEXT_PART_CHARS = 200_000
# What a point's payload holds; one more with each change that older points cannot serve.
LAYOUT = 4
# Points of this layout are the same but for their readers, whom nothing restricted then.
LAYOUT_WITHOUT_READERS = 3
# What a chunk's point is, and that of a quarantined document: searches ask for the first alone.
CHUNK, HELD = "chunk", "held"
NAMESPACE = uuid.UUID("5f2f6a2e-6f1b-5f0e-9b0f-7a1f0d3c9b42")


@dataclass(frozen=True, slots=True)
class Manifest:
    """The state of a collection: its committed generation, the embedder of its vectors, the layout of its points.

    lineage: drawn when the collection was made, so that one made anew under the same name is told apart; "" where
    an older version of ragopt made it and nobody opened it since. principals: named by the lists of its documents
    so far; None for more than are kept.
    """

    generation: int
    embedder: str
    layout: int = LAYOUT
    lineage: str = ""
    principals: Access = ()

    @classmethod
    def new(cls, embedder: str) -> Manifest:
        """Return the manifest of a collection that is made now."""
        return cls(0, embedder).named()

    def named(self) -> Manifest:
        """Return the manifest with a lineage, a new one where it has none."""
        return self if self.lineage else replace(self, lineage=uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class PreparedChunk:
    """A chunk ready to be stored. `unit_tokens` as in `Hit`."""

    span: ChunkSpan
    encoded: Encoded
    sparse: SparseVector
    unit_tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A document chunked and embedded, not yet a version. `tokens` counts its whole text."""

    document: Document
    content_hash: str
    tokens: int
    chunks: tuple[PreparedChunk, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose points these are; part of every point's id and of every filter."""

    tenant: str
    collection: str

    def point_id(self, *parts: str | int) -> str:
        """Return the UUID of the point that `parts` name within this scope."""
        return str(uuid.uuid5(NAMESPACE, json.dumps([self.tenant, self.collection, *parts])))

    def manifest_id(self) -> str:
        """Return the id of the manifest point."""
        return self.point_id("manifest")

    def tombstone_id(self, document_id: str) -> str:
        """Return the id of the point that keeps a deleted document's last version."""
        return self.point_id("tombstone", document_id)

    def live(
        self,
        kind: str,
        generation: int,
        *,
        reader: Reader,
        document_id: str | None = None,
        matching: MetadataFilter = NO_FILTER,
    ) -> Where:
        """Return the filter of what `reader` sees at `generation`. The tenant is always in it.

        `matching` is for chunks: no other point carries its document's facets.
        """
        equal: dict[str, str | int | tuple[str, ...]] = {"kind": kind, "tenant": self.tenant}
        if document_id is not None:
            equal["document_id"] = document_id
        holds = [("facets", values) for values in wanted_facets(matching)]
        if not reader.everything:
            holds.append((FIELD, reader.keywords()))
        return Where(equal=equal, at_most={"born": generation}, above={"dead": generation}, holds=holds)


def content_hash(document: Document, *, settings: str) -> str:
    """Return the sha256 of everything that shapes a version: text, title, metadata, the index settings, its readers."""
    shaping: list[object] = [document.text, document.title, dict(document.metadata), settings]
    if document.access is not None:
        shaping.append(sorted(set(document.access)))
    canonical = json.dumps(shaping, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def manifest_point(scope: Scope, manifest: Manifest) -> Point:
    """Return the one point that says which generation is committed."""
    payload: Payload = {
        "kind": "manifest",
        "tenant": scope.tenant,
        "generation": manifest.generation,
        "embedder": manifest.embedder,
        "layout": manifest.layout,
        "lineage": manifest.lineage,
        "principals": None if manifest.principals is None else [*manifest.principals],
    }
    return Point(scope.manifest_id(), payload)


def read_manifest(point: Point) -> Manifest:
    """Return the manifest a point holds."""
    payload = point.payload
    # The first layout did not say so.
    layout = int_of(payload, "layout") if "layout" in payload else 1
    lineage = str(payload.get("lineage") or "")
    principals = read_access(payload, "principals", missing=())
    return Manifest(int_of(payload, "generation"), str_of(payload, "embedder"), layout, lineage, principals)


@dataclass(frozen=True, slots=True)
class Staged:
    """What becomes of a document with the next commit. points: of its new version, () where it gets none."""

    result: IngestResult
    points: Sequence[Point] = ()
    replaces: bool = False


def version_points(scope: Scope, prepared: PreparedDocument, *, version: int, born: int) -> list[Point]:
    """Return every point of one document version: its record, its text in parts, its chunks."""
    document = prepared.document
    shared: Payload = {
        "tenant": scope.tenant,
        "document_id": document.id,
        "version": version,
        "born": born,
        "dead": NEVER,
        FIELD: [*keywords_of(document.access)],
    }
    parts = text_parts(document.text)
    record: Payload = {
        **shared,
        "kind": "document",
        "title": document.title,
        "metadata": dict(document.metadata),
        "chunks": len(prepared.chunks),
        "tokens": prepared.tokens,
        "parts": len(parts),
        "content_hash": prepared.content_hash,
        "provenance": dict(document.provenance),
        "quarantined": document.quarantined,
        "access": None if document.access is None else [*document.access],
    }
    points = [Point(scope.point_id("document", document.id, version), record)]
    points += [
        Point(scope.point_id("text", document.id, version, n), {**shared, "kind": "text", "n": n, "text": part})
        for n, part in enumerate(parts)
    ]
    kind = HELD if document.quarantined else CHUNK
    return points + [
        chunk_point(scope, prepared, n=n, shared={**shared, "kind": kind}) for n in range(len(prepared.chunks))
    ]


def chunk_point(scope: Scope, prepared: PreparedDocument, *, n: int, shared: Payload) -> Point:
    """Return the point of chunk `n`: both vectors, its own text, its units, its token bits."""
    chunk, document = prepared.chunks[n], prepared.document
    payload: Payload = {
        **shared,
        "n": n,
        "title": document.title,
        "facets": [*facets_of(document.metadata)],
        "start": chunk.span.start,
        "end": chunk.span.end,
        "heading": chunk.span.heading,
        "units": [edge for unit in chunk.span.units for edge in unit],
        "text": document.text[chunk.span.start : chunk.span.end],
        "token_bits": to_text(chunk.encoded.tokens),
        "unit_tokens": list(chunk.unit_tokens),
    }
    point_id = scope.point_id("chunk", document.id, int_of(shared, "version"), n)
    return Point(point_id, payload, chunk.encoded.dense, chunk.sparse)


def read_info(point: Point) -> DocumentInfo:
    """Return the document record a point holds."""
    payload = point.payload
    return DocumentInfo(
        id=str_of(payload, "document_id"),
        version=int_of(payload, "version"),
        title=str_of(payload, "title"),
        metadata=cast("Mapping[str, Scalar]", payload["metadata"]),
        chunks=int_of(payload, "chunks"),
        tokens=int_of(payload, "tokens"),
        content_hash=str_of(payload, "content_hash"),
        # Records of earlier releases do not say.
        provenance=cast("Mapping[str, Scalar]", payload.get("provenance", {})),
        quarantined=bool(payload.get("quarantined", False)),
        access=read_access(payload, "access", missing=None),
    )


def read_hit(point: Point, *, dense: float | None, bm25: float | None, fused: float) -> Hit:
    """Return the hit of a chunk's point and its scores."""
    return Hit(
        chunk=read_chunk(point),
        tokens=from_text(str_of(point.payload, "token_bits")),
        unit_tokens=tuple(cast("Sequence[int]", point.payload["unit_tokens"])),
        dense=dense,
        bm25=bm25,
        fused=fused,
    )


def read_chunk(point: Point) -> StoredChunk:
    """Return the chunk a point holds."""
    payload = point.payload
    edges = cast("Sequence[int]", payload["units"])
    units: tuple[Span, ...] = tuple(zip(edges[::2], edges[1::2], strict=True))
    return StoredChunk(
        id=point.id,
        document_id=str_of(payload, "document_id"),
        version=int_of(payload, "version"),
        title=str_of(payload, "title"),
        start=int_of(payload, "start"),
        end=int_of(payload, "end"),
        units=units,
        text=str_of(payload, "text"),
        n=int_of(payload, "n"),
    )


def read_live(point: Point) -> LiveChunk:
    """Return what of a chunk's point a cached answer is held to."""
    payload = point.payload
    born = int_of(payload, "born")
    released = int_of(payload, "released") if "released" in payload else born
    return LiveChunk(int_of(payload, "start"), str_of(payload, "text"), max(born, released))


def read_access(payload: Payload, field: str, *, missing: Access) -> Access:
    """Return the principals of a field; `missing` where an older version of ragopt wrote none."""
    stored = payload.get(field, missing)
    return None if stored is None else tuple(cast("Sequence[str]", stored))


def not_replaced(document_id: str) -> IngestResult:
    """Return the failed result of a document whose live version its sender may not read."""
    reason = f"there is a document {document_id!r} that this key may not read, so it may not replace it either"
    return IngestResult(document_id, None, "failed", 0, 0, IngestFailure(AccessDenied.code, reason))


def text_parts(text: str) -> list[str]:
    """Return `text` in parts of at most 200,000 characters; joined they are the text."""
    return [text[at : at + TEXT_PART_CHARS] for at in range(0, len(text), TEXT_PART_CHARS)]


def int_of(payload: Payload, field: str) -> int:
    """Return an integer field of a payload this module wrote."""
    return int(cast("int", payload[field]))


def str_of(payload: Payload, field: str) -> str:
    """Return a string field of a payload this module wrote."""
    return str(payload[field])
