"""Rankings to one ranking: pure functions."""

from __future__ import annotations

from collections.abc import Sequence

RRF_K = 60
# Engines return equal scores in any order, and sums of floats that differ in the last digits.
SCORE_DIGITS = 4


def settled(scored: Sequence[tuple[str, float]], *, limit: int) -> list[str]:
    """Return the ids of the `limit` best, ties in the order of their ids: the same for the same points.

    Scores that agree to 4 decimals are ties. Give more than `limit` candidates, or a tie at the edge
    is settled by what the engine left out.
    """
    order = sorted(scored, key=lambda pair: (-round(pair[1], SCORE_DIGITS), pair[0]))
    return [item for item, _ in order[:limit]]


def reciprocal_rank_fusion(rankings: Sequence[Sequence[str]], *, k: int = RRF_K) -> list[tuple[str, float]]:
    """Return every id once with its fused score, best first; ties keep the order of first appearance.

    The score of an id is the sum over rankings of 1 / (k + rank), rank from 1; a ranking without
    the id adds nothing. [] for no rankings.

    Source: Cormack, Clarke, Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual
    Rank Learning Methods", SIGIR 2009, with its k = 60.
    """
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, start=1):
            scores[item] = scores.get(item, 0.0) + 1.0 / (k + rank)
    return sorted(scores.items(), key=lambda pair: -pair[1])
