"""What is read from a question and its evidence."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragopt.domain import Turn
from ragopt.stages.route.features import (
    EVIDENCE_FEATURES,
    QUESTION_FEATURES,
    agreement,
    evidence_features,
    question_features,
)
from tests.fakes import context_of, passage


@given(st.text(max_size=200))
def test_every_question_has_every_feature(text: str) -> None:
    """Whatever the text, all features are there and finite."""
    found = question_features(text)
    assert tuple(found) == QUESTION_FEATURES
    assert all(math.isfinite(value) for value in found.values())


@pytest.mark.parametrize(
    ("feature", "more", "less"),
    [
        ("comparison", "Which is better, tea or coffee?", "What is tea?"),
        ("several", "What is tea and what is coffee; list both", "What is tea?"),
        ("reason", "Why does tea calm?", "What is tea?"),
        ("amount", "How many cups of tea?", "Which tea?"),
        ("maths", "Solve x = 3 + y", "Name a tea"),
        ("code", "What does print() return in python?", "What is tea?"),
        ("negation", "Which of these is not a tea?", "Which is a tea?"),
        ("hops", "Who wrote the book that won the prize of 1950?", "What is tea?"),
        ("yes_or_no", "Is tea hot?", "What is tea?"),
        ("numbers", "Add 3 and 4.5", "Add tea"),
    ],
)
def test_demands_are_seen(feature: str, more: str, less: str) -> None:
    """A question with the demand has more of the feature than one without."""
    assert question_features(more)[feature] > question_features(less)[feature]


def test_evidence_features_of_a_context() -> None:
    """Coverage counts the question's topic words over all passages, over the best one and over its best sentence."""
    first = passage(
        "Green tea calms. Coffee wakes people.", n=1, sentences=("Green tea calms.", "Coffee wakes people.")
    )
    context = replace(
        context_of(first, passage("Tea was traded in 1700 and 1800.", n=2), question="Which tea wakes traded people?"),
        similarities=(0.8, 0.6),
    )
    found = evidence_features(context, (Turn("user", "Hello"),))
    assert tuple(found) == EVIDENCE_FEATURES
    assert (found["coverage"], found["best_passage_coverage"], found["best_sentence_coverage"]) == (1.0, 0.75, 0.5)
    assert (found["best_similarity"], found["mean_similarity"]) == (0.8, 0.7)
    assert found["similarity_gap"] == pytest.approx(0.2)
    assert (found["documents"], found["top_document_share"]) == (math.log1p(2), 0.5)
    assert (found["numbers_in_evidence"], found["turns"]) == (math.log1p(2), math.log1p(1))
    assert (found["stopped_by_budget"], found["stopped_by_relevance"]) == (1.0, 0.0)


def test_no_passages_cover_nothing() -> None:
    """An empty context has every feature all the same."""
    found = evidence_features(context_of(question="What is tea?"), ())
    assert (found["coverage"], found["best_similarity"], found["passages"]) == (0.0, 0.0, 0.0)


def test_agreement_is_one_for_the_same_words_and_zero_for_none_shared() -> None:
    """The mean Jaccard index of the passages' words."""
    same = (passage("green tea", n=1), passage("tea green", n=2))
    assert agreement(same) == 1.0
    assert agreement((passage("green tea", n=1), passage("black coffee", n=2))) == 0.0
