"""A sentence to its claims."""

from __future__ import annotations

import pytest

from ragopt.stages.cite.claims import Claim, claims_of


@pytest.mark.parametrize(
    ("sentence", "claims"),
    [
        ("Cards cost eight dollars [1].", [("Cards cost eight dollars", "Cards cost eight dollars", (1,))]),
        ("- **Refunds** take ten days [2][1]! ", [("**Refunds** take ten days", "Refunds take ten days", (2, 1))]),
        ("Fees are due. [1] [2] ", [("Fees are due.", "Fees are due.", (1, 2))]),
        (
            "Dogs [1] and cats [2] bark.",
            [("Dogs", "Dogs and cats bark.", (1,)), ("and cats", "Dogs and cats bark.", (2,))],
        ),
        (
            "Cards cost eight dollars [1] per month.",
            [("Cards cost eight dollars", "Cards cost eight dollars per month.", (1,))],
        ),
        (
            "Cards cost eight dollars [1], and the fee rises to ten dollars.",
            [
                ("Cards cost eight dollars", "Cards cost eight dollars", (1,)),
                ("and the fee rises to ten dollars.", "and the fee rises to ten dollars.", ()),
            ],
        ),
        ("It rains in Spain every winter.", [("It rains in Spain every winter.",) * 2 + ((),)]),
    ],
)
def test_a_claim_is_what_a_marker_stands_behind(sentence: str, claims: list[tuple[str, str, tuple[int, ...]]]) -> None:
    """Its span is what the reader sees, its text what is judged: short ones with the sentence around them."""
    assert [
        (sentence[slice(*claim.span)], claim.text, claim.cited) for claim in claims_of(sentence, before=None)
    ] == claims


@pytest.mark.parametrize(
    "text",
    ["", "## Fees and refunds here", "This is what I found there:", "Does it rain in Spain?", "Yes.", "`a b c d`"],
)
def test_what_asserts_nothing_is_no_claim(text: str) -> None:
    """Headings, questions, lines that lead up to a list, single words and code need no evidence."""
    assert claims_of(text, before=None) == []


def test_a_marker_that_opens_a_sentence_cites_the_one_before() -> None:
    """It cites that claim's span, and nothing where there is none."""
    before = Claim((-20, -3), "Cards cost eight dollars", (1,))
    assert claims_of("[2] ", before=before) == [Claim((-20, -3), "Cards cost eight dollars", (2,))]
    assert claims_of("[2] ", before=None) == []
