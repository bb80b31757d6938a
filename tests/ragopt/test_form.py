"""What is asked of an answer's form."""

from __future__ import annotations

import pytest

from ragopt.domain import Question
from ragopt.form import instructions_of


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({}, ""),
        ({"max_sentences": 1}, "Answer in one sentence."),
        ({"max_sentences": 3}, "Answer in at most 3 sentences."),
        ({"max_output_tokens": 100}, "Use at most 60 words."),
        ({"max_output_tokens": 1}, "Use at most 1 words."),
        ({"max_sentences": 2, "max_output_tokens": 50}, "Answer in at most 2 sentences.\nUse at most 30 words."),
        ({"instructions": "Be kind.", "max_sentences": 1}, "Be kind.\nAnswer in one sentence."),
    ],
)
def test_the_form_is_asked_for_in_words(asked: dict[str, object], told: str) -> None:
    """Only what the request bounds is asked for; the settings' own limit costs no prompt."""
    assert instructions_of(Question("q", "t", **asked)) == told  # type: ignore[arg-type]


def test_a_schema_comes_last() -> None:
    """The schema stands behind everything else that is asked for."""
    question = Question("q", "t", instructions="Be kind.", max_output_tokens=50, answer_schema='{"type": "string"}')
    told = instructions_of(question)
    assert told.startswith("Be kind.\nUse at most 30 words.\nAnswer with one JSON value")
    assert told.endswith('{"type": "string"}')
