"""The Store protocol: what an engine must do for one collection of points.

Two engines satisfy it, `indexes.edge` (embedded) and `indexes.qdrant` (server), and pass the same
contract tests. A store knows points and filters; versions, generations and documents are
`indexes.collection`'s.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from indexes.records import FloatVector, SparseVector

PayloadValue: TypeAlias = "str | int | float | bool | list[PayloadValue] | dict[str, PayloadValue] | None"
Payload: TypeAlias = dict[str, PayloadValue]

KEYWORD_FIELDS = ("kind", "tenant", "document_id", "facets", "readers")
INTEGER_FIELDS = ("born", "dead", "released", "version", "n")


@dataclass(frozen=True, slots=True)
class Point:
    """One stored point. `id` is a UUID string; `dense` and `sparse` are None on points that are not searched.

    dense: of unit length when it is read, with the eleven binary digits that are kept of each number.
    """

    id: str
    payload: Payload
    dense: FloatVector | None = None
    sparse: SparseVector | None = None


@dataclass(frozen=True, slots=True)
class Where:
    """A conjunction: `equal` fields hold that value (or one of a tuple), `at_most` are <=, `above` are >.

    `holds`: for each field and tuple, the field's array holds at least one of the values; a field may
    be named again. No value matches nothing.
    """

    equal: Mapping[str, str | int | tuple[str, ...]] = field(default_factory=dict)
    at_most: Mapping[str, int] = field(default_factory=dict)
    above: Mapping[str, int] = field(default_factory=dict)
    holds: Sequence[tuple[str, tuple[str, ...]]] = ()


@dataclass(frozen=True, slots=True)
class Scored:
    """A point id with its engine score: cosine for dense, BM25 for sparse; higher is better."""

    id: str
    score: float


class Store(Protocol):
    """The points of one (tenant, collection). Methods raise `StoreUnavailable` when the engine does not answer."""

    async def upsert(self, points: Sequence[Point]) -> None:
        """Insert or replace points; when it returns they survive the death of this process."""

    async def search_dense(self, vector: FloatVector, where: Where, *, limit: int) -> list[Scored]:
        """Return the `limit` points nearest to `vector` (float32 [dim], unit length) that match, best first."""

    async def search_sparse(self, vector: SparseVector, where: Where, *, limit: int) -> list[Scored]:
        """Return the `limit` best points by IDF-weighted dot product that match; [] for an empty vector."""

    async def fetch(self, ids: Sequence[str], *, with_vectors: bool = False) -> list[Point]:
        """Return the points of `ids` that exist, in the order of `ids`; vectors only if asked."""

    def scroll(self, where: Where, *, with_vectors: bool = False) -> AsyncIterator[Point]:
        """Yield every matching point, in no particular order."""

    async def set_payload(self, where: Where, payload: Payload) -> None:
        """Merge `payload` into every matching point."""

    async def delete(self, where: Where) -> None:
        """Delete every matching point."""

    async def count(self, where: Where) -> int:
        """Return how many points match."""

    async def optimize(self) -> bool:
        """Let the engine reorganise its segments; searches and writes go on meanwhile.

        False: something was written meanwhile, and the result was thrown away.
        """

    async def close(self) -> None:
        """Release the engine's files or connections; the store is not used afterwards."""


class Engine(Protocol):
    """Where stores come from: a folder of Edge shards, or a Qdrant server."""

    async def open(self, name: str, *, dim: int) -> Store:
        """Return the store of that name, made with dense size `dim` if it does not exist yet."""

    async def names(self) -> list[str]:
        """Return the names of the existing stores, sorted."""

    async def ping(self) -> None:
        """Return if the engine answers; raise `StoreUnavailable` otherwise."""

    async def close(self) -> None:
        """Close every open store and the engine."""
