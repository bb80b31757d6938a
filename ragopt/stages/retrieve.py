"""Standalone question to fused hits, over the library."""

from __future__ import annotations

from dataclasses import dataclass

from indexes.fusion import Fusion
from indexes.library import Library
from indexes.records import EncodedQuestion
from ragopt.domain import Question
from ragopt.results import Retrieved
from ragopt.telemetry import Trace

# The hits whose neighbours are offered to reranking and packing too.
WIDENED_HITS = 10


@dataclass(frozen=True, slots=True)
class HybridRetriever:
    """Dense and BM25 side by side over the documents that the question's filter lets through, fused."""

    library: Library

    async def __call__(
        self, standalone: str, question: Question, *, encoded: EncodedQuestion, trace: Trace
    ) -> Retrieved:
        """Return at most `question.knobs.top_k` hits, and the chunks around the first of them if the knobs ask for it.

        Raises: `CollectionNotFound`, `StoreUnavailable`.
        """
        generation, hits = await self.library.search(
            question.tenant,
            question.collection,
            standalone,
            question=encoded,
            top_k=question.knobs.top_k,
            timer=trace.stage,
            fusion=Fusion(question.knobs.fusion, question.knobs.dense_weight),
            matching=question.filter,
        )
        if question.knobs.neighbours:
            near, reach = hits[:WIDENED_HITS], question.knobs.neighbours
            hits += await self.library.neighbours(question.tenant, question.collection, near, reach=reach)
        trace.note(hits=len(hits), generation=generation)
        return Retrieved(encoded, tuple(hits), generation)
