"""What the indexes store and return: frozen values, no behaviour beyond derived properties."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from indexes.access import Access

FloatMatrix: TypeAlias = NDArray[np.float32]
FloatVector: TypeAlias = NDArray[np.float32]
BitMatrix: TypeAlias = NDArray[np.uint8]
IntVector: TypeAlias = NDArray[np.int64]
Span: TypeAlias = tuple[int, int]
Scalar: TypeAlias = str | int | float | bool

IngestStatus: TypeAlias = Literal["created", "updated", "unchanged", "failed"]


@dataclass(frozen=True, slots=True)
class IndexKnobs:
    """What shapes an index; part of the identity of every stored version.

    chunk_tokens: target size of a chunk. chunking: name of the chunking rules.
    """

    chunk_tokens: int = 100
    chunking: str = "units-3"

    def digest(self) -> str:
        """Return 16 hex digits that change when any knob does."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Document:
    """A text to index. Offsets everywhere index `text` in Unicode code points, half open.

    provenance: where it came from and what a screening found in it; no part of its version's identity.
    quarantined: whether it is stored without being found by any search, until it is released.
    access: the principals that may read it; None for everybody of its tenant.
    """

    id: str
    text: str
    title: str = ""
    metadata: Mapping[str, Scalar] = field(default_factory=dict)
    provenance: Mapping[str, Scalar] = field(default_factory=dict)
    quarantined: bool = False
    access: Access = None


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """The live version of a stored document, without its text."""

    id: str
    version: int
    title: str
    metadata: Mapping[str, Scalar]
    chunks: int
    tokens: int
    content_hash: str
    provenance: Mapping[str, Scalar] = field(default_factory=dict)
    quarantined: bool = False
    access: Access = None


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """The live version of a document with its text and the spans of its chunks in text order."""

    info: DocumentInfo
    text: str
    chunks: tuple[StoredChunk, ...]


@dataclass(frozen=True, slots=True)
class ChunkSpan:
    """Where a chunk lies in its document, and where its units do.

    `units` are the spans of its sentences, list items, table rows or code lines, ascending and
    disjoint; the first starts at `start`, the last ends at `end`. `heading` is the path of the headings
    above it that it does not hold itself, joined by ` > `: for indexing only, it is in no span.
    """

    start: int
    end: int
    units: tuple[Span, ...]
    heading: str = ""


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Term weights: `indices` are distinct term ids, `values` their weights, same length."""

    indices: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Encoded:
    """One text after the embedder.

    dense: float32 [dim], unit length. tokens: uint8 [n_tokens, bits / 8], packed sign bits of the
    projected token vectors, special tokens left out.
    """

    dense: FloatVector
    tokens: BitMatrix


@dataclass(frozen=True, slots=True)
class EncodedQuestion:
    """One question after the embedder.

    dense: float32 [dim], unit length. tokens: float32 [n_tokens, bits], projected and of unit
    length. weights: float32 [n_tokens], the IDF of each token, summing to 1 (all zero if empty).
    """

    dense: FloatVector
    tokens: FloatMatrix
    weights: FloatVector


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk of a live document version, as the store holds it; `text` is the document's own text.

    n: which chunk of its version it is, in text order from 0.
    """

    id: str
    document_id: str
    version: int
    title: str
    start: int
    end: int
    units: tuple[Span, ...]
    text: str
    n: int = 0


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that a question found.

    dense: cosine to the question, None where only BM25 found it. bm25: BM25 score, None where only
    the dense search found it. fused: the score it is ranked by, higher is better.
    tokens: as in `Encoded.tokens`. unit_tokens: how many of them belong to what stands above the
    chunk, then to each of its units, in order.
    """

    chunk: StoredChunk
    tokens: BitMatrix
    unit_tokens: tuple[int, ...]
    dense: float | None
    bm25: float | None
    fused: float


@dataclass(frozen=True, slots=True)
class Revision:
    """What a collection holds, as one value: its committed generation, in the life of one collection.

    Generations of two lineages do not compare: a collection that was made anew begins again.
    """

    lineage: str
    generation: int


@dataclass(frozen=True, slots=True)
class LiveChunk:
    """A chunk that readers of a generation see: its document's text at `start`, and since which generation they do."""

    start: int
    text: str
    born: int


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What became of one document of an ingest; `error` is None unless `status` is failed."""

    id: str
    version: int | None
    status: IngestStatus
    chunks: int
    tokens: int
    error: IngestFailure | None = None


@dataclass(frozen=True, slots=True)
class IngestFailure:
    """Why a document was not stored: a stable code of `indexes.errors` and a sentence."""

    code: str
    detail: str
