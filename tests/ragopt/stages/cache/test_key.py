"""What divides the cache and what does not: the key is the whole truth."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragopt.domain import QueryKnobs, Question, Turn
from ragopt.stages.cache.key import APART, HARMLESS, EntryKey, Keys, normalised

QUESTION = Question("What is oil?", "acme")
KEYS = Keys("v1")


@pytest.mark.parametrize(
    "other",
    [
        replace(QUESTION, tenant="other"),
        replace(QUESTION, tenant="acme:default"),
        replace(QUESTION, tenant="acme/default"),
        replace(QUESTION, collection="other"),
        replace(QUESTION, knobs=QueryKnobs(context_tokens=801)),
        replace(QUESTION, knobs=QueryKnobs(top_k=51)),
        replace(QUESTION, knobs=QueryKnobs(fusion="score")),
        replace(QUESTION, knobs=QueryKnobs(dense_weight=0.6)),
        replace(QUESTION, model="small"),
        replace(QUESTION, max_output_tokens=100),
        replace(QUESTION, filter={"team": ("hr",)}),
        replace(QUESTION, filter={"team": ()}),
        replace(QUESTION, tier_floor="medium"),
        replace(QUESTION, tier_ceiling="medium"),
        replace(QUESTION, instructions="Answer in French."),
    ],
)
def test_whatever_decides_the_answer_divides_the_cache(other: Question) -> None:
    """Another tenant, collection, knob, model, length, filter, tier or instruction is another entry."""
    assert KEYS.of(other, "What is oil?").id != KEYS.of(QUESTION, "What is oil?").id


def test_another_scope_or_other_words_are_another_entry() -> None:
    """So an answer under another prompt, by other models, or to another question is never found."""
    ids = {KEYS.of(QUESTION, text).id for text in ("What is oil?", "What is oil")}
    assert len(ids | {Keys("v2").of(QUESTION, "What is oil?").id}) == 3


def test_who_asks_and_how_does_not_divide_the_cache() -> None:
    """Key, labels, answer id, mode, streaming and what was said before: the standalone question stands for it."""
    other = replace(
        QUESTION,
        text="And oil?",
        history=(Turn("user", "Hello"),),
        labels={"user": "u"},
        trusted_labels=frozenset({"user"}),
        key_id="k",
        answer_id="a",
        cache="read_only",
        cache_similar=False,
        cache_max_wrong=0.01,
        streamed=True,
    )
    assert KEYS.of(other, "What is oil?") == KEYS.of(QUESTION, "What is oil?")


def test_a_label_that_a_rule_asks_for_divides_the_cache() -> None:
    """It decides which model answers; other labels attribute costs."""
    keys = Keys("v1", frozenset({"team"}))
    legal, sales = (replace(QUESTION, labels={"team": team, "user": team}) for team in ("legal", "sales"))
    assert len({keys.of(question, "What is oil?").id for question in (legal, sales, QUESTION)}) == 3
    again = replace(legal, labels={"team": "legal", "user": "other"})
    assert keys.of(again, "What is oil?") == keys.of(legal, "What is oil?")


def test_a_filter_divides_by_what_it_means() -> None:
    """The same in another order is one entry; another value, or the same of another JSON type, is another."""
    asked = replace(QUESTION, filter={"team": ("hr", "it"), "year": (1,)})
    same = replace(QUESTION, filter={"year": (1.0,), "team": ("it", "hr")})
    assert KEYS.of(asked, "x") == KEYS.of(same, "x")
    others = [replace(asked, filter={**asked.filter, "year": (year,)}) for year in (2, "1", True)]
    assert len({KEYS.of(question, "x").id for question in (asked, QUESTION, *others)}) == 5


def test_a_new_field_of_a_question_divides_the_cache_until_somebody_says_otherwise() -> None:
    """A field is listed as harmless or apart, or its value decides."""

    @dataclass(frozen=True)
    class Wider(Question):
        tone: str = "plain"

    assert {item.name for item in fields(Question)} >= HARMLESS | APART
    one, other = Wider("What is oil?", "acme"), Wider("What is oil?", "acme", tone="warm")
    assert KEYS.of(one, "x").partition != KEYS.of(other, "x").partition


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is oil?", " what IS\n ｏｉｌ? "),
        ("Café", "cafe\u0301"),
    ],
)
def test_case_width_and_white_space_do_not_matter(one: str, other: str) -> None:
    """The same question typed differently is one question."""
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 10²?", "What is 102?"),
        ("What is 5⁄8 of it?", "What is 5/8 of it?"),
        ("Die Maße?", "Die Masse?"),
        ("What is ①?", "What is 1?"),
        ("co\u200bop", "coop"),
        ("What is a/b?", "What is a b?"),
    ],
)
def test_what_reads_differently_stays_apart(one: str, other: str) -> None:
    """Powers, fractions, sharp s, circled digits and invisible characters make another question."""
    assert normalised(one) != normalised(other)


@given(text=st.text())
def test_normalising_only_joins_words(text: str) -> None:
    """A normalised question has no white space but single spaces inside, and none at its ends."""
    assert normalised(f" \t{text}\n") == normalised(text)
    assert normalised(text) == " ".join(normalised(text).split())


@given(st.lists(st.text(max_size=4), min_size=8, max_size=8))
def test_parts_of_a_key_never_run_together(parts: list[str]) -> None:
    """Two keys share an id only if they are equal, whatever separators their parts hold."""
    one, other = EntryKey(*parts[:4]), EntryKey(*parts[4:])
    assert (one.id == other.id) is (one == other)
