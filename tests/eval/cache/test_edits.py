"""Questions made from a question."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.cache import edits
from eval.cache.edits import Edit, another_question, same_question

MADE = [
    (edits.turned_around, "Which is the highest hill?", "Which is the lowest hill?"),
    (edits.exchanged, "What does LeBron think of Kobe?", "What does Kobe think of LeBron?"),
    (edits.negated, "Why is the sky blue?", "Why is the sky not blue?"),
    (edits.with_synonym, "Where can I buy tea?", "Where can I purchase tea?"),
    (edits.reordered, "Who won the cup in 2019?", "in 2019, Who won the cup?"),
    (edits.tersely, "What is the price of a car?", "what is price of car"),
    (edits.another_name(["Rome"]), "How old is Paris?", "How old is Rome?"),
]
NOT_MADE = [
    (edits.exchanged, "What is the difference between Java and Python?"),
    (edits.negated, "Is the sky blue?"),
    (edits.negated, "Why is the sky not blue?"),
    (edits.another_number, "How old is Paris?"),
    (edits.another_name(["Paris"]), "How old is Paris?"),
    (edits.reordered, "Who won?"),
    (edits.tersely, "who won?"),
]


@pytest.mark.parametrize(("edit", "question", "expected"), MADE)
def test_an_edit_makes_the_question(edit: Edit, question: str, expected: str) -> None:
    """Each edit changes what it is for."""
    assert edit(question, np.random.default_rng(0)) == expected


@pytest.mark.parametrize(("edit", "question"), NOT_MADE)
def test_an_edit_that_does_not_apply_makes_none(edit: Edit, question: str) -> None:
    """Where the edit would change nothing, or not what is asked, there is no question."""
    assert edit(question, np.random.default_rng(0)) is None


def test_a_number_becomes_another() -> None:
    """The number changes, and stays a positive whole one."""
    rng = np.random.default_rng(0)
    made = {edits.another_number("Who won in 1998?", rng) for _ in range(50)}
    assert len(made) > 5
    assert all(question is not None and "1998" not in question for question in made)


@given(st.text(max_size=80), st.integers(0, 99))
def test_any_text_can_be_edited(question: str, seed: int) -> None:
    """What is made differs from the question in more than its case; the same seed makes the same."""
    for make in (same_question, lambda text, rng: another_question(text, rng, names=["Rome"])):
        first, second = (make(question, np.random.default_rng(seed)) for _ in range(2))
        assert first == second
        assert first is None or first.casefold() != question.casefold()
