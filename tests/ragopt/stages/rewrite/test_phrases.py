"""Text to phrases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragopt.stages.rewrite.phrases import phrases_of, tokens_of


def texts(text: str) -> list[str]:
    return [phrase.text for phrase in phrases_of(tokens_of(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("When did Memoirs of a Geisha win awards?", ["Memoirs", "Geisha", "win", "awards"]),
        ("In 1974 the Mothers of Invention broke up.", ["1974", "Mothers of Invention", "broke", "up"]),
        ("Tell me about the Tesla Model 3.", ["Tesla Model 3"]),
        ("Leave is paid. Cats sleep.", ["Leave", "paid", "Cats", "sleep"]),
        ("What does NATO want?", ["NATO", "want"]),
        ("", []),
        ("?!", []),
    ],
)
def test_names_stay_whole_and_other_topic_words_stand_alone(text: str, expected: list[str]) -> None:
    """A capital makes a name, but not at the beginning of a sentence alone; requests and stop words are left out."""
    assert texts(text) == expected


def test_touching_phrases_know_of_each_other() -> None:
    """Which is how a run of words can be put together again."""
    first, second, third = phrases_of(tokens_of("parental leave, policy"))
    assert (first.before_phrase, second.after_phrase) == (True, True)
    assert (second.before_phrase, third.after_phrase) == (False, False)
    assert (first.before, first.after, third.after) == ("", "leave", "")


@given(st.text(max_size=200))
def test_any_text_gives_phrases_in_order_that_do_not_overlap(text: str) -> None:
    """Whatever was typed, each phrase is what its tokens say and has a topic word."""
    tokens = tokens_of(text)
    found = phrases_of(tokens)
    ends = [0, *(phrase.end for phrase in found)]
    assert all(phrase.start >= before for phrase, before in zip(found, ends, strict=False))
    assert all(phrase.words and phrase.text == " ".join(tokens[phrase.start : phrase.end]) for phrase in found)
