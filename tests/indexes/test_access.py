"""Readers and lists, without an index: who may read what, and which readers are the same to a collection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.access import (
    ANYONE,
    EVERYBODY,
    EVERYTHING,
    MAX_NAMED,
    Access,
    Reader,
    bound,
    keyword,
    keywords_of,
    named,
    told_apart,
)

PRINCIPALS = st.sampled_from(
    [
        "group:hr",
        "group:HR",
        "group:hr ",
        "group:*",
        "user:hr",
        "everybody",
        '"group:hr"',
        'group:hr","group:eng',
        "group:ｈｒ",
        "sha256:" + "0" * 64,
        "x" * 300,
        "x" * 301,
    ]
)
LISTS: st.SearchStrategy[Access] = st.one_of(st.none(), st.frozensets(PRINCIPALS, max_size=4).map(tuple))
READERS = st.one_of(st.just(EVERYTHING), st.frozensets(PRINCIPALS, max_size=4).map(Reader.of))


@given(READERS, LISTS)
def test_keywords_say_what_the_rule_says(reader: Reader, access: Access) -> None:
    """A point carries one of a reader's keywords exactly where the reader may read it, whatever names look like."""
    found = reader.everything or not set(reader.keywords()).isdisjoint(keywords_of(access))
    assert found == reader.may_read(access)


@given(READERS, st.frozensets(PRINCIPALS, max_size=4), LISTS)
def test_narrowing_never_widens(reader: Reader, principals: frozenset[str], access: Access) -> None:
    """What a narrowed reader reads, the reader reads too, and only by the principals it was narrowed to."""
    narrow = reader.narrowed(principals)
    assert reader.covers(narrow)
    assert not narrow.may_read(access) or (reader.may_read(access) and Reader.of(principals).may_read(access))


@given(READERS, READERS, LISTS)
def test_who_covers_another_reads_all_of_it(one: Reader, other: Reader, access: Access) -> None:
    """A reader that covers another may read whatever that one may; joined readers cover both."""
    both = one.joined(other)
    assert both.covers(one)
    assert both.covers(other)
    assert both.may_read(access) == (one.may_read(access) or other.may_read(access))
    assert not one.covers(other) or one.may_read(access) or not other.may_read(access)


@given(READERS, st.lists(LISTS, max_size=6))
def test_a_reader_that_is_told_apart_reads_the_same(reader: Reader, lists: list[Access]) -> None:
    """Of a collection's own documents it reads as many as before; without any list everybody is the same."""
    apart = told_apart(reader, named((), lists))
    assert [apart.may_read(access) for access in lists] == [reader.may_read(access) for access in lists]
    assert reader.covers(apart)
    assert apart == ANYONE or any(access is not None for access in lists)


@given(READERS, st.lists(LISTS, max_size=6))
def test_what_a_search_is_held_by_reads_the_same(reader: Reader, lists: list[Access]) -> None:
    """A reader is let read everything of a collection only where it may; one list binds it."""
    held = bound(reader, named((), lists))
    assert [held.may_read(access) for access in lists] == [reader.may_read(access) for access in lists]
    assert held == (reader if any(access is not None for access in lists) else EVERYTHING)


def test_too_many_names_are_not_kept() -> None:
    """Beyond the bound every reader is told apart from every other, for good."""
    many = named((), [tuple(f"user:{n}" for n in range(MAX_NAMED + 1))])
    assert many is None
    assert named(many, [("group:hr",)]) is None
    assert told_apart(Reader.of(["user:x"]), many) == Reader.of(["user:x"])
    assert told_apart(EVERYTHING, many) == EVERYTHING
    assert bound(ANYONE, many) == ANYONE


@pytest.mark.parametrize("principal", ["a", EVERYBODY, "x" * 500, "日本" * 90, "\U0001f600" * 40])
def test_keywords_are_short_and_no_two_principals_share_one(principal: str) -> None:
    """Printable ASCII of at most 200 characters, never the keyword of everybody."""
    made = keyword(principal)
    assert made.isascii()
    assert made.isprintable()
    assert len(made) <= 200
    assert made not in (EVERYBODY, keyword(principal + "x"))
