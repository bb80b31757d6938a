"""Standalone question to fused hits, over the library."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from indexes.fusion import Fusion
from indexes.library import Library
from indexes.records import EncodedQuestion
from ragopt.domain import Question
from ragopt.ports import Embed
from ragopt.results import Retrieved
from ragopt.telemetry import Trace

# The hits whose neighbours are offered to reranking and packing too.
WIDENED_HITS = 10


@dataclass(frozen=True, slots=True)
class HybridRetriever:
    """Dense and BM25 side by side over the documents that the question's reader and filter let through, fused.

    A question that was rewritten is searched as it was asked and as it was rewritten at once: what a rewrite adds
    may be wrong, and what it leaves out may matter. Measured with `python -m eval rewrite`: even the rewrites of
    people find more so.
    """

    library: Library
    embed: Embed

    async def __call__(
        self, standalone: str, question: Question, *, encoded: EncodedQuestion, trace: Trace
    ) -> Retrieved:
        """Return at most `question.knobs.top_k` hits, and the chunks around the first of them if the knobs ask for it.

        Raises: `CollectionNotFound`, `StoreUnavailable`.
        """
        searched = standalone
        if standalone != question.text:
            with trace.stage("embed"):
                encoded = blended(await self.embed(question.text), encoded)
            searched = f"{question.text} {standalone}"
        generation, hits = await self.library.search(
            question.tenant,
            question.collection,
            searched,
            question=encoded,
            top_k=question.knobs.top_k,
            timer=trace.stage,
            fusion=Fusion(question.knobs.fusion, question.knobs.dense_weight),
            reader=question.reader,
            matching=question.filter,
        )
        if question.knobs.neighbours:
            near, reach = hits[:WIDENED_HITS], question.knobs.neighbours
            hits += await self.library.neighbours(question.tenant, question.collection, near, reach=reach)
        trace.note(hits=len(hits), generation=generation)
        return Retrieved(encoded, tuple(hits), generation)


def blended(asked: EncodedQuestion, meant: EncodedQuestion) -> EncodedQuestion:
    """Return two wordings of a question as one: the mean of their vectors, the tokens of both at half their weight."""
    dense = asked.dense + meant.dense
    length = np.linalg.norm(dense)
    return EncodedQuestion(
        dense=np.asarray(dense / length if length > 0 else meant.dense, np.float32),
        tokens=np.concatenate([asked.tokens, meant.tokens]),
        weights=np.asarray(np.concatenate([asked.weights, meant.weights]) / 2, np.float32),
    )
