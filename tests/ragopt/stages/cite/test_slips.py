"""What is plainly wrong in a claim."""

from __future__ import annotations

import pytest

from ragopt.stages.cite.slips import Slip, slip_of

OPENED = "The library in Kerrow opened on 3 May 1931 with 12,000 books, and it was not closed during the war."
MOVED = "It moved to Harbour Street in 1975 under Ada Lindqvist."
EVERYTHING = f"Library\n{OPENED}\n{MOVED}"


@pytest.mark.parametrize(
    ("claim", "slip"),
    [
        ("The library in Kerrow opened on 3 May 1931 with 12,000 books.", None),
        ("The library in Kerrow opened in 1931 with 12000 books.", None),
        ("The library in Kerrow opened on 3 May 1931 with 13,000 books.", "number"),
        ("The library in Kerrow opened on 4 May 1931 with 12,000 books.", "number"),
        ("The library in Kerrow opened on 3 May 1975 with 12,000 books.", "number"),
        ("It moved to Harbour Street in 1975 under Ada Lindqvist.", None),
        ("It moved to Harbour Street in 1975 under Joan Miller.", "name"),
        (
            "The library in Kerrow opened on 3 May 1931 with 12,000 books, and it was closed during the war.",
            "negation",
        ),
        ("Its first opening took place about 90 years ago.", None),
        ("Members of the Royal Society praised it in 1999.", None),
    ],
)
def test_a_wrong_copy_is_told_from_other_words(claim: str, slip: Slip | None) -> None:
    """One number, date, name or negation amid the same words is wrong; in other words it proves nothing."""
    assert slip_of(claim, [OPENED, MOVED], everything=EVERYTHING) == slip


def test_a_number_that_stands_elsewhere_is_no_excuse() -> None:
    """The year of the move is a wrong year of the opening, though it stands in the passage."""
    assert slip_of("The library in Kerrow opened on 3 May 1975.", [OPENED], everything=EVERYTHING) == "number"


def test_without_evidence_nothing_is_plain() -> None:
    """A claim that shares nothing with what it cites is for the calibration to judge."""
    assert slip_of("Zebras gallop in 1999.", [], everything=EVERYTHING) is None
