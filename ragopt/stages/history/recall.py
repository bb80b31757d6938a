"""Old turns that a question is about: BM25 over their words, cosine over their vectors, and what stands beside them.

In a conversation a turn is understood with its neighbours: the answer to "And when was that?" names no topic. So a
turn counts for itself and half for the better of the turns on its two sides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from indexes.records import FloatVector
from ragopt.domain import Turn
from ragopt.evidence import word_scores, words

NEIGHBOUR = 0.5


def relevance(
    standalone: str,
    turns: Sequence[Turn],
    *,
    question: FloatVector | None,
    vectors: Sequence[FloatVector | None],
    floor: float,
) -> NDArray[np.float64]:
    """Return how much each turn is about the question, in [0, 1.5], 0 for one that is not; float64 [n_turns].

    vectors: of the turns, unit length, None where not known: such a turn has its words alone. floor: a turn
    that is less like the question, has none of its words and no neighbour that has is not about it.
    """
    if not turns:
        return np.zeros(0)
    lexical = to_best(np.asarray(word_scores(words(standalone), [words(turn.content) for turn in turns]), np.float64))
    known = np.array([question is not None and vector is not None for vector in vectors])
    alike = np.zeros(len(turns))
    if question is not None:
        alike[known] = [float(vector @ question) for vector in vectors if vector is not None]
    alike = np.where((alike < floor) & (lexical == 0), 0.0, alike)
    own = np.where(known, (lexical + to_best(alike)) / 2, lexical)
    beside = np.maximum(np.append(own[1:], 0), np.insert(own[:-1], 0, 0))
    return np.asarray(own + NEIGHBOUR * beside, np.float64)


def to_best(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the scores as shares of the best one, in [0, 1]; zeros where none is positive."""
    best = float(scores.max(initial=0.0))
    return np.maximum(scores, 0.0) / best if best > 0 else np.zeros_like(scores)


def chosen(scores: NDArray[np.float64], sizes: Sequence[int], *, most_tokens: int) -> list[int]:
    """Return the places of the turns to recall, ascending: the best that fit, one too large is passed over."""
    left, kept = most_tokens, []
    for at in np.argsort(-scores, kind="stable").tolist():
        if scores[at] > 0 and sizes[at] <= left:
            kept.append(at)
            left -= sizes[at]
    return sorted(kept)
