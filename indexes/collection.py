"""One collection of one tenant: documents published atomically, searched at one committed generation."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import replace
from typing import TypeAlias

from indexes.access import ANYONE, EVERYTHING, FIELD, Access, Reader, bound, keywords_of, named, told_apart
from indexes.errors import DocumentNotFound, SettingsMismatch
from indexes.facets import NO_FILTER, MetadataFilter
from indexes.fusion import PLAIN_RRF, Fusion
from indexes.manifest import (
    CHUNK,
    HELD,
    LAYOUT,
    LAYOUT_WITHOUT_READERS,
    NEVER,
    Manifest,
    PreparedDocument,
    Scope,
    Staged,
    int_of,
    manifest_point,
    not_replaced,
    read_chunk,
    read_hit,
    read_info,
    read_live,
    read_manifest,
    str_of,
    version_points,
)
from indexes.records import (
    DocumentInfo,
    EncodedQuestion,
    Hit,
    IngestResult,
    LiveChunk,
    Revision,
    SparseVector,
    StoredDocument,
)
from indexes.store import Payload, Point, Scored, Store, Where
from indexes.tidying import Tidier

StageTimer: TypeAlias = Callable[[str], AbstractContextManager[None]]
CommitLock: TypeAlias = Callable[[], AbstractAsyncContextManager[object]]

# Superseded points stay this long for readers that took their generation just before a commit.
RETIRE_AFTER_S = 30.0
# Asked for beyond what is kept, so that ties at the edge are all seen.
TIE_MARGIN = 50


class Collection:
    """The documents of one (tenant, collection). Embedding is the caller's; commits are serialised by `lock`."""

    def __init__(self, store: Store, scope: Scope, *, embedder: str, lock: CommitLock) -> None:
        self._store = store
        self._scope = scope
        self._embedder = embedder
        self._lock = lock
        self._owned: dict[str, str | int | tuple[str, ...]] = {"tenant": scope.tenant}
        self._retired: deque[tuple[float, int]] = deque()
        self.optimize = Tidier(store, lock).tidy

    async def recover(self) -> None:
        """Undo what a dead writer left uncommitted, and drop what no reader can see any more.

        Creates the manifest of a new collection. Raises: `SettingsMismatch` if its vectors come from
        another embedder or its points from another version of ragopt.
        """
        async with self._lock():
            found = await self._store.fetch([self._scope.manifest_id()])
            manifest = read_manifest(found[0]) if found else Manifest.new(self._embedder)
            if manifest.layout == LAYOUT_WITHOUT_READERS:
                manifest = await self._open_to_everybody(manifest)
            self._check(manifest)
            if not found or not manifest.lineage:
                await self._store.upsert([manifest_point(self._scope, manifest.named())])
            await self._undo_uncommitted(manifest.generation)
            await self._store.delete(Where(equal=self._owned, at_most={"dead": manifest.generation}))

    async def _open_to_everybody(self, manifest: Manifest) -> Manifest:
        """Give the points of a collection from before there were lists their reader, everybody; return its manifest."""
        await self._store.set_payload(Where(equal=self._owned), {FIELD: [*keywords_of(None)]})
        manifest = replace(manifest, layout=LAYOUT)
        # Last: what a process that died left half done is done again.
        await self._store.upsert([manifest_point(self._scope, manifest)])
        return manifest

    def _check(self, manifest: Manifest) -> None:
        if manifest.embedder != self._embedder:
            raise SettingsMismatch(
                f"collection {self._scope.collection!r} was embedded by {manifest.embedder}, the service runs "
                f"{self._embedder}: set RAGOPT_EMBEDDING_MODEL back, or ingest into a new collection"
            )
        if manifest.layout != LAYOUT:
            raise SettingsMismatch(
                f"collection {self._scope.collection!r} was written by another version of ragopt (layout "
                f"{manifest.layout}, this one reads {LAYOUT}): ingest its documents into a new collection"
            )

    async def generation(self) -> int:
        """Return the committed generation; 0 before the first document."""
        return (await self._manifest()).generation

    async def revision(self) -> Revision:
        """Return what is committed now, as one value."""
        manifest = await self._manifest()
        return Revision(manifest.lineage, manifest.generation)

    async def told_apart(self, reader: Reader) -> Reader:
        """Return the reader without the principals that no document names so far: it reads the same."""
        return told_apart(reader, (await self._manifest()).principals)

    async def live_chunks(self, ids: Sequence[str], *, generation: int) -> dict[str, LiveChunk]:
        """Return those of these chunks that a reader of `generation` sees, by id; {} for none."""
        points = await self._store.fetch(ids)
        return {
            point.id: read_live(point)
            for point in points
            if point.payload["kind"] == CHUNK
            and int_of(point.payload, "born") <= generation < int_of(point.payload, "dead")
        }

    async def has_newer(
        self, *, since: int, generation: int, reader: Reader = ANYONE, matching: MetadataFilter = NO_FILTER
    ) -> bool:
        """Return whether `reader` sees a chunk, born or released after `since`, at `generation` that is `matching`."""
        where = self._scope.live(CHUNK, generation, reader=reader, matching=matching)
        for came in ("born", "released"):
            if await self._store.count(replace(where, above={**where.above, came: since})):
                return True
        return False

    async def _manifest(self) -> Manifest:
        return read_manifest((await self._store.fetch([self._scope.manifest_id()]))[0])

    async def documents(self, reader: Reader = ANYONE) -> list[DocumentInfo]:
        """Return the live documents that the reader may read, ordered by id."""
        where = self._scope.live("document", await self.generation(), reader=reader)
        return sorted([read_info(point) async for point in self._store.scroll(where)], key=lambda info: info.id)

    async def document_tokens(self, *, most: int) -> list[int]:
        """Return the tokens of each live document, of `most` of them if they are more, by the hash of their ids."""
        found: list[int] = []
        async for point in self._store.scroll(self._scope.live("document", await self.generation(), reader=EVERYTHING)):
            if len(found) == most:
                break
            found.append(read_info(point).tokens)
        return found

    async def info(self, document_id: str) -> DocumentInfo | None:
        """Return the live version of a document, whoever may read it; None if there is none."""
        return await self._info(document_id, await self.generation())

    async def document(self, document_id: str, reader: Reader = ANYONE) -> StoredDocument:
        """Return the live version with its text and chunks.

        Raises: `DocumentNotFound`, for one that the reader may not read as for none at all.
        """
        info = await self._readable(document_id, await self.generation(), reader=reader)
        points = await self._points_of(info)
        parts = [str_of(point.payload, "text") for point in points if point.payload["kind"] == "text"]
        chunks = [read_chunk(point) for point in points if point.payload["kind"] in (CHUNK, HELD)]
        return StoredDocument(info, "".join(parts), tuple(chunks))

    async def chunk_points(self, info: DocumentInfo) -> list[Point]:
        """Return the chunk points of a version with their vectors, in text order."""
        ids = [self._scope.point_id("chunk", info.id, info.version, n) for n in range(info.chunks)]
        return await self._store.fetch(ids, with_vectors=True)

    async def publish(self, documents: Sequence[PreparedDocument], by: Reader = ANYONE) -> list[IngestResult]:
        """Make every document's new version live in one commit; return what became of each, in order.

        Readers see all the old versions before and all the new ones after. A document whose live
        version already has this content stays as it is; one that `by` may not read is not replaced.
        """
        async with self._lock():
            generation = await self._begin()
            staged = [await self._staged(prepared, generation, by=by) for prepared in documents]
            # All of them in few writes: each costs a round of its own, whatever its size.
            await self._store.upsert([point for item in staged for point in item.points])
            await self._retire([item.result.id for item in staged if item.replaces], generation)
            if any(item.points for item in staged):
                await self._commit(generation + 1, lists=[prepared.document.access for prepared in documents])
            return [item.result for item in staged]

    async def remove(self, document_id: str, reader: Reader = ANYONE) -> None:
        """Make a document invisible in one commit. Raises: as `document`."""
        async with self._lock():
            generation = await self._begin()
            info = await self._readable(document_id, generation, reader=reader)
            # The tombstone keeps the count of versions: a later document of this id is not mistaken for this one.
            tombstone: Payload = {
                "kind": "tombstone",
                "tenant": self._scope.tenant,
                "document_id": document_id,
                "version": info.version,
            }
            await self._store.upsert([Point(self._scope.tombstone_id(document_id), tombstone)])
            await self._retire([document_id], generation)
            await self._commit(generation + 1)

    async def release(self, document_id: str, reader: Reader = ANYONE) -> None:
        """Let searches find a quarantined document; nothing changes for one that is not. Raises: as `document`."""
        async with self._lock():
            generation = await self._begin()
            info = await self._readable(document_id, generation, reader=reader)
            if info.quarantined:
                version = {**self._owned, "document_id": document_id, "version": info.version}
                shown: Payload = {"kind": CHUNK, "released": generation + 1}
                await self._store.set_payload(Where(equal={**version, "kind": HELD}), shown)
                await self._store.set_payload(Where(equal={**version, "kind": "document"}), {"quarantined": False})
                # Cached answers are checked again: they were made without it.
                await self._commit(generation + 1)

    async def search(
        self,
        question: EncodedQuestion,
        terms: SparseVector,
        *,
        top_k: int,
        timer: StageTimer,
        fusion: Fusion = PLAIN_RRF,
        reader: Reader = ANYONE,
        matching: MetadataFilter = NO_FILTER,
    ) -> tuple[int, list[Hit]]:
        """Return the generation searched and at most `top_k` fused hits, best first.

        Only chunks of documents that `reader` may read and whose metadata is `matching` are hits. The dense and the
        BM25 query run side by side, filtered to one generation. `timer` is told the stages `dense` and `bm25`.
        """
        manifest = await self._manifest()
        held_by = bound(reader, manifest.principals)
        where = self._scope.live(CHUNK, manifest.generation, reader=held_by, matching=matching)

        async def dense() -> list[Scored]:
            with timer("dense"):
                return await self._store.search_dense(question.dense, where, limit=top_k + TIE_MARGIN)

        async def sparse() -> list[Scored]:
            with timer("bm25"):
                return await self._store.search_sparse(terms, where, limit=top_k + TIE_MARGIN)

        by_cosine, by_bm25 = await asyncio.gather(dense(), sparse())
        cosines = {hit.id: hit.score for hit in by_cosine}
        bm25s = {hit.id: hit.score for hit in by_bm25}
        fused = fusion.fused(cosines, bm25s, limit=top_k)
        points = {point.id: point for point in await self._store.fetch([item for item, _ in fused])}
        return manifest.generation, [
            read_hit(points[item], dense=cosines.get(item), bm25=bm25s.get(item), fused=score)
            for item, score in fused
            if item in points
        ]

    async def neighbours(self, hits: Sequence[Hit], *, reach: int = 1) -> list[Hit]:
        """Return the chunks at most `reach` away from a hit in its document version, in one fetch.

        Each once, none of the hits themselves, in text order within a document, documents in the order
        of the hits. They carry no scores: both of the search are None, `fused` is 0. A version that was
        replaced since keeps its chunks for half a minute; chunks that are gone are left out.
        """
        places: dict[tuple[str, int], set[int]] = {}
        for hit in hits:
            chunk = hit.chunk
            near = range(max(0, chunk.n - reach), chunk.n + reach + 1)
            places.setdefault((chunk.document_id, chunk.version), set()).update(near)
        ids = [
            self._scope.point_id("chunk", document_id, version, n)
            for (document_id, version), near in places.items()
            for n in sorted(near)
        ]
        known = {hit.chunk.id for hit in hits}
        points = await self._store.fetch([item for item in ids if item not in known])
        return [read_hit(point, dense=None, bm25=None, fused=0.0) for point in points]

    async def _begin(self) -> int:
        generation = await self.generation()
        # A writer that failed or died half way must not have its leavings committed by this one.
        await self._undo_uncommitted(generation)
        return generation

    async def _undo_uncommitted(self, generation: int) -> None:
        await self._store.delete(Where(equal=self._owned, above={"born": generation}))
        dying = Where(equal=self._owned, at_most={"dead": NEVER - 1}, above={"dead": generation})
        await self._store.set_payload(dying, {"dead": NEVER})

    async def _info(self, document_id: str, generation: int) -> DocumentInfo | None:
        where = self._scope.live("document", generation, reader=EVERYTHING, document_id=document_id)
        async for point in self._store.scroll(where):
            return read_info(point)
        return None

    async def _readable(self, document_id: str, generation: int, *, reader: Reader) -> DocumentInfo:
        info = await self._info(document_id, generation)
        if info is None or not reader.may_read(info.access):
            raise DocumentNotFound(f"collection {self._scope.collection!r} has no document {document_id!r}")
        return info

    async def _points_of(self, info: DocumentInfo) -> list[Point]:
        record = (await self._store.fetch([self._scope.point_id("document", info.id, info.version)]))[0]
        ids = [self._scope.point_id("text", info.id, info.version, n) for n in range(int_of(record.payload, "parts"))]
        ids += [self._scope.point_id("chunk", info.id, info.version, n) for n in range(info.chunks)]
        return await self._store.fetch(ids)

    async def _staged(self, prepared: PreparedDocument, generation: int, *, by: Reader) -> Staged:
        document, chunks = prepared.document, len(prepared.chunks)
        live = await self._info(document.id, generation)
        if live is not None and not by.may_read(live.access):
            return Staged(not_replaced(document.id))
        if live is not None and live.content_hash == prepared.content_hash:
            return Staged(IngestResult(document.id, live.version, "unchanged", live.chunks, live.tokens))
        version = await self._last_version(document.id, live) + 1
        points = version_points(self._scope, prepared, version=version, born=generation + 1)
        result = IngestResult(document.id, version, "updated" if live else "created", chunks, prepared.tokens)
        return Staged(result, points, replaces=live is not None)

    async def _last_version(self, document_id: str, live: DocumentInfo | None) -> int:
        if live is not None:
            return live.version
        tombstone = await self._store.fetch([self._scope.tombstone_id(document_id)])
        return int_of(tombstone[0].payload, "version") if tombstone else 0

    async def _retire(self, document_ids: Sequence[str], generation: int) -> None:
        if not document_ids:
            return
        where = Where(
            equal={**self._owned, "document_id": tuple(document_ids)},
            at_most={"born": generation},
            above={"dead": generation},
        )
        await self._store.set_payload(where, {"dead": generation + 1})

    async def _commit(self, generation: int, *, lists: Sequence[Access] = ()) -> None:
        before = await self._manifest()
        manifest = replace(before, generation=generation, principals=named(before.principals, lists))
        await self._store.upsert([manifest_point(self._scope, manifest)])
        self._retired.append((time.monotonic(), generation))
        gone = 0
        while self._retired and self._retired[0][0] < time.monotonic() - RETIRE_AFTER_S:
            gone = self._retired.popleft()[1]
        if gone:
            await self._store.delete(Where(equal=self._owned, at_most={"dead": gone}))
