"""The questions of kept answers in a vector engine of their own: which of them are near a new one.

One store per tenant, collection and embedding model, as for documents; the tenant is in every filter
all the same, and so is the partition, which holds all that decides an answer besides the words. A search
asks for both at once: an engine that scans compares every condition with every point.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from indexes.errors import StoreUnavailable
from indexes.records import FloatVector
from indexes.store import Engine, Payload, Point, Store, Where
from ragopt.stages.cache.entries import Place
from ragopt.stages.cache.key import EntryKey

# Compaction is looked into after so many questions kept in one store: a look takes a tenth of a millisecond.
TIDY_AFTER = 100

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Near:
    """A kept question near a new one: where its entry is, and the cosine of the two, in [-1, 1]."""

    place: Place
    similarity: float


class QuestionIndex:
    """Vectors of kept questions, `dim` wide, made by the embedder of that `tag`. Methods raise `StoreUnavailable`."""

    def __init__(self, engine: Engine, *, dim: int, tag: str) -> None:
        self._engine = engine
        self._dim = dim
        self._model = hashlib.sha256(tag.encode()).hexdigest()[:8]
        self._stores: dict[tuple[str, str], Store] = {}
        self._written: dict[tuple[str, str], int] = {}
        self._tidying: set[asyncio.Task[None]] = set()

    async def nearest(self, key: EntryKey, vector: FloatVector, *, limit: int, at_least: float) -> list[Near]:
        """Return at most `limit` questions of the key's partition nearest to `vector`, best first.

        Their cosine is at least `at_least`; the question of the key itself is not among them.
        """
        store = await self._store(key.tenant, key.collection)
        found = await store.search_dense(vector, Where(equal={"kind": kind_of(key)}), limit=limit + 1)
        near = [Near(Place(key.tenant, key.collection, hit.id), hit.score) for hit in found]
        return [item for item in near if item.place.id != key.id and item.similarity >= at_least][:limit]

    async def add(self, key: EntryKey, vector: FloatVector) -> None:
        """Keep the vector of a key's question."""
        scope = (key.tenant, key.collection)
        store = await self._store(*scope)
        payload: Payload = {"kind": kind_of(key), "tenant": key.tenant, "document_id": key.id}
        await store.upsert([Point(key.id, payload, vector)])
        self._written[scope] = self._written.get(scope, 0) + 1
        if self._written[scope] % TIDY_AFTER == 0:
            task = asyncio.create_task(tidied(store))
            self._tidying.add(task)
            task.add_done_callback(self._tidying.discard)

    async def remove(self, places: Iterable[Place]) -> None:
        """Forget the questions of entries that are gone."""
        by_scope: dict[tuple[str, str], list[str]] = {}
        for place in places:
            by_scope.setdefault((place.tenant, place.collection), []).append(place.id)
        for scope, ids in by_scope.items():
            where = Where(equal={"tenant": scope[0], "document_id": tuple(ids)})
            await (await self._store(*scope)).delete(where)

    async def clear(self, tenant: str, collection: str | None) -> None:
        """Forget every question of a tenant, of one collection if it is given."""
        names = [self._name(tenant, collection)] if collection is not None else await self._names(tenant)
        for name in names:
            store = await self._engine.open(name, dim=self._dim)
            await store.delete(Where(equal={"tenant": tenant}))

    async def idle(self) -> None:
        """Return once nothing runs in the background."""
        await asyncio.gather(*self._tidying, return_exceptions=True)

    async def close(self) -> None:
        """End what runs in the background; the engine is the caller's to close, afterwards."""
        for task in self._tidying:
            task.cancel()
        await self.idle()

    async def _names(self, tenant: str) -> Sequence[str]:
        prefix, ending = f"{quote(tenant, safe='')}/", f"/{self._model}"
        return [name for name in await self._engine.names() if name.startswith(prefix) and name.endswith(ending)]

    async def _store(self, tenant: str, collection: str) -> Store:
        scope = (tenant, collection)
        if scope not in self._stores:
            self._stores[scope] = await self._engine.open(self._name(*scope), dim=self._dim)
        return self._stores[scope]

    def _name(self, tenant: str, collection: str) -> str:
        # Three parts: never the name of a collection of documents, which has two.
        return f"{quote(tenant, safe='')}/{quote(collection, safe='')}/{self._model}"


def kind_of(key: EntryKey) -> str:
    """Return what the points of a key's tenant and partition say they are, and no other's do."""
    return json.dumps(["question", key.tenant, key.partition])


async def tidied(store: Store) -> None:
    """Let the engine reorganise the questions; a failure costs speed only and is logged."""
    try:
        await store.optimize()
    except StoreUnavailable as error:
        logger.warning("the index of kept questions was not compacted: %s", error)
