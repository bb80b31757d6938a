"""Packing: the budget holds, more budget never loses anything, spans are the document's own text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragopt.domain import PASSAGE_SEPARATOR, Passage
from ragopt.pipeline import RankedHit
from ragopt.stages.pack import pack
from ragopt.tokens import count_tokens
from tests.fakes import ranked_hit

SENTENCE = re.compile(r"[^.]+\.")
WORDS = st.lists(
    st.sampled_from(["alpha", "beta", "gamma", "fee", "2023", "naïve", "中文", "\u200b"]), min_size=1, max_size=12
)
SENTENCES = st.lists(WORDS.map(lambda words: " ".join(words) + "."), min_size=1, max_size=6)
HITS = st.lists(SENTENCES.map(" ".join), max_size=6)


def hits_of(texts: list[str]) -> list[RankedHit]:
    return [
        ranked_hit(text, units=[match.span() for match in SENTENCE.finditer(text)], score=10.0 - n, n=n)
        for n, text in enumerate(texts)
    ]


def joined(passages: tuple[Passage, ...]) -> str:
    return PASSAGE_SEPARATOR.join(passage.text for passage in passages)


@settings(max_examples=200, deadline=None)
@given(HITS, st.integers(0, 120))
def test_the_budget_is_never_passed(texts: list[str], budget: int) -> None:
    """The joined text has at most the budget's tokens by the real tokenizer, and passages are numbered from 1."""
    passages = pack("the fee of 2023", hits_of(texts), budget_tokens=budget, count_tokens=count_tokens)
    assert count_tokens(joined(passages)) <= budget
    assert [passage.n for passage in passages] == list(range(1, len(passages) + 1))


@settings(max_examples=150, deadline=None)
@given(HITS, st.integers(0, 80), st.integers(0, 40))
def test_more_budget_never_loses_a_sentence(texts: list[str], budget: int, more: int) -> None:
    """Whatever was packed at a budget is packed at a larger one too."""
    few = pack("the fee of 2023", hits_of(texts), budget_tokens=budget, count_tokens=count_tokens)
    many = pack("the fee of 2023", hits_of(texts), budget_tokens=budget + more, count_tokens=count_tokens)
    small = {(passage.chunk_id, unit) for passage in few for unit in passage.units}
    large = {(passage.chunk_id, unit) for passage in many for unit in passage.units}
    assert small <= large


@settings(max_examples=100, deadline=None)
@given(HITS, st.integers(1, 120))
def test_spans_are_the_text(texts: list[str], budget: int) -> None:
    """A passage's text is its spans of the document joined by the separator, and each unit lies in a span."""
    for passage in pack("fee", hits_of(texts), budget_tokens=budget, count_tokens=count_tokens):
        document = texts[int(passage.document_id.removeprefix("document-"))]
        assert passage.text == " … ".join(document[start:end] for start, end in passage.spans)
        assert all(passage.source_text(*unit) == document[unit[0] : unit[1]] for unit in passage.units)
        assert passage.tokens == count_tokens(passage.text)


def test_the_hit_that_does_not_fit_gives_its_best_sentence() -> None:
    """The last passage keeps the sentence that speaks of the question, not the first one."""
    text = "Nothing of note here at all today. The late fee is eight dollars. More filler follows after that one."
    hits = hits_of([text])
    passages = pack("how much is the late fee", hits, budget_tokens=10, count_tokens=count_tokens)
    assert [passage.text.strip() for passage in passages] == ["The late fee is eight dollars."]


def test_the_same_text_is_packed_once() -> None:
    """A passage that stands in two places, or in two documents, is paid for once: the better ranked one."""
    hits = hits_of(["The fee is eight dollars.", "The  fee is\neight dollars.", "Refunds take ten days."])
    passages = pack("fee", hits, budget_tokens=100, count_tokens=count_tokens)
    assert [passage.document_id for passage in passages] == ["document-0", "document-2"]


@pytest.mark.parametrize("budget", [0, 1])
def test_nothing_fits_into_nothing(budget: int) -> None:
    """A budget below the smallest sentence packs nothing."""
    assert pack("fee", hits_of(["The fee is eight dollars."]), budget_tokens=budget, count_tokens=count_tokens) == ()
