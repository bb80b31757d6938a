"""What the quality gate lets through."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from ragopt.pipeline import ABSTENTION
from ragopt.stages.cite.checker import CitationChecking
from ragopt.stages.cite.judging import ClaimJudge
from ragopt.stages.route.gate import QualityGate
from ragopt.telemetry import Trace
from tests.model_calls import ANSWER, CONTEXT, prepared

GATE = QualityGate()


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        (ANSWER, None),
        ("Yes [1].", None),
        ("Cats sleep a lot [1, 7].", None),
        ("Cats sleep sixteen hours a day.", "it claims without a citation"),
        ("Cats sleep sixteen hours a day [4].", "it cites passages that are not there"),
        ("[1]", "it says nothing"),
        ("...", "it says nothing"),
        (f"<html><body>{ANSWER}", "it is not an answer: it holds '<html'"),
        (f'<passage n="1"> {ANSWER}', "it is not an answer: it holds '<passage'"),
        ('{"error": "busy [1]"}', "it is not an answer: it holds '{\"error\"'"),
    ],
)
def test_an_answer_cites_and_is_one(text: str, flaw: str | None) -> None:
    """A claim needs a citation of a passage that is there, and what is no answer is told by its form."""
    assert GATE.form_flaw(text, CONTEXT) == flaw


def test_an_abstention_passes_unless_the_passages_cover_the_question() -> None:
    """A cheap model that gives up where the words of the question are all there is not believed."""
    covered = replace(CONTEXT, standalone_question="Do cats purr?")
    assert GATE.form_flaw(ABSTENTION, covered) == "it abstains although the passages cover 100% of the question"
    assert GATE.form_flaw(ABSTENTION, replace(CONTEXT, standalone_question="Which dogs bark at night?")) is None


@pytest.mark.parametrize(
    ("text", "ready"),
    [
        ("Cats sleep sixteen hours a day [1].", False),
        ("Cats sleep sixteen hours a day [1]. ", False),
        ("Cats sleep sixteen hours a day [1]. They", True),
        ("Cats sleep sixteen hours a day. [", False),
        ("Cats sleep sixteen hours a day. [1] T", True),
        ("- Cats sleep sixteen hours a day [1]\n- T", True),
        ("Yes. ", False),
        ("Yes. Cats sleep sixteen hours a", False),
        ("Yes. Cats sleep sixteen hours a day [1]. They", True),
        ("", False),
    ],
)
def test_an_opening_is_a_whole_sentence_that_says_something(text: str, *, ready: bool) -> None:
    """The sentence has ended, and with those before it has six words."""
    assert GATE.ready(text) is ready


@pytest.mark.parametrize(
    ("text", "ended", "flawed"),
    [
        (ANSWER, True, False),
        ("Cats sleep nine hours a day [1].", True, True),
        ("Cats sleep nine hours a day [1]. They purr as well [1]. Cats sleep sixteen hours a day [1].", True, False),
        ("Cats sleep sixteen hours a day [1]. They gallop over wide pl", False, False),
        ("Cats sleep nine hours a day [1]. They", False, True),
    ],
)
def test_claims_are_judged_as_everywhere(text: str, *, ended: bool, flawed: bool) -> None:
    """Half of them unsupported is a flaw; of an opening only whole sentences are judged."""
    gate = QualityGate(cite=CitationChecking(ClaimJudge.lexical()))
    found = asyncio.run(gate.flaw(text, prepared(), ended=ended, trace=Trace("r")))
    assert (found is not None) is flawed
    assert found is None or found.unsupported == 1
