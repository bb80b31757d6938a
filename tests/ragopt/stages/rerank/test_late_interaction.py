"""Late-interaction reranking."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np

from indexes.records import EncodedQuestion
from ragopt.domain import QueryKnobs
from ragopt.results import Retrieved
from ragopt.stages.rerank.late_interaction import late_interaction, rerank, standardised
from ragopt.telemetry import Trace
from tests.ragopt.stages.rerank.hits import retrieved


def test_the_text_with_the_questions_words_comes_first() -> None:
    """A hit that fusion put last is first if its tokens match best."""
    found = retrieved("late fee", ["cats sleep", "dogs bark", "the late fee is eight"])
    ranked = asyncio.run(rerank("late fee", found, knobs=QueryKnobs(), trace=Trace("r")))
    assert ranked[0].hit.chunk.text == "the late fee is eight"
    assert [item.score for item in ranked] == sorted((item.score for item in ranked), reverse=True)


def test_no_hit_is_lost_or_doubled() -> None:
    """Reranking is a permutation; none of nothing is nothing."""
    texts = [f"text number {n}" for n in range(20)]
    assert sorted(item.hit.chunk.text for item in late_interaction(retrieved("number 7", texts))) == sorted(texts)
    empty = EncodedQuestion(np.zeros(64, np.float32), np.zeros((0, 128), np.float32), np.zeros(0, np.float32))
    assert late_interaction(Retrieved(empty, (), 0)) == []


def test_repeated_text_comes_in_reading_order() -> None:
    """Chunks of equal score are ordered by their place, so that the same question has the same context."""
    found = retrieved("late fee", ["late fee", "late fee", "late fee"])
    places = {"c0": 20, "c1": 0, "c2": 10}
    hits = tuple(replace(hit, chunk=replace(hit.chunk, start=places[hit.chunk.id])) for hit in found.hits)
    ranked = late_interaction(replace(found, hits=hits))
    assert [item.hit.chunk.start for item in ranked] == [0, 10, 20]


def test_missing_scores_count_as_the_lowest() -> None:
    """A hit that only one search found is not above the ones both found."""
    z = standardised([3.0, None, 1.0])
    assert z[1] == z[2] < z[0]
    assert standardised([None, None]).tolist() == [0.0, 0.0]
    assert standardised([2.0, 2.0]).tolist() == [0.0, 0.0]
