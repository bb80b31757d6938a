"""The scorer: bounds, the shipped file, and what it makes of better evidence."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from ragopt.errors import ConfigError
from ragopt.stages.route.difficulty import (
    SHIPPED_FILE,
    SHIPPED_SHA256,
    difficulty_from_json,
    difficulty_to_json,
    probability,
    shipped_difficulty,
    standardised_length,
    trained_sets,
)
from tests.fakes import context_of, passage

MAX_BYTES = 200_000


def test_shipped_file_is_the_released_one() -> None:
    """Its digest is in the code, it is small, and the sets it was trained on are named."""
    data = SHIPPED_FILE.read_bytes()
    assert hashlib.sha256(data).hexdigest() == SHIPPED_SHA256
    assert len(data) < MAX_BYTES
    assert "routellm_mmlu" in trained_sets()
    assert len(trained_sets()) > 1


def test_writing_and_reading_keeps_the_scorer() -> None:
    """What is written scores as before, to the sixth digit."""
    scorer = shipped_difficulty()
    again = difficulty_from_json(difficulty_to_json(scorer, trained_on={}).encode())
    embedding = np.full(len(scorer.general.embedding), 0.05, np.float32)
    assert again.of_question("What is tea?", embedding) == pytest.approx(
        scorer.of_question("What is tea?", embedding), abs=1e-4
    )


@pytest.mark.parametrize("data", [b"{}", b"[]", b"not json"])
def test_anything_else_is_refused(data: bytes) -> None:
    """A file that is no scorer stops the start with a sentence."""
    with pytest.raises(ConfigError, match="difficulty scorer"):
        difficulty_from_json(data)


def test_evidence_that_answers_makes_a_question_easier() -> None:
    """The same question is easier with a passage that speaks of all of it than with one that does not."""
    scorer, question = shipped_difficulty(), "When was the tea house in Oxford opened?"
    near = context_of(passage("The tea house in Oxford was opened in 1920."), question=question)
    far = context_of(passage("Coffee is grown in many countries of the south."), question=question)
    easy = scorer.of_context(replace(near, similarities=(0.9, 0.4)), (), embedding=None)
    hard = scorer.of_context(replace(far, similarities=(0.3, 0.3)), (), embedding=None)
    assert 0 <= easy < hard <= 1


def test_length_is_bounded() -> None:
    """An enormous question is as one at the edge of what was seen."""
    assert standardised_length("x" * 10**6, mean=3, scale=1) == 3.0
    assert standardised_length("", mean=30, scale=1) == -3.0


def test_probability_never_overflows() -> None:
    """Log-odds of any size give a probability."""
    assert probability(-1e9) == pytest.approx(0, abs=1e-9)
    assert probability(1e9) == pytest.approx(1)
