"""Two rankings to one ranking: pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

FusionMethod: TypeAlias = Literal["rrf", "score"]

RRF_K = 60
# Engines return equal scores in any order, and sums of floats that differ in the last digits.
SCORE_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Fusion:
    """How the dense and the BM25 ranking become one.

    method: `rrf` fuses ranks, `score` fuses scores. dense_weight: share of the dense side, in
    [0, 1]; BM25 has the rest.
    """

    method: FusionMethod = "rrf"
    dense_weight: float = 0.5

    def fused(self, dense: Mapping[str, float], bm25: Mapping[str, float], *, limit: int) -> list[tuple[str, float]]:
        """Return at most `limit` ids with their fused score, best first; [] if both are empty.

        `dense` maps ids to cosines, `bm25` to BM25 scores. Give more than `limit` of each, or a tie at
        the edge is settled by what the engine left out.
        """
        if self.method == "score":
            return score_fusion(dense, bm25, dense_weight=self.dense_weight, limit=limit)
        rankings = [settled(list(scores.items()), limit=limit) for scores in (dense, bm25)]
        return reciprocal_rank_fusion(rankings, weights=(self.dense_weight, 1 - self.dense_weight))[:limit]


PLAIN_RRF = Fusion()


def settled(scored: Sequence[tuple[str, float]], *, limit: int) -> list[str]:
    """Return the ids of the `limit` best, ties in the order of their ids: the same for the same points.

    Scores that agree to 4 decimals are ties. Give more than `limit` candidates, or a tie at the edge
    is settled by what the engine left out.
    """
    order = sorted(scored, key=lambda pair: (-round(pair[1], SCORE_DIGITS), pair[0]))
    return [item for item, _ in order[:limit]]


def reciprocal_rank_fusion(
    rankings: Sequence[Sequence[str]], *, weights: Sequence[float] | None = None, k: int = RRF_K
) -> list[tuple[str, float]]:
    """Return every id once with its fused score, best first; ties keep the order of first appearance.

    The score of an id is the sum over rankings of weight / (k + rank), rank from 1; a ranking without
    the id adds nothing. Without weights each is 1. [] for no rankings. Raises: `ValueError` if there
    is not one weight for each ranking.

    Source: Cormack, Clarke, Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual
    Rank Learning Methods", SIGIR 2009, with its k = 60; it has no weights.
    """
    scores: dict[str, float] = {}
    for ranking, weight in zip(rankings, weights or [1.0] * len(rankings), strict=True):
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + weight / (k + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])


def score_fusion(
    dense: Mapping[str, float], bm25: Mapping[str, float], *, dense_weight: float, limit: int
) -> list[tuple[str, float]]:
    """Return the `limit` best by the weighted sum of both scores, each stretched to [0, 1], ties in the order of ids.

    `dense` maps ids to cosines, `bm25` to BM25 scores, `limit` of each or more where there are as many.
    The best of a list has 1, its lowest 0, and so has what is not in it; where BM25 found less than
    `limit`, none was cut off, and 0 is a BM25 of 0. [] if both are empty.

    Source: the convex combination of min-max normalised scores in Bruch, Gai, Ingber, "An Analysis of
    Fusion Functions for Hybrid Retrieval", ACM TOIS 42(1), 2023. Min-max, so that an embedder whose
    cosines all lie between 0.7 and 0.9 fuses like any other.
    """
    of_dense = stretched(dense, least=min(dense.values(), default=0.0))
    of_bm25 = stretched(bm25, least=0.0 if len(bm25) < limit else min(bm25.values()))
    scores = {
        item: dense_weight * of_dense.get(item, 0.0) + (1 - dense_weight) * of_bm25.get(item, 0.0)
        for item in {**dense, **bm25}
    }
    return [(item, scores[item]) for item in settled(list(scores.items()), limit=limit)]


def stretched(scores: Mapping[str, float], *, least: float) -> dict[str, float]:
    """Return the scores moved and scaled so that `least` is 0 and the best is 1; all 1 if they are equal."""
    spread = max(scores.values(), default=least) - least
    return {item: (score - least) / spread if spread > 0 else 1.0 for item, score in scores.items()}
