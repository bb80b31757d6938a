"""Collections from the embedded engine to the client of a server: the same answers, nothing visible before its end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from indexes.edge import EdgeEngine
from indexes.errors import CollectionNotFound, SettingsMismatch, StoreUnavailable
from indexes.library import Library
from indexes.migrate import copy_collections
from indexes.qdrant import QdrantEngine
from indexes.records import Document, Hit, IndexKnobs
from indexes.store import Engine
from ragopt.tokens import count_tokens_batch
from tests.fakes import FAKE_DIM, WordEncoder

TENANT, COLLECTION = "acme", "handbook"
DOCUMENTS = [Document(f"d/{n}", f"Rule {n} speaks of topic{n}. " * 8, f"Title {n}", {"n": n}) for n in range(6)]


def library_over(engine: Engine) -> Library:
    """Return a library with the fake encoder."""
    knobs = IndexKnobs(chunk_tokens=20)
    return Library(engine, WordEncoder(), knobs=knobs, count_tokens=count_tokens_batch, max_document_bytes=100_000)


async def found(engine: Engine, text: str) -> list[Hit]:
    """Return what a question finds in an engine."""
    encoded = await WordEncoder().encode_question(text)
    library = library_over(engine)
    _, hits = await library.search(TENANT, COLLECTION, text, question=encoded, top_k=5, timer=lambda _: nullcontext())
    return hits


async def filled(folder: Path) -> EdgeEngine:
    """Return an embedded engine with documents of two tenants, one of them updated."""
    engine = EdgeEngine(folder)
    library = library_over(engine)
    await library.ingest(TENANT, COLLECTION, DOCUMENTS)
    await library.ingest(TENANT, COLLECTION, [Document("d/0", "Rule 0 speaks of something new.", "Title 0")])
    await library.ingest("other", COLLECTION, DOCUMENTS[:1])
    await library.close()
    return engine


def places(hits: Sequence[Hit]) -> list[tuple[str, int, int, int]]:
    """Return which chunks were found, in order."""
    return [(hit.chunk.document_id, hit.chunk.version, hit.chunk.start, hit.chunk.end) for hit in hits]


def test_migrated_collections_answer_as_before(tmp_path: Path) -> None:
    """Every tenant's collection is there under its own name, and finds the same chunks in the same order."""

    async def check() -> None:
        source, target = await filled(tmp_path), QdrantEngine.local()
        told: list[tuple[str, int]] = []
        copied = await copy_collections(
            source, target, dim=FAKE_DIM, copied=lambda name, points: told.append((name, points))
        )
        assert [store.name for store in copied] == await source.names() == await target.names()
        assert sum(points for _, points in told) == sum(store.points for store in copied)
        for text in ("topic3", "something new", "Rule 5"):
            assert places(await found(target, text)) == places(await found(source, text))
        stored = await library_over(target).document(TENANT, COLLECTION, "d/0")
        assert (stored.info.version, stored.text) == (2, "Rule 0 speaks of something new.")
        await source.close()

    asyncio.run(check())


def test_run_that_was_cut_off_shows_nothing_and_is_taken_up_again(tmp_path: Path) -> None:
    """Until the manifest is written a reader finds no document; the next run completes the copy."""

    async def check() -> None:
        source, target = await filled(tmp_path), QdrantEngine.local()

        def cut(name: str, points: int) -> None:
            raise StoreUnavailable(f"cut off after {points} points of {name}")

        with pytest.raises(StoreUnavailable):
            await copy_collections(source, target, dim=FAKE_DIM, copied=cut)
        assert await library_over(target).documents(TENANT, COLLECTION) == []
        first, again = [await copy_collections(source, target, dim=FAKE_DIM) for _ in range(2)]
        assert first == again
        assert len(await library_over(target).documents(TENANT, COLLECTION)) == len(DOCUMENTS)
        await source.close()

    asyncio.run(check())


def test_collection_with_other_contents_is_not_written_over(tmp_path: Path) -> None:
    """What the target has of its own stays; the error names the collection."""

    async def check() -> None:
        source, target = await filled(tmp_path), QdrantEngine.local()
        await library_over(target).ingest(TENANT, COLLECTION, DOCUMENTS[:1])
        with pytest.raises(SettingsMismatch, match=f"{TENANT}/{COLLECTION}"):
            await copy_collections(source, target, dim=FAKE_DIM)
        assert len(await library_over(target).documents(TENANT, COLLECTION)) == 1
        with pytest.raises(CollectionNotFound):
            await library_over(target).documents("nobody", COLLECTION)
        await source.close()

    asyncio.run(check())
