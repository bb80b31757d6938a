"""Hits to hits in a better order, by late interaction over the stored token vectors."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from indexes.tokens import max_sim_parts
from ragopt.domain import QueryKnobs
from ragopt.results import RankedHit, Retrieved
from ragopt.telemetry import Trace

# Measured with `python -m eval context`: MaxSim leads,
# the standardised first-stage scores settle what it cannot tell apart.
FIRST_STAGE_WEIGHT = 0.02
TIE_DIGITS = 4
# So many are compared in about a millisecond, for which a thread is not worth the way there and back.
QUICK_HITS = 64


async def rerank(
    standalone: str,  # noqa: ARG001 - its token vectors are in `retrieved`
    retrieved: Retrieved,
    *,
    knobs: QueryKnobs,  # noqa: ARG001
    trace: Trace,  # noqa: ARG001
) -> Sequence[RankedHit]:
    """Return every hit once, best first: MaxSim + 0.02 z(dense) + 0.02 z(BM25). [] for no hits."""
    return await compared(retrieved)


async def compared(retrieved: Retrieved) -> list[RankedHit]:
    """Return `late_interaction(retrieved)`, made in a thread where there are many hits."""
    if len(retrieved.hits) <= QUICK_HITS:
        return late_interaction(retrieved)
    return await asyncio.to_thread(late_interaction, retrieved)


def late_interaction(retrieved: Retrieved) -> list[RankedHit]:
    """Return the hits by their combined score; of equal ones, such as repeated text, the earliest in its document."""
    hits = retrieved.hits
    if not hits:
        return []
    parts = [hit.unit_tokens for hit in hits]
    similar, by_part = max_sim_parts(retrieved.question, [hit.tokens for hit in hits], parts)
    dense = standardised([hit.dense for hit in hits])
    bm25 = standardised([hit.bm25 for hit in hits])
    scores = similar + FIRST_STAGE_WEIGHT * (dense + bm25)
    ranked = [
        # The first part is what stands above the chunk: it is sent with none of its units.
        RankedHit(hit, float(score), float(alike), tuple(float(of_unit) for of_unit in of_parts[1:]))
        for hit, score, alike, of_parts in zip(hits, scores, similar, by_part, strict=True)
    ]
    return sorted(
        ranked, key=lambda item: (-round(item.score, TIE_DIGITS), item.hit.chunk.document_id, item.hit.chunk.start)
    )


def standardised(scores: Sequence[float | None]) -> NDArray[np.float64]:
    """Return z-scores float64 [n]; a missing score counts as the lowest that is there, equal scores are all 0."""
    known = [score for score in scores if score is not None]
    if not known:
        return np.zeros(len(scores))
    filled = np.array([min(known) if score is None else score for score in scores])
    deviation = filled.std()
    return (filled - filled.mean()) / deviation if deviation > 0 else np.zeros(len(scores))
