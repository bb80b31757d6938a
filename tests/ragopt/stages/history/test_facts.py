"""Which sentences of old turns are worth keeping."""

from __future__ import annotations

import pytest

from ragopt.domain import Turn
from ragopt.stages.history.facts import distinct, facts_of, sentences_of, worth


@pytest.mark.parametrize(
    ("fact", "chatter"),
    [
        ("My flight leaves on 12 May at 9:40.", "Wow, that sounds great!"),
        ("We decided to move the release to Friday.", "Hello, how are you?"),
        ("I prefer vegetarian food.", "Thank you so much."),
        ("My sister Anna lives in Graz.", "Okay, sounds good."),
    ],
)
def test_facts_are_worth_more_than_chatter(fact: str, chatter: str) -> None:
    """Numbers, dates, decisions, preferences and names count; greetings, thanks and praise are worth nothing."""
    assert worth(fact, "user") > 1.5 > worth(chatter, "user") == 0


def test_what_the_user_says_weighs_more_than_the_answer() -> None:
    """An answer rests on documents that can be asked again; a user's own facts are nowhere else."""
    assert worth("The limit is 40 euros.", "user") > worth("The limit is 40 euros.", "assistant") > 0


def test_a_repeated_fact_is_kept_once() -> None:
    """Of two sentences that say the same, the one of more worth stays, the first where they are equal."""
    turns = [Turn("user", "My budget is 400 euros. Yes, my budget is 400 euros."), Turn("user", "I like trains.")]
    assert [fact.text for fact in distinct(facts_of(turns))] == ["My budget is 400 euros.", "I like trains."]


def test_sentences_are_single_lines() -> None:
    """Line breaks and runs of white space never get into a summary's line."""
    assert sentences_of("One  thing.\tTwo\n\n- three\r\nfour. ") == ["One thing.", "Two", "- three", "four."]
    assert sentences_of(" \n ") == []
