"""What the slot gate forbids, and what it only notes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragopt.stages.cache.gate import Differences, differences

FORBIDDEN = [
    ("How many people lived in Rome in 1950?", "How many people lived in Rome in 1960?"),
    ("What is 5 km in miles?", "What is 6 km in miles?"),
    ("Is the limit 20 dollars?", "Is the limit 20 euros?"),
    ("What are the top ten books?", "What are the top five books?"),
    ("Who won on 3 May 2019?", "Who won on 4 May 2019?"),
    ("How do I increase the limit?", "How do I decrease the limit?"),
    ("Which country is the largest?", "Which country is the smallest?"),
    ("What are the advantages of solar power?", "What are the disadvantages of solar power?"),
    ("What happened before the war?", "What happened after the war?"),
    ("How do I enable the alarm?", "How do I disable the alarm?"),
    ("Why does it work?", "Why does it not work?"),
    ("Who may enter?", "Who may not enter?"),
]
ALLOWED = [
    ("How many people lived in Rome in 1950?", "In 1950, how many people lived in Rome?"),
    ("What are the top ten books?", "What are the top 10 books?"),
    ("Is it 1 km away?", "Is it 1000 m away?"),
    ("What are the pros and cons of tea?", "What are the advantages of tea?"),
    ("How do I open an account?", "How can an account be opened?"),
    ("What are the best deals for Black Friday 2016?", "What are the best deals for Black Friday?"),
]


@pytest.mark.parametrize(("one", "other"), FORBIDDEN)
def test_what_contradicts_is_forbidden(one: str, other: str) -> None:
    """Another number, unit, date or direction, or one negation: no answer can be for both, whichever comes first."""
    assert differences(one, other).forbid
    assert differences(other, one).forbid


@pytest.mark.parametrize(("one", "other"), ALLOWED)
def test_what_agrees_passes(one: str, other: str) -> None:
    """The same number in other words, in another unit or said by one alone forbids nothing."""
    assert not differences(one, other).forbid


def test_what_one_alone_says_is_noted() -> None:
    """A year or a name in one question is seen without forbidding the pair."""
    none = Differences(numbers=False, number=False, names=False, name=False, negation=False, direction=False)
    assert differences("Who rules?", "who rules") == none
    assert differences("Who won the cup in 2016?", "Who won the cup?").number
    assert differences("Is tea in Japan good?", "Is tea good?").name
    assert differences("Why is tea in Japan good?", "Why is tea in China good?").names


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_is_read(one: str, other: str) -> None:
    """The gate has no order, and a text never differs from itself."""
    assert differences(one, other) == differences(other, one)
    assert not differences(one, one).forbid
