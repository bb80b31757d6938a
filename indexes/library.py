"""Everything about documents: the collections of every tenant, over one engine and one embedder."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, nullcontext
from typing import TypeAlias
from urllib.parse import quote

from indexes.access import ANYONE, Reader
from indexes.ahead import ahead
from indexes.bm25 import Bm25Encoder
from indexes.chunking import CountTokens
from indexes.collection import Collection, StageTimer
from indexes.errors import CollectionNotFound, StoreUnavailable
from indexes.facets import NO_FILTER, MetadataFilter
from indexes.fusion import PLAIN_RRF, Fusion
from indexes.ingest import ChunkedDocument, IngestTally, Preparer, Progress, TextEncoder
from indexes.invisible import strip_invisible
from indexes.manifest import PreparedDocument, Scope
from indexes.records import (
    Document,
    DocumentInfo,
    EncodedQuestion,
    Hit,
    IndexKnobs,
    IngestResult,
    LiveChunk,
    Revision,
    StoredDocument,
)
from indexes.store import Engine

# What documents go through before anything else is done with them, by tenant and collection.
Admit: TypeAlias = Callable[[str, str, Sequence[Document]], Awaitable[list[Document]]]
LockFor: TypeAlias = Callable[[str], AbstractAsyncContextManager[object]]

# Documents are embedded and published in groups of about this many chunks: bounded memory, few commits.
GROUP_CHUNKS = 512
# Documents looked at together before they are stored: few enough that there is always something to embed.
ADMITTED_AT_ONCE = 32
# Terms that BM25 keeps of a token of English text, stop words gone: what its length is normalised by.
TERMS_PER_TOKEN = 0.47

logger = logging.getLogger(__name__)


class Library:
    """The documents of every tenant. Collections open on first use and stay open."""

    def __init__(
        self,
        engine: Engine,
        embedder: TextEncoder,
        *,
        knobs: IndexKnobs,
        count_tokens: CountTokens,
        max_document_bytes: int,
        lock_for: LockFor | None = None,
        admit: Admit | None = None,
        group_chunks: int = GROUP_CHUNKS,
    ) -> None:
        self._engine = engine
        self._embedder = embedder
        self._bm25 = Bm25Encoder(avg_terms=TERMS_PER_TOKEN * knobs.chunk_tokens)
        self._preparer = Preparer(
            embedder, self._bm25, knobs=knobs, count_tokens=count_tokens, max_bytes=max_document_bytes
        )
        self._lock_for = lock_for or (lambda _: nullcontext())
        self._admit = admit or unchanged
        self._group_chunks = group_chunks
        self._opened: dict[Scope, Collection] = {}
        self._opening = asyncio.Lock()
        self._tidying: set[asyncio.Task[None]] = set()

    async def ingest(
        self,
        tenant: str,
        collection: str,
        documents: Sequence[Document],
        *,
        by: Reader = ANYONE,
        progress: Progress | None = None,
    ) -> list[IngestResult]:
        """Store the documents and return what became of each, in order; [] for none.

        A document that cannot be stored is a `failed` result, the others go on. Each document
        becomes visible whole, in groups of about 512 chunks. by: who sends them; it writes and replaces only
        what it may read. Raises: `StoreUnavailable`, `SettingsMismatch`.
        """
        results = self._preparer.refusals(documents, by)
        tally = IngestTally(len(documents), progress)
        tally.add(documents=len(results))
        if len(results) < len(documents):
            scope = Scope(tenant, collection)
            target = await self._open(scope, create=True)
            accepted = {at: document for at, document in enumerate(documents) if at not in results}
            # A group is published while the model is at work on the next, and the one behind that is screened and cut.
            groups = ahead(self._groups(target, scope, accepted, by=by, results=results, tally=tally))
            async with aclosing(ahead(self._prepared(groups, tally))) as prepared:
                async for places, group in prepared:
                    published = await target.publish(group, by)
                    tally.add(documents=len(published))
                    results.update(zip(places, published, strict=True))
            self._tidy_later(target)
        return [results[at] for at in range(len(documents))]

    async def admitted(self, tenant: str, collection: str, documents: Sequence[Document]) -> list[Document]:
        """Return the documents as they are stored: redacted and screened as the collection's policies say.

        What was admitted before stays as it is, so a queue may hold admitted documents.
        """
        return await self._admit(tenant, collection, documents)

    async def release(self, tenant: str, collection: str, document_id: str, *, reader: Reader = ANYONE) -> None:
        """Let searches find a quarantined document. Raises: as `document`."""
        await (await self._open(Scope(tenant, collection))).release(document_id, reader)

    async def documents(self, tenant: str, collection: str, *, reader: Reader = ANYONE) -> list[DocumentInfo]:
        """Return the live documents of a collection that the reader may read, by id. Raises: `CollectionNotFound`."""
        return await (await self._open(Scope(tenant, collection))).documents(reader)

    async def document_tokens(self, tenant: str, collection: str, *, most: int) -> list[int]:
        """Return the tokens of each of at most `most` live documents, in no useful order.

        Raises: `CollectionNotFound`.
        """
        return await (await self._open(Scope(tenant, collection))).document_tokens(most=most)

    async def document(
        self, tenant: str, collection: str, document_id: str, *, reader: Reader = ANYONE
    ) -> StoredDocument:
        """Return the live version of a document.

        Raises: `CollectionNotFound`; `DocumentNotFound`, also for one that the reader may not read.
        """
        return await (await self._open(Scope(tenant, collection))).document(document_id, reader)

    async def delete(self, tenant: str, collection: str, document_id: str, *, reader: Reader = ANYONE) -> None:
        """Make a document invisible at once. Raises: as `document`."""
        await (await self._open(Scope(tenant, collection))).remove(document_id, reader)

    async def told_apart(self, tenant: str, collection: str, reader: Reader) -> Reader:
        """Return the reader without the principals that no document of the collection names: it reads the same.

        What is asked or kept for the one is so for every other reader of which the same is left. The reader itself
        where there is no such collection. Raises: `StoreUnavailable`.
        """
        if reader == ANYONE:
            return reader
        try:
            return await (await self._open(Scope(tenant, collection))).told_apart(reader)
        except CollectionNotFound:
            return reader

    async def generation(self, tenant: str, collection: str) -> int:
        """Return the committed generation of a collection. Raises: `CollectionNotFound`."""
        return await (await self._open(Scope(tenant, collection))).generation()

    async def revision(self, tenant: str, collection: str) -> Revision:
        """Return what is committed in a collection, as one value. Raises: `CollectionNotFound`, `StoreUnavailable`."""
        return await (await self._open(Scope(tenant, collection))).revision()

    async def live_chunks(
        self, tenant: str, collection: str, ids: Sequence[str], *, generation: int
    ) -> dict[str, LiveChunk]:
        """Return those of these chunks that a reader of `generation` sees, by id.

        Raises: `CollectionNotFound`, `StoreUnavailable`.
        """
        return await (await self._open(Scope(tenant, collection))).live_chunks(ids, generation=generation)

    async def has_newer(
        self,
        tenant: str,
        collection: str,
        *,
        since: int,
        generation: int,
        reader: Reader = ANYONE,
        matching: MetadataFilter = NO_FILTER,
    ) -> bool:
        """Return whether `reader` sees at `generation` a chunk born after `since` whose document is `matching`.

        Raises: `CollectionNotFound`, `StoreUnavailable`.
        """
        target = await self._open(Scope(tenant, collection))
        return await target.has_newer(since=since, generation=generation, reader=reader, matching=matching)

    async def search(
        self,
        tenant: str,
        collection: str,
        text: str,
        *,
        question: EncodedQuestion,
        top_k: int,
        timer: StageTimer,
        fusion: Fusion = PLAIN_RRF,
        reader: Reader = ANYONE,
        matching: MetadataFilter = NO_FILTER,
    ) -> tuple[int, list[Hit]]:
        """Return the generation and at most `top_k` fused hits for `text`, best first.

        `question` is `text` through the embedder; only documents that `reader` may read and whose metadata is
        `matching` are searched. Raises: `CollectionNotFound`, `StoreUnavailable`.
        """
        target = await self._open(Scope(tenant, collection))
        terms = self._bm25.question(strip_invisible(text))
        return await target.search(
            question, terms, top_k=top_k, timer=timer, fusion=fusion, reader=reader, matching=matching
        )

    async def neighbours(self, tenant: str, collection: str, hits: Sequence[Hit], *, reach: int = 1) -> list[Hit]:
        """Return the chunks at most `reach` away from a hit in its document, each once, without scores.

        The hits themselves are left out. Raises: `CollectionNotFound`, `StoreUnavailable`.
        """
        return await (await self._open(Scope(tenant, collection))).neighbours(hits, reach=reach)

    async def ping(self) -> None:
        """Return if the engine answers. Raises: `StoreUnavailable`."""
        await self._engine.ping()

    async def close(self) -> None:
        """End what runs in the background; the engine is the caller's to close, afterwards."""
        for task in self._tidying:
            task.cancel()
        await asyncio.gather(*self._tidying, return_exceptions=True)

    def _tidy_later(self, target: Collection) -> None:
        task = asyncio.create_task(tidied(target))
        self._tidying.add(task)
        task.add_done_callback(self._tidying.discard)

    async def _groups(
        self,
        target: Collection,
        scope: Scope,
        documents: Mapping[int, Document],
        *,
        by: Reader,
        results: dict[int, IngestResult],
        tally: IngestTally,
    ) -> AsyncGenerator[dict[int, ChunkedDocument]]:
        """Yield the chunked documents in groups of about 512 chunks, by place; `results` gets what is not stored."""
        group: dict[int, ChunkedDocument] = {}
        waiting = list(documents)
        for start in range(0, len(waiting), ADMITTED_AT_ONCE):
            places = waiting[start : start + ADMITTED_AT_ONCE]
            some = [documents[at] for at in places]
            admitted = await self.admitted(scope.tenant, scope.collection, some)
            for at, document in zip(places, admitted, strict=True):
                chunked = await self._preparer.chunked(target, document, by=by)
                if isinstance(chunked, IngestResult):
                    results[at] = chunked
                    tally.add(documents=1)
                    continue
                group[at] = chunked
                tally.add(chunks_found=len(chunked.spans))
                if sum(len(item.spans) for item in group.values()) >= self._group_chunks:
                    yield group
                    group = {}
        if group:
            yield group

    async def _prepared(
        self, groups: AsyncGenerator[dict[int, ChunkedDocument]], tally: IngestTally
    ) -> AsyncGenerator[tuple[list[int], list[PreparedDocument]]]:
        """Yield each group with its vectors: the places of its documents, and the documents."""
        async with aclosing(groups):
            async for group in groups:
                yield list(group), await self._preparer.prepared(list(group.values()), tally)

    async def _open(self, scope: Scope, *, create: bool = False) -> Collection:
        if scope in self._opened:
            return self._opened[scope]
        async with self._opening:
            if scope in self._opened:
                return self._opened[scope]
            name = store_name(scope)
            if not create and name not in await self._engine.names():
                raise CollectionNotFound(
                    f"there is no collection {scope.collection!r}: ingest a document into it first"
                )
            store = await self._engine.open(name, dim=self._embedder.dim)
            lock = commit_lock(self._lock_for, name)
            collection = Collection(store, scope, embedder=self._embedder.tag, lock=lock)
            await collection.recover()
            self._opened[scope] = collection
            return collection


async def unchanged(_tenant: str, _collection: str, documents: Sequence[Document]) -> list[Document]:
    """Return the documents: a library without policies stores what it is given."""
    return list(documents)


async def tidied(target: Collection) -> None:
    """Let the engine reorganise a collection after an ingest; a failure costs speed only and is logged."""
    try:
        await target.optimize()
    except StoreUnavailable as error:
        logger.warning("the index was not compacted: %s", error)


def store_name(scope: Scope) -> str:
    """Return the engine's name for a scope; two scopes never share one."""
    return f"{quote(scope.tenant, safe='')}/{quote(scope.collection, safe='')}"


def commit_lock(lock_for: LockFor, name: str) -> Callable[[], AbstractAsyncContextManager[None]]:
    """Return a lock that serialises the writers of one store: within this process first, then across processes."""
    gate = asyncio.Lock()

    @asynccontextmanager
    async def hold() -> AsyncIterator[None]:
        async with gate, lock_for(name):
            yield

    return hold
