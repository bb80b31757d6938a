"""Follow-ups to standalone questions, by rule."""

from __future__ import annotations

import asyncio

import pytest

from ragopt.domain import Question, Turn
from ragopt.results import Standalone
from ragopt.stages.rewrite import rewrite
from ragopt.telemetry import Trace

HISTORY = (Turn("user", "What is the parental leave policy?"), Turn("assistant", "Sixteen weeks [1]."))


def standalone(text: str, history: tuple[Turn, ...] = HISTORY) -> Standalone:
    return asyncio.run(rewrite(Question(text=text, tenant="t", history=history), trace=Trace("r")))


def asked(text: str, history: tuple[Turn, ...] = HISTORY) -> str:
    return standalone(text, history).text


@pytest.mark.parametrize("text", ["Is it paid?", "And for fathers?", "What about adoption?", "Why?"])
def test_a_follow_up_carries_the_last_questions_topic(text: str) -> None:
    """The second turn already finds what the first was about."""
    assert asked(text).startswith(text)
    assert "parental" in asked(text)


@pytest.mark.parametrize(
    "text", ["How many vacation days do new employees get?", "Who approves travel expenses abroad?"]
)
def test_a_question_that_stands_alone_is_left_alone(text: str) -> None:
    """A new topic is not polluted by the old one."""
    assert asked(text) == text


def test_without_history_nothing_changes() -> None:
    """The first turn is never rewritten, whatever its words."""
    assert asked("Is it paid?", ()) == "Is it paid?"
    assert asked("Is it paid?", (Turn("assistant", "Hello."),)) == "Is it paid?"


def test_what_was_guessed_is_not_sure() -> None:
    """A follow-up is this conversation's alone; a question that stands alone is everybody's."""
    assert standalone("Is it paid?") == Standalone(asked("Is it paid?"), sure=False, changed=True)
    assert standalone("Who approves travel expenses abroad?") == Standalone("Who approves travel expenses abroad?")


def test_words_already_there_are_not_carried_twice() -> None:
    """Only what is missing is added."""
    assert asked("Is parental leave policy it?") == "Is parental leave policy it?"
