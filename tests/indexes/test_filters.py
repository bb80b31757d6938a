"""Metadata filters over the library: what is searched, what a change of metadata does, what cannot be stored."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from indexes.edge import EdgeEngine
from indexes.errors import SettingsMismatch
from indexes.facets import NO_FILTER, MetadataFilter
from indexes.fusion import Fusion
from indexes.library import Library, store_name
from indexes.manifest import Manifest, Scope, manifest_point
from indexes.records import Document, Hit, IndexKnobs
from ragopt.tokens import count_tokens_batch
from tests.fakes import FAKE_DIM, WordEncoder

TENANT, COLLECTION = "acme", "handbook"
DOCUMENTS = (
    Document("a", "The gate opens at noon.", "", {"team": "hr", "year": 2023, "public": True, "ratio": 0.5}),
    Document("b", "The gate opens at noon.", "", {"team": "hr", "year": 2024, "public": False}),
    Document("c", "The gate opens at noon.", "", {"team": "it", "year": "2024", "public": True}),
    Document("d", "The gate opens at noon."),
)


def library_over(engine: EdgeEngine, encoder: WordEncoder | None = None) -> Library:
    return Library(
        engine,
        encoder or WordEncoder(),
        knobs=IndexKnobs(),
        count_tokens=count_tokens_batch,
        max_document_bytes=100_000,
    )


def on_edge(folder: Path, check: Callable[[EdgeEngine], Awaitable[None]]) -> None:
    async def run() -> None:
        engine = EdgeEngine(folder)
        try:
            await check(engine)
        finally:
            await engine.close()

    asyncio.run(run())


def timer(_: str) -> AbstractContextManager[None]:
    return nullcontext()


async def search(
    library: Library, text: str, matching: MetadataFilter = NO_FILTER, *, fusion: Fusion | None = None
) -> list[Hit]:
    encoded = await WordEncoder().encode_question(text)
    _, hits = await library.search(
        TENANT, COLLECTION, text, question=encoded, top_k=50, timer=timer, fusion=fusion or Fusion(), matching=matching
    )
    return hits


CASES: list[tuple[MetadataFilter, str]] = [
    ({}, "abcd"),
    ({"team": ("hr",)}, "ab"),
    ({"team": ("hr", "it")}, "abc"),
    ({"team": ("hr",), "year": (2024,)}, "b"),
    ({"year": (2023, "2024")}, "ac"),
    ({"year": (2024.0,)}, "b"),
    ({"ratio": (0.5,)}, "a"),
    ({"public": (True,)}, "ac"),
    ({"public": (1, "true", "True")}, ""),
    ({"team": ("HR",)}, ""),
    ({"team": ()}, ""),
    ({"unknown": ("hr",)}, ""),
    ({"team": ("hr",), "unknown": ("x",)}, ""),
    ({'"team", "hr"': ("x",)}, ""),
]


def test_every_key_must_match_and_any_value_of_it_may(tmp_path: Path) -> None:
    """Dense and BM25 hits alike are of documents that match, under both ways to fuse; an unknown key matches none."""

    async def check(engine: EdgeEngine) -> None:
        library = library_over(engine)
        await library.ingest(TENANT, COLLECTION, DOCUMENTS)
        for matching, expected in CASES:
            for fusion in (Fusion(), Fusion("score", 0.7)):
                hits = await search(library, "gate noon", matching, fusion=fusion)
                assert {hit.chunk.document_id for hit in hits} == set(expected), matching
                assert all(hit.dense is not None and hit.bm25 is not None for hit in hits)

    on_edge(tmp_path, check)


def test_new_metadata_is_a_new_version_with_the_old_vectors(tmp_path: Path) -> None:
    """A document is found by the metadata it has now and no longer by what it had; nothing is embedded again."""

    async def check(engine: EdgeEngine) -> None:
        encoder = WordEncoder()
        library = library_over(engine, encoder)
        await library.ingest(TENANT, COLLECTION, DOCUMENTS)
        embedded = len(encoder.encoded)
        moved = Document("a", DOCUMENTS[0].text, "", {"team": "it", "year": 2023})
        assert (await library.ingest(TENANT, COLLECTION, [moved]))[0].status == "updated"
        assert len(encoder.encoded) == embedded
        assert {hit.chunk.document_id for hit in await search(library, "gate", {"team": ("hr",)})} == {"b"}
        assert {hit.chunk.document_id for hit in await search(library, "gate", {"team": ("it",)})} == {"a", "c"}
        assert await search(library, "gate", {"public": (True,), "year": (2023,)}) == []

    on_edge(tmp_path, check)


def test_metadata_that_cannot_be_stored_fails_alone(tmp_path: Path) -> None:
    """A number out of range, infinity and a lone surrogate fail their own document, and the others are stored."""

    async def check(engine: EdgeEngine) -> None:
        values = {"huge": 2**63, "endless": float("inf"), "broken": "\ud800"}
        bad = [Document(name, "A text.", "", {"value": value}) for name, value in values.items()]
        titled = Document("title", "A text.", "\ud800")
        results = await library_over(engine).ingest(TENANT, COLLECTION, [*bad, titled, DOCUMENTS[0]])
        codes = [item.error.code if item.error else None for item in results]
        assert codes == ["invalid_document", "invalid_document", "invalid_text", "invalid_text", None]

    on_edge(tmp_path, check)


def test_collection_from_before_the_facets_is_refused(tmp_path: Path) -> None:
    """Chunks that no filter could find are not searched as if there were none: the error says to ingest anew."""

    async def check(engine: EdgeEngine) -> None:
        await library_over(engine).ingest(TENANT, COLLECTION, DOCUMENTS)
        scope, encoder = Scope(TENANT, COLLECTION), WordEncoder()
        store = await engine.open(store_name(scope), dim=FAKE_DIM)
        await store.upsert([manifest_point(scope, Manifest(1, encoder.tag, layout=2))])
        with pytest.raises(SettingsMismatch, match="ingest its documents into a new collection"):
            await search(library_over(engine), "gate", {"team": ("hr",)})

    on_edge(tmp_path, check)
