"""Carried phrases into a question."""

from __future__ import annotations

import pytest

from ragopt.domain import Turn
from ragopt.stages.rewrite.candidates import Candidate, candidates_of
from ragopt.stages.rewrite.conversation import read_turns
from ragopt.stages.rewrite.wording import worded


def candidates(said: str, *chosen: str) -> list[Candidate]:
    found = candidates_of(read_turns((Turn("user", said),)), frozenset())
    return [item for item in found if item.last.text in chosen]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is its price?", "What is Model X’s price?"),
        ("Is it safe at night?", "Is it safe at night? (Model X)"),
        ("It costs how much?", "Model X costs how much?"),
        ("Who made it, and when did it sell?", "Who made Model X, and when did it sell?"),
        ("How much?", "How much? (Model X)"),
        ("What is her name?", "What is Model X’s name?"),
        ("Who likes her?", "Who likes Model X?"),
    ],
)
def test_one_name_takes_the_place_of_the_first_pronoun(question: str, expected: str) -> None:
    """Not where there is no pronoun, or `it` stands for nothing."""
    assert worded(question, candidates("I drive a Model X.", "Model X")) == expected


def test_a_word_that_is_no_name_stands_in_brackets() -> None:
    """It would read worse in place of the pronoun; words that touched are one phrase."""
    assert worded("Is it paid?", candidates("the leave of parents", "leave")) == "Is it paid? (leave)"
    both = candidates("How long is parental leave?", "parental", "leave")
    assert worded("How is that counted?", both) == "How is that counted? (parental leave)"
    apart = candidates("rules of leave", "rules", "leave")
    assert worded("Why?", apart) == "Why? (rules, leave)"
