"""Documents end to end on the embedded engine: versions, atomicity, isolation, recovery."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from indexes.edge import EdgeEngine
from indexes.errors import CollectionNotFound, DocumentNotFound, SettingsMismatch, StoreUnavailable
from indexes.ingest import IngestProgress, indexed_text
from indexes.library import ADMITTED_AT_ONCE, Admit, Library, LockFor, store_name
from indexes.manifest import Manifest, Scope, manifest_point
from indexes.records import Document, Hit, IndexKnobs, LiveChunk, Revision
from indexes.store import Point, Store
from ragopt.tokens import count_tokens_batch
from tests.fakes import FAKE_DIM, WordEncoder

TENANT, COLLECTION = "acme", "handbook"


def timer(_: str) -> AbstractContextManager[None]:
    return nullcontext()


def library_over(
    engine: EdgeEngine,
    encoder: WordEncoder | None = None,
    *,
    chunk_tokens: int = 20,
    admit: Admit | None = None,
    group_chunks: int = 512,
    lock_for: LockFor | None = None,
) -> Library:
    return Library(
        engine,
        encoder or WordEncoder(),
        knobs=IndexKnobs(chunk_tokens=chunk_tokens),
        count_tokens=count_tokens_batch,
        max_document_bytes=100_000,
        lock_for=lock_for,
        admit=admit,
        group_chunks=group_chunks,
    )


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[EdgeEngine]:
    engine = EdgeEngine(folder)
    try:
        yield engine
    finally:
        await engine.close()


def on_edge(folder: Path, check: Callable[[EdgeEngine], Awaitable[None]]) -> None:
    async def run() -> None:
        async with opened(folder) as engine:
            await check(engine)

    asyncio.run(run())


async def search(library: Library, text: str, *, tenant: str = TENANT, top_k: int = 5) -> list[Hit]:
    encoded = await WordEncoder().encode_question(text)
    _, hits = await library.search(tenant, COLLECTION, text, question=encoded, top_k=top_k, timer=timer)
    return hits


def handbook(edition: int, sentences: int = 12) -> Document:
    text = " ".join(f"Rule {n} of edition {edition} speaks of topic{n} here." for n in range(sentences))
    return Document("handbook", text, "Handbook", {"team": "hr"})


def test_a_new_text_replaces_the_old_one(tmp_path: Path) -> None:
    """created, unchanged, updated: versions count up and only the newest is found."""

    async def check(engine: EdgeEngine) -> None:
        library = library_over(engine)
        first, again, second = [
            (await library.ingest(TENANT, COLLECTION, [handbook(edition)]))[0] for edition in (1, 1, 2)
        ]
        assert [(item.status, item.version) for item in (first, again, second)] == [
            ("created", 1),
            ("unchanged", 1),
            ("updated", 2),
        ]
        hits = await search(library, "edition 1 topic3", top_k=50)
        assert {hit.chunk.version for hit in hits} == {2}
        stored = await library.document(TENANT, COLLECTION, "handbook")
        assert stored.text == handbook(2).text
        assert stored.info.metadata == {"team": "hr"}
        assert all(chunk.text == stored.text[chunk.start : chunk.end] for chunk in stored.chunks)
        assert len(hits) == second.chunks == len(stored.chunks)

    on_edge(tmp_path, check)


def test_unchanged_text_is_not_embedded_again(tmp_path: Path) -> None:
    """A new version embeds only the chunks whose text is new; new metadata embeds none."""

    async def check(engine: EdgeEngine) -> None:
        encoder = WordEncoder()
        library = library_over(engine, encoder)
        await library.ingest(TENANT, COLLECTION, [handbook(1)])
        total = len(encoder.encoded)
        longer = Document("handbook", handbook(1).text + "\n\n# New\n\nA new closing part.", "Handbook", {"team": "hr"})
        await library.ingest(TENANT, COLLECTION, [longer])
        assert encoder.encoded[total:] == ["Handbook\n# New\n\nA new closing part."]
        relabelled = Document("handbook", longer.text, "Handbook", {"team": "legal"})
        assert (await library.ingest(TENANT, COLLECTION, [relabelled]))[0].status == "updated"
        assert len(encoder.encoded) == total + 1

    on_edge(tmp_path, check)


def test_title_and_headings_find_a_chunk_but_are_not_in_it(tmp_path: Path) -> None:
    """A word that stands only above a passage leads to it; its text and spans are the document's own."""

    async def check(engine: EdgeEngine) -> None:
        library = library_over(engine)
        text = "# Vehicles\n\n## Bicycles\n\n" + " ".join(f"Rule {n} says something." for n in range(12))
        await library.ingest(TENANT, COLLECTION, [Document("d", text, "Depot"), Document("e", "Rule 1 says nothing.")])
        for word in ("depot", "vehicles", "bicycles"):
            hits = await search(library, word, top_k=50)
            found = [hit.chunk for hit in hits if hit.bm25 is not None]
            assert found
            assert {chunk.document_id for chunk in found} == {"d"}
            assert all(chunk.text == text[chunk.start : chunk.end] for chunk in found)
            assert any(word not in chunk.text.lower() for chunk in found)

    on_edge(tmp_path, check)


def test_a_title_as_long_as_a_book_leaves_room_for_the_text() -> None:
    """Of what stands above a chunk only so much is indexed, the beginning of the title and the end of the path."""
    copy = indexed_text("The text.", title="T" * 10_000, heading=f"{'A > ' * 5_000}Last")
    assert copy.endswith("A > Last\nThe text.")
    assert len(copy) < 650
    assert indexed_text("Text.", title="Guide", heading="Guide > Setup") == "Guide\nSetup\nText."
    assert indexed_text("Text.", title="", heading="") == "Text."


def test_other_index_knobs_make_another_version(tmp_path: Path) -> None:
    """The same text under another chunk size is a new version, not `unchanged`."""

    async def check(engine: EdgeEngine) -> None:
        await library_over(engine).ingest(TENANT, COLLECTION, [handbook(1)])
        result = (await library_over(engine, chunk_tokens=60).ingest(TENANT, COLLECTION, [handbook(1)]))[0]
        assert (result.status, result.version) == ("updated", 2)

    on_edge(tmp_path, check)


def test_vectors_of_two_embedders_are_never_mixed(tmp_path: Path) -> None:
    """A collection of another embedder is refused for reading and for writing, with the setting to change."""

    async def check(engine: EdgeEngine) -> None:
        await library_over(engine).ingest(TENANT, COLLECTION, [handbook(1)])
        other = library_over(engine, WordEncoder("other-64"))
        with pytest.raises(SettingsMismatch, match="RAGOPT_EMBEDDING_MODEL"):
            await other.documents(TENANT, COLLECTION)
        with pytest.raises(SettingsMismatch):
            await other.ingest(TENANT, COLLECTION, [handbook(2)])

    on_edge(tmp_path, check)


def test_points_of_another_layout_are_refused(tmp_path: Path) -> None:
    """A collection that another version of the code wrote is refused with what to do, not read wrongly."""

    async def check(engine: EdgeEngine) -> None:
        await library_over(engine).ingest(TENANT, COLLECTION, [handbook(1)])
        scope = Scope(TENANT, COLLECTION)
        store = await engine.open(store_name(scope), dim=FAKE_DIM)
        await store.upsert([manifest_point(scope, Manifest(1, WordEncoder().tag, layout=1))])
        with pytest.raises(SettingsMismatch, match="new collection"):
            await library_over(engine).documents(TENANT, COLLECTION)

    on_edge(tmp_path, check)


def test_every_token_of_a_hit_has_an_owner(tmp_path: Path) -> None:
    """Title and heading own their tokens, each sentence its own: invisible characters and white space shift nothing."""

    async def check(engine: EdgeEngine) -> None:
        text = "# Fees\u200b and terms\n\nOne\u00ad two three.  Four five.\n\nSix seven eight nine."
        await library_over(engine).ingest(TENANT, COLLECTION, [Document("d", text, "Bank rules")])
        hit = (await search(library_over(engine), "four five"))[0]
        assert [text[start:end] for start, end in hit.chunk.units] == [
            "# Fees\u200b and terms",
            "One\u00ad two three.",
            "Four five.",
            "Six seven eight nine.",
        ]
        assert hit.unit_tokens == (2, 4, 3, 2, 4)
        assert sum(hit.unit_tokens) == len(hit.tokens)

    on_edge(tmp_path, check)


def test_bad_documents_fail_alone(tmp_path: Path) -> None:
    """An empty, a broken, a huge and a doubled document are refused by name, the good one is stored."""

    async def check(engine: EdgeEngine) -> None:
        documents = [
            Document("empty", " \u200b\n"),
            Document("surrogate", "a \ud800 b"),
            Document("huge", "word " * 40_000),
            handbook(1),
            handbook(1),
        ]
        results = await library_over(engine).ingest(TENANT, COLLECTION, documents)
        codes = [item.error.code if item.error else None for item in results]
        assert codes == ["empty_text", "invalid_text", "document_too_large", None, "invalid_document"]
        assert [info.id for info in await library_over(engine).documents(TENANT, COLLECTION)] == ["handbook"]

    on_edge(tmp_path, check)


def test_documents_are_admitted_a_few_at_a_time_and_refused_ones_never(tmp_path: Path) -> None:
    """What cannot be stored is not screened; a long ingest stores its first documents before it screens the last."""

    async def check(engine: EdgeEngine) -> None:
        stored_by_then: list[int] = []
        done = 0

        def count(progress: IngestProgress) -> None:
            nonlocal done
            done = progress.documents_done

        async def admit(tenant: str, collection: str, documents: Sequence[Document]) -> list[Document]:
            assert (tenant, collection) == (TENANT, COLLECTION)
            assert all(document.text for document in documents)
            assert len(documents) <= ADMITTED_AT_ONCE
            stored_by_then.append(done)
            return [replace(document, text=document.text.replace("edition", "issue")) for document in documents]

        library = library_over(engine, admit=admit, group_chunks=64)
        documents = [Document(f"d{n}", handbook(n, 6).text) for n in range(4 * ADMITTED_AT_ONCE)]
        results = await library.ingest(TENANT, COLLECTION, [Document("empty", ""), *documents], progress=count)
        assert [result.error is None for result in results] == [False] + [True] * len(documents)
        assert len(stored_by_then) == 4
        assert stored_by_then[-1] > 1
        assert "issue 1 " in (await library.document(TENANT, COLLECTION, "d1")).text

    on_edge(tmp_path, check)


def test_a_failure_to_admit_leaves_what_was_stored(tmp_path: Path) -> None:
    """The error is raised; what was published before it is whole and there, and the same ingest can go on."""

    async def check(engine: EdgeEngine) -> None:
        calls = 0

        async def admit(_tenant: str, _collection: str, documents: Sequence[Document]) -> list[Document]:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise StoreUnavailable("the screen is down")
            return list(documents)

        library = library_over(engine, admit=admit, group_chunks=64)
        documents = [Document(f"d{n:03}", handbook(n, 6).text) for n in range(3 * ADMITTED_AT_ONCE)]
        with pytest.raises(StoreUnavailable, match="the screen is down"):
            await library.ingest(TENANT, COLLECTION, documents)
        there = [info.id for info in await library.documents(TENANT, COLLECTION)]
        assert there
        assert there == [document.id for document in documents[: len(there)]]
        results = await library.ingest(TENANT, COLLECTION, documents)
        assert [result.status for result in results[: len(there)]] == ["unchanged"] * len(there)
        assert all(result.error is None for result in results)

    on_edge(tmp_path, check)


def test_a_group_is_published_while_the_next_one_is_embedded(tmp_path: Path) -> None:
    """The model is not idle while the engine writes: a writer who is held until it embeds the second group goes on."""
    encoder = WordEncoder()

    @asynccontextmanager
    async def held(_: str) -> AsyncIterator[None]:
        while len(encoder.encoded) == 1:
            await asyncio.sleep(0.001)
        yield

    async def check(engine: EdgeEngine) -> None:
        library = library_over(engine, encoder, group_chunks=1, lock_for=held)
        documents = [Document(f"d{n}", f"Document {n} in one chunk.") for n in range(3)]
        async with asyncio.timeout(30):
            results = await library.ingest(TENANT, COLLECTION, documents)
        assert [(result.status, result.chunks) for result in results] == [("created", 1)] * 3

    on_edge(tmp_path, check)


def test_a_deleted_document_is_gone_and_its_versions_go_on_counting(tmp_path: Path) -> None:
    """Deleting is one commit; a later document of the id is not taken for the old one."""

    async def check(engine: EdgeEngine) -> None:
        library = library_over(engine)
        await library.ingest(TENANT, COLLECTION, [handbook(1)])
        await library.delete(TENANT, COLLECTION, "handbook")
        assert await library.documents(TENANT, COLLECTION) == []
        assert await search(library, "edition 1") == []
        with pytest.raises(DocumentNotFound):
            await library.document(TENANT, COLLECTION, "handbook")
        with pytest.raises(DocumentNotFound):
            await library.delete(TENANT, COLLECTION, "handbook")
        assert (await library.ingest(TENANT, COLLECTION, [handbook(1)]))[0].version == 2

    on_edge(tmp_path, check)


def test_the_length_of_each_live_document_is_told(tmp_path: Path) -> None:
    """Of as many as asked for, and none of a deleted one."""

    async def check(engine: EdgeEngine) -> None:
        library = library_over(engine)
        await library.ingest(TENANT, COLLECTION, [handbook(1), Document("other", "Two more words.")])
        listed = sorted(info.tokens for info in await library.documents(TENANT, COLLECTION))
        assert sorted(await library.document_tokens(TENANT, COLLECTION, most=10)) == listed
        assert len(await library.document_tokens(TENANT, COLLECTION, most=1)) == 1
        await library.delete(TENANT, COLLECTION, "handbook")
        assert await library.document_tokens(TENANT, COLLECTION, most=10) == listed[:1]

    on_edge(tmp_path, check)


def test_tenants_and_collections_do_not_see_each_other(tmp_path: Path) -> None:
    """The same ids and names under another tenant are another world, also when a name looks like a path."""

    async def check(engine: EdgeEngine) -> None:
        library = library_over(engine)
        await library.ingest(TENANT, COLLECTION, [handbook(1)])
        with pytest.raises(CollectionNotFound):
            await search(library, "edition", tenant="other")
        await library.ingest("other", COLLECTION, [Document("handbook", "Something else entirely.")])
        assert {hit.chunk.text for hit in await search(library, "edition 1 topic3", tenant="other")} == {
            "Something else entirely."
        }
        assert store_name(Scope("a/b", "c")) != store_name(Scope("a", "b/c"))

    on_edge(tmp_path, check)


def test_progress_adds_up(tmp_path: Path) -> None:
    """The last report has everything done, and no count ever falls."""

    async def check(engine: EdgeEngine) -> None:
        seen: list[IngestProgress] = []
        documents = [Document(f"d{n}", handbook(n).text) for n in range(5)]
        results = await library_over(engine).ingest(TENANT, COLLECTION, documents, progress=seen.append)
        chunks = sum(item.chunks for item in results)
        assert seen[-1] == IngestProgress(5, 5, chunks, chunks)
        assert [item.chunks_done for item in seen] == sorted(item.chunks_done for item in seen)

    on_edge(tmp_path, check)


def test_readers_never_see_a_mixture_or_a_gap(tmp_path: Path) -> None:
    """While versions are published, every search sees exactly one whole version."""

    async def check(engine: EdgeEngine) -> None:
        library = library_over(engine)
        chunks = (await library.ingest(TENANT, COLLECTION, [handbook(0)]))[0].chunks
        writing = True

        async def read() -> int:
            reads = 0
            while writing:
                hits = await search(library, "rule edition topic", top_k=50)
                assert len({hit.chunk.version for hit in hits}) == 1
                assert len(hits) == chunks
                reads += 1
            return reads

        async def write() -> None:
            nonlocal writing
            for edition in range(1, 16):
                assert (await library.ingest(TENANT, COLLECTION, [handbook(edition)]))[0].status == "updated"
            writing = False

        *counts, _ = await asyncio.gather(*(read() for _ in range(20)), write())
        assert all(count is not None and count > 0 for count in counts)

    on_edge(tmp_path, check)


def test_two_ingests_of_one_id_at_once_both_succeed(tmp_path: Path) -> None:
    """Commits are serialised: each ingest gets a version of its own and one of the texts is live."""

    async def check(engine: EdgeEngine) -> None:
        library = library_over(engine)
        results = await asyncio.gather(*(library.ingest(TENANT, COLLECTION, [handbook(n)]) for n in range(6)))
        assert sorted(item[0].version or 0 for item in results) == [1, 2, 3, 4, 5, 6]
        stored = await library.document(TENANT, COLLECTION, "handbook")
        assert stored.info.version == 6
        assert stored.text in {handbook(n).text for n in range(6)}
        assert len(await search(library, "rule edition topic", top_k=50)) == stored.info.chunks

    on_edge(tmp_path, check)


class FailingStore:
    """A real store whose next writes fail after a number of them, as an engine that dies would."""

    def __init__(self, store: Store, writes_left: int) -> None:
        self._store = store
        self.writes_left = writes_left

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def upsert(self, points: Sequence[Point]) -> None:
        """Write through until the writes run out, then half of the points and an error."""
        self.writes_left -= 1
        if self.writes_left < 0:
            await self._store.upsert(points[: len(points) // 2])
            raise StoreUnavailable("the engine went away")
        await self._store.upsert(points)


class FailingEngine:
    """An engine over a real one whose stores fail when told to."""

    def __init__(self, engine: EdgeEngine) -> None:
        self.engine = engine
        self.store: FailingStore | None = None

    async def open(self, name: str, *, dim: int) -> Store:
        """Return the failing store."""
        self.store = FailingStore(await self.engine.open(name, dim=dim), 1_000_000)
        return self.store  # type: ignore[return-value]

    async def names(self) -> list[str]:
        """Return the real names."""
        return await self.engine.names()

    async def ping(self) -> None:
        """Return."""

    async def close(self) -> None:
        """Leave closing to the test."""


@pytest.mark.parametrize("writes_left", [0, 1])
def test_a_write_that_fails_half_way_is_never_seen(tmp_path: Path, writes_left: int) -> None:
    """The old version stays whole, the next publish does not revive the leavings, nor does a restart."""

    async def check(engine: EdgeEngine) -> None:
        failing = FailingEngine(engine)
        library = library_over(failing)  # type: ignore[arg-type]
        await library.ingest(TENANT, COLLECTION, [handbook(1)])
        assert failing.store is not None
        failing.store.writes_left = writes_left
        with pytest.raises(StoreUnavailable):
            await library.ingest(TENANT, COLLECTION, [handbook(2)])
        failing.store.writes_left = 1_000_000
        assert {hit.chunk.version for hit in await search(library, "rule edition", top_k=50)} == {1}
        await library.ingest(TENANT, COLLECTION, [Document("other", "Another text.")])
        for reader in (library, library_over(engine)):
            hits = await search(reader, "rule edition topic", top_k=50)
            handbook_hits = [hit for hit in hits if hit.chunk.document_id == "handbook"]
            assert {hit.chunk.version for hit in handbook_hits} == {1}
            assert (await reader.document(TENANT, COLLECTION, "handbook")).text == handbook(1).text

    on_edge(tmp_path, check)


def test_the_dimension_is_the_encoders(tmp_path: Path) -> None:
    """Stores are made for the vectors they will hold."""

    async def check(engine: EdgeEngine) -> None:
        await library_over(engine).ingest(TENANT, COLLECTION, [handbook(1)])
        store = await engine.open(store_name(Scope(TENANT, COLLECTION)), dim=FAKE_DIM)
        stored = await library_over(engine).document(TENANT, COLLECTION, "handbook")
        point = (await store.fetch([stored.chunks[0].id], with_vectors=True))[0]
        assert point.dense is not None
        assert point.dense.shape == (FAKE_DIM,)

    on_edge(tmp_path, check)


def test_a_revision_tells_a_collection_from_one_made_anew(tmp_path: Path) -> None:
    """The lineage stays through commits and restarts; a collection of the same name made anew has another."""

    async def revisions(folder: Path) -> list[Revision]:
        async with opened(folder) as engine:
            library = library_over(engine)
            await library.ingest(TENANT, COLLECTION, [Document("a", "One sentence here.")])
            first = await library.revision(TENANT, COLLECTION)
            await library.ingest(TENANT, COLLECTION, [Document("a", "Another sentence here.")])
            return [first, await library.revision(TENANT, COLLECTION)]

    async def run() -> None:
        first, second = await revisions(tmp_path / "one")
        async with opened(tmp_path / "one") as engine:
            assert await library_over(engine).revision(TENANT, COLLECTION) == second
        again, _ = await revisions(tmp_path / "two")
        assert second == Revision(first.lineage, first.generation + 1)
        assert again == Revision(again.lineage, first.generation)
        assert again.lineage not in {first.lineage, ""}

    asyncio.run(run())


def test_a_collection_that_is_older_than_lineages_gets_one(tmp_path: Path) -> None:
    """Its manifest says none; opening it draws one, which stays."""

    async def check(engine: EdgeEngine) -> None:
        scope = Scope(TENANT, COLLECTION)
        store = await engine.open(store_name(scope), dim=FAKE_DIM)
        await store.upsert([manifest_point(scope, Manifest(4, WordEncoder().tag))])
        found = await library_over(engine).revision(TENANT, COLLECTION)
        assert found.generation == 4
        assert found.lineage != ""
        assert await library_over(engine).revision(TENANT, COLLECTION) == found

    on_edge(tmp_path, check)


def test_live_chunks_are_those_that_a_generation_sees(tmp_path: Path) -> None:
    """A replaced version's chunks are gone for the next generation, and the new ones are not in the last."""

    async def check(engine: EdgeEngine) -> None:
        library = library_over(engine)
        await library.ingest(TENANT, COLLECTION, [Document("a", "The first text.")])
        await library.ingest(TENANT, COLLECTION, [Document("a", "The second text.")])
        first, second = (Scope(TENANT, COLLECTION).point_id("chunk", "a", version, 0) for version in (1, 2))

        async def live(generation: int) -> dict[str, LiveChunk]:
            return await library.live_chunks(TENANT, COLLECTION, [first, second], generation=generation)

        assert await live(1) == {first: LiveChunk(0, "The first text.", 1)}
        assert await live(2) == {second: LiveChunk(0, "The second text.", 2)}
        assert await library.live_chunks(TENANT, COLLECTION, [], generation=2) == {}

    on_edge(tmp_path, check)


def test_newer_chunks_are_seen_once_and_by_their_facets(tmp_path: Path) -> None:
    """What was born after a generation counts if it is live and matches; a deletion alone is nothing new."""

    async def check(engine: EdgeEngine) -> None:
        library = library_over(engine)

        async def newer(since: int, **matching: tuple[str, ...]) -> bool:
            generation = await library.generation(TENANT, COLLECTION)
            return await library.has_newer(TENANT, COLLECTION, since=since, generation=generation, matching=matching)

        await library.ingest(TENANT, COLLECTION, [Document("a", "The first text.", metadata={"team": "hr"})])
        assert [await newer(0), await newer(1)] == [True, False]
        assert [await newer(0, team=("hr",)), await newer(0, team=("it",))] == [True, False]
        await library.delete(TENANT, COLLECTION, "a")
        assert [await newer(0), await newer(1)] == [False, False]

    on_edge(tmp_path, check)
