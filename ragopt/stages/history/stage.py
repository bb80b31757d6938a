"""The history stage: a question's earlier turns to what of them goes into its prompt, within a budget."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from indexes.records import EncodedQuestion, FloatVector
from ragopt.domain import Question, Summary, Turn
from ragopt.results import History
from ragopt.settings.history import HistorySettings
from ragopt.stages.history.carried import CarriedSummaries
from ragopt.stages.history.fold import Limits, folded, tokens_of, turn_tokens
from ragopt.stages.history.recall import chosen, relevance
from ragopt.stages.history.vectors import TurnVectors
from ragopt.telemetry import Trace
from ragopt.tokens import count_tokens_batch

# What a recalled turn's label adds to it, and the heading to all of them.
TOKENS_PER_LABEL = 3
HEADING_TOKENS = 12
# Older ones are in the summary, or nowhere: scoring is work per turn.
MAX_RECALLED_FROM = 2_000


class BudgetedHistory:
    """Last turns verbatim, older ones as a summary, and those of them that the question is about.

    Satisfies `ragopt.ports.ComposeHistory`. Work per question is bounded by the newest 2,000 turns.
    """

    def __init__(self, settings: HistorySettings, vectors: TurnVectors | None = None) -> None:
        self._settings = settings
        self.limits = Limits.of(settings)
        self._vectors = vectors
        self._carried = CarriedSummaries(self.limits)

    async def __call__(
        self, question: Question, *, standalone: str, encoded: EncodedQuestion | None, trace: Trace
    ) -> History:
        """Return what of the question's history goes into its prompt, at most `budget_tokens` of it."""
        turns = question.history
        if not turns or not self.limits.budget:
            return History(turns_before=len(turns))
        summary = await asyncio.to_thread(self._summary, question)
        old = turns[: summary.folded][-MAX_RECALLED_FROM:]
        vectors: Sequence[FloatVector | None] = [None] * len(old)
        if old and self._vectors and encoded is not None:
            vectors = await self._vectors.of([turn.content for turn in old])
            if missing := sum(vector is None for vector in vectors):
                trace.fell_back("history", f"{missing} of {len(old)} old turns were compared by their words alone")
        dense = encoded.dense if encoded is not None else None
        history = await asyncio.to_thread(self._recalled, turns, summary, standalone, dense=dense, vectors=vectors)
        trace.note(history_turns=len(turns), history_folded=summary.folded, history_recalled=len(history.recalled))
        return history

    def _summary(self, question: Question) -> Summary:
        if question.summary is None:
            return self._carried.of(question.history)
        return folded(question.summary, question.history, limits=self.limits)

    def _recalled(
        self,
        turns: Sequence[Turn],
        summary: Summary,
        standalone: str,
        *,
        dense: FloatVector | None,
        vectors: Sequence[FloatVector | None],
    ) -> History:
        recent = tuple(turns[summary.folded :])
        left = self.limits.budget - sum(turn_tokens(recent)) - tokens_of("\n".join(summary.blocks)) - HEADING_TOKENS
        old = turns[: summary.folded][-MAX_RECALLED_FROM:]
        if not old or left <= 0:
            return History(summary.blocks, recent, turns_before=len(turns))
        scores = relevance(standalone, old, question=dense, vectors=vectors, floor=self._settings.recall_floor)
        sizes = [size + TOKENS_PER_LABEL for size in count_tokens_batch([turn.content for turn in old])]
        places = chosen(scores, sizes, most_tokens=left)
        return History(summary.blocks, recent, tuple(old[at] for at in places), turns_before=len(turns))
