"""Which kept answers are fit to train a model on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragopt.exports.choosing import NEAR, WORD, Wanted, chosen, distinct, diverse, overlap
from ragopt.state.kept import KeptPassage
from tests.ragopt.exports.kept_answers import KEPT, kept

DISTIL = Wanted(distil_below=0.3)


@pytest.mark.parametrize(
    ("changes", "wanted", "reason"),
    [
        ({"collection": "other"}, Wanted("default"), "other collection"),
        ({"provider": "extractive"}, Wanted(), "no model"),
        ({"supported": False}, Wanted(), "not supported"),
        ({"liked": False}, Wanted(), "rated down"),
        ({}, Wanted(liked=True), "not rated up"),
        ({"tier": "simple"}, DISTIL, "not for distillation"),
        ({"difficulty": 0.3}, DISTIL, "not for distillation"),
        ({"difficulty": None}, DISTIL, "not for distillation"),
        ({"answer": "Ask ann@example.org [1]."}, Wanted(), "personal data"),
        ({"passages": (KeptPassage(1, "d", 1, "", "Call +49 30 1234567."),)}, Wanted(), "personal data"),
    ],
)
def test_what_is_not_fit_is_left_out_and_counted(changes: dict[str, object], wanted: Wanted, reason: str) -> None:
    """Each reason has its name in the report."""
    found = chosen([kept(**changes)], wanted)
    assert (found.answers, found.left_out) == ((), {reason: 1})


@pytest.mark.parametrize("wanted", [Wanted(), Wanted("default"), DISTIL])
def test_a_supported_answer_of_a_model_is_fit(wanted: Wanted) -> None:
    """Strong-tier answers to easy questions are fit for distillation too."""
    assert chosen([KEPT], wanted).answers == (KEPT,)


def test_of_one_question_the_liked_answer_stays_then_the_newest() -> None:
    """Case, order of words and one word more or less in ten make no other question."""
    same = "Unused days: when do they lapse, in which month of the year?"
    liked = kept(id="liked", at=1.0, question=same, liked=True)
    newer = kept(id="newer", at=2.0, question=same.upper())
    near = kept(id="near", at=3.0, question=f"{same} Please")
    other = kept(id="other", at=4.0, question="Who approves leave?")
    found = chosen([liked, newer, near, other], Wanted())
    assert [one.id for one in found.answers] == ["liked", "other"]
    assert found.left_out == {"repeated": 2}
    assert [one.id for one in chosen([newer, near], Wanted()).answers] == ["near"]


@given(st.lists(st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=8).map(" ".join), max_size=12))
def test_the_index_of_rare_words_misses_no_repetition(questions: list[str]) -> None:
    """What is left out is what a comparison of every pair leaves out."""
    answers = [kept(id=str(n), question=text) for n, text in enumerate(questions)]
    expected: list[frozenset[str]] = []
    for text in questions:
        words = frozenset(WORD.findall(text))
        if not any(overlap(words, other) >= NEAR for other in expected):
            expected.append(words)
    assert [frozenset(WORD.findall(one.question)) for one in distinct(answers)] == expected


def test_examples_are_unlike_each_other() -> None:
    """The newest comes first, then always the question that shares fewest words with those that were taken."""
    leave, travel = ("When do unused days lapse?", "When do used days lapse?"), ("Who pays hotels?", "Who pays trains?")
    questions = (*leave, *travel)
    answers = [kept(id=str(at), at=float(at), question=text) for at, text in enumerate(questions)]
    assert [one.id for one in diverse(answers, 2)] == ["3", "1"]
    assert {one.id for one in diverse(answers, 9)} == {"0", "1", "2", "3"}
    assert diverse([], 3) == []
