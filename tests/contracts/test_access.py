"""Access lists of documents: who is on none of them finds nothing of them, the same with every engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest

from indexes.access import ANYONE, EVERYTHING, FIELD, Access, Reader
from indexes.edge import EdgeEngine
from indexes.errors import DocumentNotFound, SettingsMismatch
from indexes.library import Library, store_name
from indexes.manifest import Manifest, Scope, manifest_point
from indexes.qdrant import QdrantEngine
from indexes.records import Document, IndexKnobs, IngestResult
from indexes.store import Engine, Where
from ragopt.tokens import count_tokens_batch
from tests.fakes import FAKE_DIM, WordEncoder

TENANT, COLLECTION, ASKED = "acme", "c", "When are fees due?"
PLACE = (TENANT, COLLECTION)
HR, ENG = Reader.of(["group:hr"]), Reader.of(["group:eng"])
EVERYBODY_READS, HR_READS, BOTH_READ, NOBODY_READS = "open", "hr", "both", "nobody"
LISTS: dict[str, Access] = {
    EVERYBODY_READS: None,
    HR_READS: ("group:hr",),
    BOTH_READ: ("group:hr", "group:eng"),
    NOBODY_READS: (),
}
READ = {
    ANYONE: {EVERYBODY_READS},
    HR: {EVERYBODY_READS, HR_READS, BOTH_READ},
    ENG: {EVERYBODY_READS, BOTH_READ},
    EVERYTHING: set(LISTS),
}

Scenario = Callable[[Library, WordEncoder, Engine], Awaitable[None]]


def library_over(engine: Engine, encoder: WordEncoder) -> Library:
    return Library(engine, encoder, knobs=IndexKnobs(), count_tokens=count_tokens_batch, max_document_bytes=10_000)


def document(name: str, access: Access, *, month: str = "May") -> Document:
    return Document(name, f"Fees of {name} are due in {month}.", access=access)


@pytest.fixture(params=["edge", "qdrant_local"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Scenario], None]:
    """Return what runs a scenario over a library of four documents with different lists."""

    async def against(scenario: Scenario) -> None:
        engine: Engine = EdgeEngine(tmp_path) if request.param == "edge" else QdrantEngine.local()
        encoder = WordEncoder()
        library = library_over(engine, encoder)
        try:
            await library.ingest(*PLACE, [document(name, access) for name, access in LISTS.items()], by=EVERYTHING)
            await scenario(library, encoder, engine)
        finally:
            await library.close()
            await engine.close()

    return lambda scenario: asyncio.run(against(scenario))


async def found(library: Library, reader: Reader, *, collection: str = COLLECTION) -> set[str]:
    """Return the ids of the documents that a question finds."""
    question = await WordEncoder().encode_question(ASKED)
    _, hits = await library.search(
        TENANT, collection, ASKED, question=question, top_k=10, timer=lambda _: nullcontext(), reader=reader
    )
    return {hit.chunk.document_id for hit in hits}


def statuses(results: Sequence[IngestResult]) -> list[str]:
    return [result.status if result.error is None else result.error.code for result in results]


def test_a_reader_finds_what_it_may_read_and_nothing_else(run: Callable[[Scenario], None]) -> None:
    """By question, in the list of documents and by id; without a reader, what everybody reads."""

    async def scenario(library: Library, _encoder: WordEncoder, _engine: Engine) -> None:
        for reader, expected in READ.items():
            assert await found(library, reader) == expected
            assert {info.id for info in await library.documents(*PLACE, reader=reader)} == expected
            for name, access in LISTS.items():
                if name in expected:
                    assert (await library.document(*PLACE, name, reader=reader)).info.access == access
                else:
                    with pytest.raises(DocumentNotFound):
                        await library.document(*PLACE, name, reader=reader)
        assert {info.id for info in await library.documents(*PLACE)} == {EVERYBODY_READS}

    run(scenario)


def test_a_new_list_is_a_new_version_without_embedding(run: Callable[[Scenario], None]) -> None:
    """It takes effect with one commit; the same list again, in any order, changes nothing."""

    async def scenario(library: Library, encoder: WordEncoder, _engine: Engine) -> None:
        embedded = len(encoder.encoded)
        again = await library.ingest(*PLACE, [document(BOTH_READ, ("group:eng", "group:hr", "group:hr"))], by=HR)
        moved = await library.ingest(*PLACE, [document(HR_READS, ("group:hr", "group:eng"))], by=HR)
        opened = await library.ingest(*PLACE, [document(BOTH_READ, None)], by=ENG)
        assert statuses([*again, *moved, *opened]) == ["unchanged", "updated", "updated"]
        assert len(encoder.encoded) == embedded
        assert await found(library, ENG) == {EVERYBODY_READS, HR_READS, BOTH_READ}
        assert await found(library, ANYONE) == {EVERYBODY_READS, BOTH_READ}

    run(scenario)


def test_only_what_may_be_read_may_be_written(run: Callable[[Scenario], None]) -> None:
    """Nobody replaces, deletes or releases a hidden document, nor writes what it could not read afterwards."""

    async def scenario(library: Library, _encoder: WordEncoder, _engine: Engine) -> None:
        refused = await library.ingest(
            *PLACE, [document(HR_READS, None, month="June"), document("new", ("group:hr",)), document("x", ())], by=ENG
        )
        assert statuses(refused) == ["access_denied"] * 3
        assert statuses(await library.ingest(*PLACE, [document(HR_READS, LISTS[HR_READS])], by=ENG)) == [
            "access_denied"
        ]
        for change in (library.delete, library.release):
            with pytest.raises(DocumentNotFound):
                await change(*PLACE, HR_READS, reader=ENG)
        assert "May" in (await library.document(*PLACE, HR_READS, reader=HR)).text
        await library.delete(*PLACE, HR_READS, reader=HR)
        assert await found(library, HR) == {EVERYBODY_READS, BOTH_READ}

    run(scenario)


def test_what_is_hidden_is_no_news(run: Callable[[Scenario], None]) -> None:
    """A change is newer to who may read it, and to nobody else."""

    async def scenario(library: Library, _encoder: WordEncoder, _engine: Engine) -> None:
        before = await library.generation(*PLACE)
        await library.ingest(*PLACE, [document(HR_READS, LISTS[HR_READS], month="June")], by=HR)
        seen = {
            reader: await library.has_newer(*PLACE, since=before, generation=before + 1, reader=reader)
            for reader in READ
        }
        assert seen == {ANYONE: False, HR: True, ENG: False, EVERYTHING: True}

    run(scenario)


def test_readers_differ_where_documents_name_them(run: Callable[[Scenario], None]) -> None:
    """Principals that no document names tell nobody apart; names are known from the commit on."""

    async def scenario(library: Library, _encoder: WordEncoder, _engine: Engine) -> None:
        ann = Reader.of(["user:ann", "group:hr"])
        assert await library.told_apart(*PLACE, ann) == HR
        await library.ingest(*PLACE, [document("anns", ("user:ann",))], by=ann)
        assert await library.told_apart(*PLACE, ann) == ann
        await library.ingest(TENANT, "plain", [document("open", None)])
        assert {await library.told_apart(TENANT, "plain", reader) for reader in READ} == {ANYONE}
        assert await library.told_apart(TENANT, "none", ann) == ann

    run(scenario)


def test_the_first_list_binds_from_its_commit_on(run: Callable[[Scenario], None]) -> None:
    """Of a collection without lists everybody finds everything; of a document that gets one, who is on it."""

    async def scenario(library: Library, _encoder: WordEncoder, _engine: Engine) -> None:
        async def both() -> tuple[set[str], set[str]]:
            return await found(library, ANYONE, collection="plain"), await found(library, HR, collection="plain")

        await library.ingest(TENANT, "plain", [document("a", None), document("b", None)])
        assert await both() == ({"a", "b"}, {"a", "b"})
        await library.ingest(TENANT, "plain", [document("b", ("group:hr",))], by=HR)
        assert await both() == ({"a"}, {"a", "b"})
        await library.delete(TENANT, "plain", "b", reader=HR)
        await library.ingest(TENANT, "plain", [document("c", ())], by=EVERYTHING)
        assert await both() == ({"a"}, {"a"})

    run(scenario)


def test_a_collection_from_before_lists_is_everybodys(run: Callable[[Scenario], None]) -> None:
    """It is brought up to date when it is opened; a version that knows no lists refuses it from then on."""

    async def scenario(library: Library, encoder: WordEncoder, engine: Engine) -> None:
        scope = Scope(TENANT, "old")
        await library.ingest(TENANT, "old", [document("a", None), document("b", None)])
        await library.close()
        store = await engine.open(store_name(scope), dim=FAKE_DIM)
        await store.set_payload(Where(equal={"tenant": TENANT}), {FIELD: None})
        await store.upsert([manifest_point(scope, Manifest(1, encoder.tag, layout=3))])
        reopened = library_over(engine, encoder)
        assert {info.id for info in await reopened.documents(TENANT, "old")} == {"a", "b"}
        assert statuses(await reopened.ingest(TENANT, "old", [document("a", None)])) == ["unchanged"]
        await store.upsert([manifest_point(scope, Manifest(1, encoder.tag, layout=2))])
        with pytest.raises(SettingsMismatch):
            await library_over(engine, encoder).documents(TENANT, "old")

    run(scenario)
