"""Packing: the budget holds, more budget never loses value, spans are the document's own text."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragopt.domain import PASSAGE_SEPARATOR, Passage, QueryKnobs
from ragopt.results import Packed, RankedHit
from ragopt.stages.pack import pack, relevance
from ragopt.stages.pack.sequence import groups_in_order
from ragopt.stages.pack.values import valued_units
from ragopt.tokens import count_tokens
from tests.environment import campaign_examples
from tests.fakes import ranked_hit

SENTENCE = re.compile(r"[^.]+\.")
WORD_CHOICES = ["alpha", "beta", "gamma", "fee", "2023", "naïve", "中文", "\u200b", "/", "it", "a  b", "…", "\u0301x"]
WORDS = st.lists(st.sampled_from(WORD_CHOICES), min_size=1, max_size=12)
SENTENCES = st.lists(WORDS.map(lambda words: " ".join(words) + "."), min_size=1, max_size=6)
TEXTS = st.tuples(SENTENCES, st.sampled_from([" ", "\n", "\n\n", " \r\n"])).map(lambda pair: pair[1].join(pair[0]))
SCORES = st.lists(st.floats(0, 1), min_size=36, max_size=36)
HITS = st.tuples(st.lists(TEXTS, max_size=6), SCORES)
KNOBS = QueryKnobs(relevance_floor=0.0)


def hits_of(texts: list[str], unit_scores: list[float] | None = None) -> list[RankedHit]:
    hits: list[RankedHit] = []
    for n, text in enumerate(texts):
        units = [match.span() for match in SENTENCE.finditer(text)]
        scores = [(unit_scores or [0.0] * 36)[(7 * n + at) % 36] for at in range(len(units))]
        hits.append(ranked_hit(text, units=units, score=1.0 - n / 10, unit_scores=scores, n=n))
    return hits


def packed(question: str, hits: list[RankedHit], **knobs: float) -> Packed:
    return pack(question, hits, knobs=replace(KNOBS, **knobs), count_tokens=count_tokens)


def joined(passages: tuple[Passage, ...]) -> str:
    return PASSAGE_SEPARATOR.join(passage.text for passage in passages)


def documents_of(result: Packed) -> list[str]:
    return [passage.document_id for passage in result.passages]


def units_of(passages: tuple[Passage, ...]) -> set[tuple[int, tuple[int, int]]]:
    return {(int(passage.chunk_id.removeprefix("chunk-")), unit) for passage in passages for unit in passage.units}


@pytest.mark.campaign
@settings(max_examples=campaign_examples(2_000), deadline=None)
@given(HITS, st.integers(0, 120), st.sampled_from([0.0, 0.5, 0.9]))
def test_the_budget_is_never_passed(hits: tuple[list[str], list[float]], budget: int, floor: float) -> None:
    """The joined text has at most the budget's tokens by the real tokenizer, and passages are numbered from 1."""
    found = hits_of(*hits)
    first = packed("the fee of 2023", found, context_tokens=budget, relevance_floor=floor)
    assert count_tokens(joined(first.passages)) <= budget
    assert [passage.n for passage in first.passages] == list(range(1, len(first.passages) + 1))
    assert packed("the fee of 2023", found, context_tokens=budget, relevance_floor=floor) == first


@settings(max_examples=150, deadline=None)
@given(HITS, st.integers(0, 80), st.integers(0, 40))
def test_more_budget_never_loses_value(hits: tuple[list[str], list[float]], budget: int, more: int) -> None:
    """What is packed at a larger budget is worth at least as much."""
    found = hits_of(*hits)
    distinct = [hit for n, hit in enumerate(found) if is_first(n, found)]
    order = groups_in_order(
        valued_units("the fee of 2023", distinct), distinct, redundancy=KNOBS.redundancy, count_tokens=count_tokens
    )
    values = {
        (int(distinct[unit.hit].hit.chunk.id.removeprefix("chunk-")), distinct[unit.hit].hit.chunk.units[unit.at]): (
            group.value if unit is group.lead else 0.0
        )
        for group in order
        for unit in group.units
    }
    few, many = (packed("the fee of 2023", found, context_tokens=size).passages for size in (budget, budget + more))
    worth = [sum(values[unit] for unit in units_of(passages)) for passages in (few, many)]
    assert worth[0] <= worth[1] + 1e-9


def is_first(n: int, hits: list[RankedHit]) -> bool:
    texts = [" ".join(hit.hit.chunk.text.split()) for hit in hits]
    return texts.index(texts[n]) == n


@settings(max_examples=100, deadline=None)
@given(HITS, st.integers(1, 120))
def test_spans_are_the_text(hits: tuple[list[str], list[float]], budget: int) -> None:
    """A passage's text is its spans of the document joined by the separator, and each unit lies in a span."""
    for passage in packed("fee", hits_of(*hits), context_tokens=budget).passages:
        document = hits[0][int(passage.document_id.removeprefix("document-"))]
        assert passage.text == " … ".join(document[start:end] for start, end in passage.spans)
        assert all(passage.source_text(*unit) == document[unit[0] : unit[1]] for unit in passage.units)
        assert passage.tokens == count_tokens(passage.text)


def test_the_sentence_that_matches_is_taken_before_its_neighbours() -> None:
    """Where a chunk does not fit, what is packed of it speaks of the question."""
    text = "Nothing of note here at all today. The late fee is eight dollars. More filler follows after that one."
    result = packed("how much is the late fee", hits_of([text]), context_tokens=10)
    assert [passage.text.strip() for passage in result.passages] == ["The late fee is eight dollars."]
    assert result.stopped_by == "budget"


def test_the_same_text_is_packed_once() -> None:
    """A passage that stands in two places, or in two documents, is paid for once: the better ranked one."""
    hits = hits_of(["The fee is eight dollars.", "The  fee is\neight dollars.", "Refunds take ten days."])
    passages = packed("fee", hits, context_tokens=100).passages
    assert [passage.document_id for passage in passages] == ["document-0", "document-2"]


def test_a_sentence_that_repeats_another_comes_later() -> None:
    """Of two sentences of nearly one value, the one that says something new is taken first."""
    first = "The late fee for a returned book is eight dollars."
    texts = [first, "Any late fee for a returned book is eight dollars.", "Refunds take ten working days each."]
    hits = [replace(hit, score=0.8, unit_scores=(0.5,) * len(hit.unit_scores)) for hit in hits_of(texts)]
    room = count_tokens(PASSAGE_SEPARATOR.join(texts[:2]))
    documents = {
        redundancy: documents_of(packed("late fee", hits, context_tokens=room, redundancy=redundancy))
        for redundancy in (0.0, 0.3)
    }
    assert documents == {0.0: ["document-0", "document-1"], 0.3: ["document-0", "document-2"]}


def test_what_is_much_less_relevant_is_left_out() -> None:
    """An easy question uses less than its budget, and the result says that relevance ended it."""
    hits = [
        replace(hit, score=score)
        for hit, score in zip(hits_of(["The fee is 8.", "Cats sleep."]), (0.9, 0.2), strict=True)
    ]
    easy = packed("fee", hits, context_tokens=500, relevance_floor=0.5)
    assert (documents_of(easy), easy.stopped_by) == (["document-0"], "relevance")
    full = packed("fee", hits, context_tokens=500)
    assert (documents_of(full), full.stopped_by) == (
        ["document-0", "document-1"],
        "exhausted",
    )


def test_a_sentence_that_leans_brings_the_one_before() -> None:
    """What begins with "It" is not packed without the sentence that says what "it" is."""
    text = "The premium card has a yearly price. It costs eight dollars in all shops. Opening hours are long."
    hits = [replace(hits_of([text])[0], unit_scores=(0.1, 0.9, 0.0))]
    passages = packed("what is paid", hits, context_tokens=20).passages
    assert passages[0].text == "The premium card has a yearly price. It costs eight dollars in all shops."


def test_chunks_that_follow_on_one_another_stand_together() -> None:
    """The third best passage comes before the second if it continues the first in the same document."""
    one, other, two = hits_of(["First part here.", "Elsewhere entirely.", "Second part here."])
    chunk = replace(two.hit.chunk, document_id="document-0", start=18, end=35, units=((18, 35),))
    hits = [one, other, replace(two, hit=replace(two.hit, chunk=chunk))]
    assert [item.chunk_id for item in packed("part", hits, context_tokens=100).passages] == [
        "chunk-0",
        "chunk-2",
        "chunk-1",
    ]


@pytest.mark.parametrize("budget", [0, 1])
def test_nothing_fits_into_nothing(budget: int) -> None:
    """A budget below the smallest sentence packs nothing, and neither do no hits."""
    assert packed("fee", hits_of(["The fee is eight dollars."]), context_tokens=budget) == Packed((), "budget")
    assert packed("fee", [], context_tokens=budget) == Packed((), "exhausted")


def test_where_nothing_is_relevant_nothing_is_packed() -> None:
    """A question whose best hit is far from it gets no passages and is told so; a nearer one gets them."""
    hits = [replace(hit, similarity=0.3) for hit in hits_of(["Cats sleep all day.", "Dogs bark at night."])]
    assert relevance(hits) == pytest.approx(0.4)  # the mean of 0.3 and the hits' cosine, 0.5
    assert packed("late fee", hits, context_tokens=100, min_relevance=0.41) == Packed((), "irrelevant")
    assert len(packed("late fee", hits, context_tokens=100, min_relevance=0.39).passages) == 2
