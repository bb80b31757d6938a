"""Whether two answers say the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ragopt.domain import Answer
from ragopt.stages.cache.agreement import agree
from tests.ragopt.stages.cache.answers import ANSWER, CITATION

FEE = "The late fee is 8 dollars, due within 30 days [1]."


def saying(text: str, *chunks: str) -> Answer:
    citations = tuple(replace(CITATION, chunk_id=chunk) for chunk in chunks or ("a",))
    return replace(ANSWER, text=text, citations=citations)


@pytest.mark.parametrize(
    ("text", "chunks", "same"),
    [
        (FEE, ("a",), True),
        ("A late fee of $8 is due within 30 days [2].", ("a",), True),
        ("The late fee is 8 dollars [1].", ("a",), False),
        ("The late fee is 9 dollars, due within 30 days [1].", ("a",), False),
        ("The late fee is not 8 dollars, due within 30 days [1].", ("a",), False),
        (FEE, ("b",), False),
        (FEE, ("a", "b"), True),
        (FEE, ("a", "b", "c"), False),
        ("Refunds take 8 dollars and 30 days [1].", ("a",), False),
        ("Yes [1].", ("a",), False),
    ],
)
def test_answers_agree(text: str, chunks: tuple[str, ...], *, same: bool) -> None:
    """With the same facts from mostly the same sources in mostly the same words, in either order."""
    one, other = saying(FEE), saying(text, *chunks)
    assert agree(one, other) is agree(other, one) is same


def test_an_abstention_agrees_with_nothing() -> None:
    """Not even with itself: it shows nothing of what the questions ask."""
    assert not agree(replace(saying(FEE), abstained=True), saying(FEE))
    assert not agree(saying(FEE), replace(saying(FEE), abstained=True))
