"""What surrounds a hit: the same chunks from every engine, in one fetch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from indexes.collection import Collection
from indexes.edge import EdgeEngine
from indexes.library import Library, store_name
from indexes.manifest import Scope
from indexes.qdrant import QdrantEngine
from indexes.records import Document, Hit, IndexKnobs
from indexes.store import Engine, Point, Store
from ragopt.tokens import count_tokens_batch
from tests.fakes import FAKE_DIM, WordEncoder

TENANT, COLLECTION = "acme", "handbook"
Scenario = Callable[[Library, Engine], Awaitable[None]]


class CountingStore:
    """A real store that counts its fetches."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.fetches = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def fetch(self, ids: Sequence[str], *, with_vectors: bool = False) -> list[Point]:
        """Fetch through."""
        self.fetches += 1
        return await self._store.fetch(ids, with_vectors=with_vectors)


@pytest.fixture(params=["edge", "qdrant_local"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Scenario], None]:
    """Return what runs a scenario over a library of two documents of ten chunks each."""

    async def against(scenario: Scenario) -> None:
        engine: Engine = EdgeEngine(tmp_path) if request.param == "edge" else QdrantEngine.local()
        knobs = IndexKnobs(chunk_tokens=20)
        library = Library(
            engine, WordEncoder(), knobs=knobs, count_tokens=count_tokens_batch, max_document_bytes=10_000
        )
        try:
            await library.ingest(TENANT, COLLECTION, [document("a"), document("b")])
            await scenario(library, engine)
        finally:
            await library.close()
            await engine.close()

    return lambda scenario: asyncio.run(against(scenario))


def document(name: str, edition: int = 1) -> Document:
    """Return a document of ten sections, each a chunk."""
    return Document(name, "\n\n".join(f"# Part{n}\n\nRule{n} of {name} in edition {edition}." for n in range(10)))


async def hits_at(library: Library, *wanted: tuple[str, int]) -> list[Hit]:
    """Return a hit of each document's chunk of that number."""
    stored = {name: await library.document(TENANT, COLLECTION, name) for name, _ in wanted}
    nothing = np.zeros((0, 16), np.uint8)
    return [Hit(stored[name].chunks[n], nothing, (), dense=0.5, bm25=1.0, fused=0.1) for name, n in wanted]


def places(hits: Sequence[Hit]) -> list[tuple[str, int]]:
    """Return the document and number of each hit."""
    return [(hit.chunk.document_id, hit.chunk.n) for hit in hits]


class TestNeighbours:
    def test_chunks_on_both_sides_come_back(self, run: Callable[[Scenario], None]) -> None:
        """One before and one after, whole: text, place, token bits, and no scores."""

        async def scenario(library: Library, engine: Engine) -> None:
            hits = await hits_at(library, ("a", 4))
            assert places(hits) == [("a", 4)]
            found = await library.neighbours(TENANT, COLLECTION, hits)
            assert places(found) == [("a", 3), ("a", 5)]
            text = (await library.document(TENANT, COLLECTION, "a")).text
            assert all(hit.chunk.text == text[hit.chunk.start : hit.chunk.end] for hit in found)
            assert all(len(hit.tokens) for hit in found)
            assert {(hit.dense, hit.bm25, hit.fused) for hit in found} == {(None, None, 0.0)}

        run(scenario)

    def test_each_chunk_comes_once_and_no_hit_again(self, run: Callable[[Scenario], None]) -> None:
        """Neighbours of several hits are in text order by document; the ends of a document have one side."""

        async def scenario(library: Library, engine: Engine) -> None:
            hits = await hits_at(library, ("b", 6), ("a", 0), ("b", 4), ("b", 9))
            assert places(await library.neighbours(TENANT, COLLECTION, hits, reach=2)) == [
                ("b", 2),
                ("b", 3),
                ("b", 5),
                ("b", 7),
                ("b", 8),
                ("a", 1),
                ("a", 2),
            ]
            assert await library.neighbours(TENANT, COLLECTION, hits, reach=0) == []
            assert await library.neighbours(TENANT, COLLECTION, []) == []

        run(scenario)

    def test_neighbours_are_of_the_version_of_the_hit(self, run: Callable[[Scenario], None]) -> None:
        """A new version published in between does not mix into what was found in the old one."""

        async def scenario(library: Library, engine: Engine) -> None:
            hits = await hits_at(library, ("a", 4))
            await library.ingest(TENANT, COLLECTION, [document("a", edition=2)])
            found = await library.neighbours(TENANT, COLLECTION, hits)
            assert [hit.chunk.version for hit in found] == [1, 1]
            assert all("edition 1" in hit.chunk.text for hit in found)

        run(scenario)

    def test_all_neighbours_take_one_fetch(self, run: Callable[[Scenario], None]) -> None:
        """However many hits there are, the engine is asked once."""

        async def scenario(library: Library, engine: Engine) -> None:
            scope = Scope(TENANT, COLLECTION)
            store = CountingStore(await engine.open(store_name(scope), dim=FAKE_DIM))
            target = Collection(store, scope, embedder="words-64", lock=nullcontext)  # type: ignore[arg-type]
            hits = await hits_at(library, ("a", 2), ("a", 7), ("b", 5))
            assert len(await target.neighbours(hits)) == 6
            assert store.fetches == 1

        run(scenario)
