"""A quarantined document is stored and never found, until it is released: the same with every engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from indexes.edge import EdgeEngine
from indexes.errors import DocumentNotFound
from indexes.library import Library
from indexes.qdrant import QdrantEngine
from indexes.records import Document, IndexKnobs
from indexes.store import Engine
from ragopt.tokens import count_tokens_batch
from tests.fakes import WordEncoder

HELD = Document("held", "Fees are due in May.", provenance={"injection": 0.97}, quarantined=True)
OPEN = Document("open", "Fees are due in June.")


@pytest.fixture(params=["edge", "qdrant_local"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Callable[[Library], Awaitable[None]]], None]:
    """Return what runs a scenario over a library of one quarantined and one other document."""

    async def against(scenario: Callable[[Library], Awaitable[None]]) -> None:
        engine: Engine = EdgeEngine(tmp_path) if request.param == "edge" else QdrantEngine.local()
        library = Library(
            engine, WordEncoder(), knobs=IndexKnobs(), count_tokens=count_tokens_batch, max_document_bytes=10_000
        )
        try:
            await library.ingest("acme", "c", [HELD, OPEN])
            await scenario(library)
        finally:
            await library.close()
            await engine.close()

    return lambda scenario: asyncio.run(against(scenario))


async def found(library: Library) -> set[str]:
    """Return the ids of the documents that a question finds."""
    question = await WordEncoder().encode_question("When are fees due?")
    _, hits = await library.search(
        "acme", "c", "When are fees due?", question=question, top_k=10, timer=lambda _: nullcontext()
    )
    return {hit.chunk.document_id for hit in hits}


def test_it_is_stored_and_not_found(run: Callable[[Callable[[Library], Awaitable[None]]], None]) -> None:
    """Its text, its chunks and its provenance can be read; no search has it."""

    async def scenario(library: Library) -> None:
        stored = await library.document("acme", "c", "held")
        assert (stored.text, len(stored.chunks)) == (HELD.text, 1)
        assert (stored.info.quarantined, stored.info.provenance) == (True, {"injection": 0.97})
        assert await found(library) == {"open"}

    run(scenario)


def test_release_lets_it_be_found(run: Callable[[Callable[[Library], Awaitable[None]]], None]) -> None:
    """In a new generation, as something newer than cached answers; a second release changes nothing."""

    async def scenario(library: Library) -> None:
        before = await library.generation("acme", "c")
        await library.release("acme", "c", "held")
        assert await found(library) == {"held", "open"}
        assert not (await library.document("acme", "c", "held")).info.quarantined
        released = await library.generation("acme", "c")
        assert released == before + 1
        assert await library.has_newer("acme", "c", since=before, generation=released)
        assert not await library.has_newer("acme", "c", since=released, generation=released)
        await library.release("acme", "c", "held")
        assert await library.generation("acme", "c") == released

    run(scenario)


def test_what_was_released_stays_so(run: Callable[[Callable[[Library], Awaitable[None]]], None]) -> None:
    """Sending the same text again is no new version; another text is held again, and its predecessor is gone."""

    async def scenario(library: Library) -> None:
        await library.release("acme", "c", "held")
        (again,) = await library.ingest("acme", "c", [HELD])
        assert (again.status, await found(library)) == ("unchanged", {"held", "open"})
        await library.ingest("acme", "c", [Document("held", "Fees are due in July.", quarantined=True)])
        assert await found(library) == {"open"}
        await library.delete("acme", "c", "held")
        with pytest.raises(DocumentNotFound):
            await library.release("acme", "c", "held")

    run(scenario)
