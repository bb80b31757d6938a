"""Metadata as keywords: what is the same value, and what is not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.facets import MAX_FACET_CHARS, facet, facets_of, wanted_facets
from indexes.records import Scalar

SCALARS: st.SearchStrategy[Scalar] = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.text()
)


def same(left: Scalar, right: Scalar) -> bool:
    """Return whether JSON has two scalars for one value."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


@given(st.text(), SCALARS, st.text(), SCALARS)
def test_keywords_are_equal_where_key_and_value_are(key: str, value: Scalar, other: str, another: Scalar) -> None:
    """Two keywords are one if and only if key and value are, whatever signs a key holds."""
    assert (facet(key, value) == facet(other, another)) == (key == other and same(value, another))


@pytest.mark.parametrize("values", [(1, 1.0), (0, -0.0), (2**60, 2.0**60), (-3, -3.0)])
def test_whole_numbers_are_numbers(values: tuple[Scalar, Scalar]) -> None:
    """1 and 1.0 are one number, as in JSON, at any size."""
    assert facet("n", values[0]) == facet("n", values[1])


def test_json_types_are_kept_apart() -> None:
    """A number, a string that looks like it, and a boolean are three values; so are strings of other case."""
    values: tuple[Scalar, ...] = (1, "1", True, "true", "True", 0, False, "", "1.0", 1.5)
    assert len({facet("n", value) for value in values}) == len(values)


@given(st.text(max_size=600), st.text(max_size=600))
def test_keywords_are_short_ascii(key: str, value: str) -> None:
    """A keyword is printable ASCII of bounded length: a long text is replaced by its digest."""
    keyword = facet(key, value)
    assert len(keyword) <= MAX_FACET_CHARS
    assert keyword.isascii()
    assert keyword.isprintable()


def test_a_digest_is_no_plain_keyword() -> None:
    """A document that has another one's digest for a value does not match its filter."""
    digest = facet("k", "x" * 1_000)
    assert digest.startswith("sha256:")
    assert json.loads(facet("k", digest)) == ["k", digest]


def test_filters_that_mean_the_same_are_the_same() -> None:
    """Order, repeats and the spelling of a number do not matter; a key with no value at all stays."""
    one = wanted_facets({"year": (2024, 2023.0, 2023), "team": ("hr",)})
    assert one == wanted_facets({"team": ("hr", "hr"), "year": (2023, 2024)})
    assert one == [('["team", "hr"]',), ('["year", 2023]', '["year", 2024]')]
    assert wanted_facets({}) == []
    assert wanted_facets({"team": ()}) == [()]


def test_metadata_gives_one_keyword_a_key() -> None:
    """A document's keywords are sorted; no metadata gives none."""
    assert facets_of({"year": 2023, "team": "hr"}) == ['["team", "hr"]', '["year", 2023]']
    assert facets_of({}) == []
