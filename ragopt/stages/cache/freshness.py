"""Whether a kept answer still holds: are its sources as they were, and is there anything newer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

from indexes.access import Reader
from indexes.facets import MetadataFilter
from indexes.records import LiveChunk, Revision
from ragopt.domain import SPAN_SEPARATOR, Context, Passage, Question

# holds: as it is. doubtful: its sources are as they were, but there are younger chunks. dead: a source is not.
Standing: TypeAlias = Literal["holds", "doubtful", "dead"]


class Sources(Protocol):
    """The collections that answers rest on. Methods raise `CollectionNotFound`, `StoreUnavailable`."""

    async def revision(self, tenant: str, collection: str) -> Revision:
        """Return what is committed, as one value."""

    async def live_chunks(
        self, tenant: str, collection: str, ids: Sequence[str], *, generation: int
    ) -> dict[str, LiveChunk]:
        """Return those of these chunks that a reader of `generation` sees, by id."""

    async def has_newer(
        self, tenant: str, collection: str, *, since: int, generation: int, reader: Reader, matching: MetadataFilter
    ) -> bool:
        """Return whether `reader` sees at `generation` a chunk born after `since` whose document is `matching`."""


async def standing(
    sources: Sources, question: Question, context: Context, *, held: Revision, now: Revision
) -> Standing:
    """Return how an answer stands at `now` that rests on `context` and was found to hold at `held` last.

    Younger than the answer, not than that finding: what a context left out then may come in once other things go.
    """
    if held == now:
        return "holds"
    if held.lineage != now.lineage or held.generation > now.generation:
        return "dead"
    scope = (question.tenant, question.collection)
    ids = [passage.chunk_id for passage in context.passages]
    chunks = await sources.live_chunks(*scope, ids, generation=now.generation)
    if not all(is_as_it_was(passage, chunks.get(passage.chunk_id)) for passage in context.passages):
        return "dead"
    newer = await sources.has_newer(
        *scope,
        since=context.generation,
        generation=now.generation,
        reader=question.reader,
        matching=question.filter,
    )
    return "doubtful" if newer else "holds"


async def rests_on_nothing_newer(sources: Sources, question: Question, kept: Context, fresh: Context) -> bool:
    """Return whether the passages of `kept` are live as they were and those of `fresh` are no younger than `kept`.

    Both as of the generation of `fresh`. Then the kept answer says what a fresh one could say: whatever
    came since is not among what a model would be shown.
    """
    passages = {passage.chunk_id: passage for passage in (*fresh.passages, *kept.passages)}
    scope = (question.tenant, question.collection)
    chunks = await sources.live_chunks(*scope, list(passages), generation=fresh.generation)
    if not all(is_as_it_was(passage, chunks.get(passage.chunk_id)) for passage in kept.passages):
        return False
    return all(chunk_id in chunks and chunks[chunk_id].born <= kept.generation for chunk_id in passages)


def is_as_it_was(passage: Passage, chunk: LiveChunk | None) -> bool:
    """Return whether a passage is, word for word, what its chunk holds now."""
    if chunk is None:
        return False
    parts = [chunk.text[max(0, start - chunk.start) : end - chunk.start] for start, end in passage.spans]
    return SPAN_SEPARATOR.join(parts) == passage.text
