"""What two texts must agree on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragopt.slots import is_negated, missing, slots_of


def values(text: str, kind: str) -> list[str]:
    """Return the values of one kind, each with its unit if it has one."""
    return [f"{slot.value} {slot.unit}".strip() for slot in slots_of(text) if slot.kind == kind]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It cost $8.50 for 12,000 people and US$3 million in 2004.", ["8.5 usd", "12000", "3000000 usd", "2004"]),
        ("Two hundred men ran 5 km, 41.3 % of them twice, with 20mg.", ["200", "5 m", "41.3 %", "2", "20 g"]),
        ("Between 282-801 per million, 3k users, the 20th century.", ["282", "801", "3000", "20"]),
        ("COVID-19 and B12 and 1.2.3 hold no number but the last.", ["1.2"]),
    ],
)
def test_numbers_have_values_and_units(text: str, found: list[str]) -> None:
    """Digits, words, scales and currencies are one value each; digits inside a name are none."""
    assert values(text, "number") == found


@pytest.mark.parametrize(
    "text", ["It closed on 2 November 2004.", "It closed on November 2nd, 2004.", "It closed on 2004-11-02."]
)
def test_a_date_is_one_value_however_it_is_written(text: str) -> None:
    """Its digits are no numbers of their own."""
    assert (values(text, "date"), values(text, "number")) == (["2004-11-2"], [])


def test_names_are_runs_of_capitals_that_do_not_merely_open_a_sentence() -> None:
    """A first word counts where more of a name follows, or where its own letters show it to be one."""
    text = "However, John Smith met mRNA experts. Results of Müller’s NATO visit followed. The Hague."
    assert values(text, "name") == ["john smith", "mrna", "muller", "nato", "hague"]


@pytest.mark.parametrize(
    ("claim", "evidence", "lacks"),
    [
        ("They paid 8 dollars.", "The price was $8.00.", []),
        ("They paid 8 euros.", "The price was $8.00.", ["8 euros"]),
        ("It ran 1,500 m.", "It ran 1.5 km.", []),
        ("It ran 1,500.", "It ran 1500 metres.", []),
        ("It opened in 2004.", "It opened on 3 May 2004.", []),
        ("It opened in May 2004.", "It opened on 3 May 2004.", []),
        ("It opened on 4 May.", "It opened on 3 May 2004.", ["4 May"]),
        ("It opened in June 2004.", "It opened on 3 May 2004.", ["June 2004"]),
        ("It was sold to Henry Kissinger.", "Kissinger, Henry A., bought it.", []),
        ("It was sold to John Kissinger.", "Henry Kissinger bought it.", ["John Kissinger"]),
        ("All of 24 months.", "All of two years.", []),
    ],
)
def test_what_is_claimed_must_be_known(claim: str, evidence: str, lacks: list[str]) -> None:
    """Units are converted within a dimension, parts of dates and names suffice, and nothing else does."""
    lacking = missing(slots_of(claim), evidence)
    assert [claim[slot.start : slot.end] for slot in lacking] == lacks


def test_negations_are_counted() -> None:
    """Two of them cancel out."""
    assert [is_negated(slots_of(text)) for text in ("It runs.", "It doesn't run.", "It never did not run.")] == [
        False,
        True,
        False,
    ]


@given(st.text(max_size=80))
def test_a_text_lacks_nothing_of_itself(text: str) -> None:
    """Whatever the text, its own slots are known to it, and lie inside it."""
    slots = slots_of(text)
    assert missing(slots, text) == ()
    assert all(0 <= slot.start < slot.end <= len(text) for slot in slots)
