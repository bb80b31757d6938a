"""Old turns that a question is about."""

from __future__ import annotations

import numpy as np

from indexes.records import FloatVector
from ragopt.domain import Turn
from ragopt.stages.history.recall import chosen, relevance

TURNS = [Turn("user", text) for text in ("My dentist is Dr Lang.", "Nice.", "It costs 90 euros.", "Rain today.")]
NO_VECTORS: list[FloatVector | None] = [None] * 4


def scores(question: str, vectors: list[FloatVector | None], *, floor: float = 0.25) -> list[float]:
    """Return the relevance of the turns to a question whose vector is the first axis."""
    axis = np.array([1, 0], np.float32)
    return relevance(question, TURNS, question=axis, vectors=vectors, floor=floor).tolist()


def test_words_alone_find_a_turn_and_its_neighbour() -> None:
    """Without vectors the turn with the question's words is best, its neighbour counts half, others nothing."""
    assert scores("Who is my dentist?", NO_VECTORS) == [1.0, 0.5, 0.0, 0.0]


def test_vectors_find_what_shares_no_word() -> None:
    """A turn that means the same is found; one that is less alike than the floor is not."""
    vectors = [np.array([x, (1 - x * x) ** 0.5], np.float32) for x in (0.2, 0.1, 0.9, 0.0)]
    found = scores("What is the price?", list(vectors))
    assert found[2] == max(found) == 0.5
    assert found[0] == 0.0
    assert scores("What is the price?", list(vectors), floor=0.95) == [0.0] * 4


def test_no_turns_no_scores() -> None:
    """An empty history has nothing to recall."""
    assert relevance("x", [], question=None, vectors=[], floor=0.1).size == 0


def test_the_best_that_fit_are_chosen_in_the_order_in_which_they_were_said() -> None:
    """One that is too large is passed over, one that is about nothing is not taken even where there is room."""
    values = np.array([0.2, 0.9, 0.0, 0.5])
    assert chosen(values, [10, 50, 1, 20], most_tokens=40) == [0, 3]
    assert chosen(values, [10, 50, 1, 20], most_tokens=1_000) == [0, 1, 3]
    assert chosen(values, [10, 50, 1, 20], most_tokens=0) == []
