"""Span metrics against counting characters one by one; ranking metrics against values worked out by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import ir_measures
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.metrics import Overlap, length, merged, ndcg_at, overlap, recall_at, reciprocal_rank_at, shared_length
from indexes.records import Span

spans = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1])))
rankings = st.lists(st.sampled_from("abcdefgh"), unique=True)
graded = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(-1, 4))
depths = st.integers(1, 10)
documents = st.dictionaries(st.sampled_from(["a", "b", "c"]), spans)


def characters(grouped: dict[str, list[Span]]) -> set[tuple[str, int]]:
    """Return every character of the spans, one by one."""
    return {(name, at) for name, parts in grouped.items() for start, end in parts for at in range(start, end)}


def test_a_context_that_is_the_reference_scores_one() -> None:
    """Recall, precision and IoU of the reference itself are 1."""
    counted = overlap({"a": [(3, 9)]}, {"a": [(3, 9)]})
    assert (counted.recall(), counted.precision(), counted.iou()) == (1.0, 1.0, 1.0)


def test_known_values() -> None:
    """Six of ten reference characters in twelve sent characters: recall 0.6, precision 0.5, IoU 6 of 16."""
    counted = overlap({"a": [(4, 16)]}, {"a": [(0, 10)]})
    assert counted == Overlap(reference=10, context=12, shared=6)
    assert counted.recall() == pytest.approx(0.6)
    assert counted.precision() == pytest.approx(0.5)
    assert counted.iou() == pytest.approx(6 / 16)


def test_a_span_of_another_document_is_not_shared() -> None:
    """The same offsets in another document lower precision and leave recall."""
    counted = overlap({"a": [(0, 10)], "b": [(0, 10)]}, {"a": [(0, 10)]})
    assert (counted.recall(), counted.precision()) == (1.0, 0.5)


def test_text_sent_twice_costs_precision() -> None:
    """A character sent twice counts twice in the context and once in what is shared."""
    counted = overlap({"a": [(0, 10), (0, 10)]}, {"a": [(0, 10)]})
    assert (counted.recall(), counted.precision(), counted.iou()) == (1.0, 0.5, 0.5)


def test_overlapping_references_count_once() -> None:
    """Reference spans that overlap are one reference."""
    assert overlap({"a": [(0, 20)]}, {"a": [(0, 10), (5, 15)]}).reference == 15


def test_a_missing_result_scores_zero() -> None:
    """No context at all scores 0 everywhere, and so does a context without any reference."""
    nothing = overlap({}, {"a": [(0, 10)]})
    unasked = overlap({"a": [(0, 10)]}, {})
    for counted in (nothing, unasked, overlap({}, {})):
        assert (counted.recall(), counted.precision(), counted.iou()) == (0.0, 0.0, 0.0)


@given(documents, documents)
def test_overlap_is_what_counting_characters_gives(
    context: dict[str, list[Span]], reference: dict[str, list[Span]]
) -> None:
    """Shared and reference characters equal those of sets of single characters."""
    counted = overlap(context, reference)
    assert counted.reference == len(characters(reference))
    assert counted.shared == len(characters(reference) & characters(context))
    assert counted.context == sum(length(parts) for parts in context.values())
    assert 0 <= counted.iou() <= min(counted.recall(), counted.precision()) <= 1


@given(spans)
def test_merged_spans_are_ascending_disjoint_and_cover_the_same(parts: list[Span]) -> None:
    """Merging keeps every character once, in order, with a gap between spans."""
    union = merged(parts)
    assert characters({"a": union}) == characters({"a": parts})
    assert all(left[1] < right[0] for left, right in pairwise(union))
    assert shared_length(union, union) == length(union)


def test_ndcg_of_a_known_ranking() -> None:
    """Grades 3, none, 1 against the ideal 3, 2, 1, over the logarithms of 2, 3, 4 to base 2."""
    ideal = 3 + 2 / math.log2(3) + 1 / 2
    assert ndcg_at(["a", "x", "c"], {"a": 3, "b": 2, "c": 1}, k=10) == pytest.approx((3 + 1 / 2) / ideal)
    assert ndcg_at(["x", "a"], {"a": 1}, k=10) == pytest.approx(1 / math.log2(3))


def test_ndcg_looks_no_deeper_than_k() -> None:
    """A relevant document at rank k + 1 gains nothing, and the ideal has k documents too."""
    assert ndcg_at(["x", "y", "a"], {"a": 1}, k=2) == 0
    assert ndcg_at(["a", "b"], {"a": 1, "b": 1, "c": 1}, k=2) == 1


def test_recall_divides_by_all_that_is_relevant() -> None:
    """Two of three relevant documents within the first two are two thirds; a grade of 0 is not relevant."""
    grades = {"a": 2, "b": 1, "c": 1, "d": 0}
    assert recall_at(["a", "b", "c"], grades, k=2) == pytest.approx(2 / 3)
    assert recall_at(["d"], grades, k=2) == 0


def test_rankings_without_a_chance_score_zero() -> None:
    """An empty ranking scores 0, and so does any ranking where nothing is relevant."""
    for ranking, grades in (([], {"a": 1}), (["a"], {}), (["a"], {"a": 0}), (["a"], {"a": -1})):
        assert (ndcg_at(ranking, grades, k=10), recall_at(ranking, grades, k=20)) == (0, 0)
        assert reciprocal_rank_at(ranking, grades, k=10) == 0


@given(rankings, graded, depths)
def test_ranking_scores_are_shares(ranking: list[str], grades: dict[str, int], k: int) -> None:
    """Both lie in [0, 1], and the documents in the order of their grades reach 1 in nDCG if one is relevant."""
    assert 0 <= ndcg_at(ranking, grades, k=k) <= 1 + 1e-12
    assert 0 <= recall_at(ranking, grades, k=k) <= 1
    ideal = sorted(grades, key=lambda item: -grades[item])
    assert ndcg_at(ideal, grades, k=k) == (1 if max(grades.values(), default=0) > 0 else 0)


@given(rankings, graded, depths)
def test_a_better_document_earlier_never_lowers_ndcg(ranking: list[str], grades: dict[str, int], k: int) -> None:
    """Swapping two neighbours into the order of their grades never lowers nDCG, nor does a larger k lower recall."""
    for at in range(len(ranking) - 1):
        first, second = sorted(ranking[at : at + 2], key=lambda item: -grades.get(item, 0))
        swapped = [*ranking[:at], first, second, *ranking[at + 2 :]]
        assert ndcg_at(swapped, grades, k=k) >= ndcg_at(ranking, grades, k=k) - 1e-12
    assert recall_at(ranking, grades, k=k) <= recall_at(ranking, grades, k=k + 1)


def test_the_reciprocal_rank_is_that_of_the_first_relevant_document() -> None:
    """The first relevant document at rank 3 gives a third, whatever follows; at a depth of 2 it gives nothing."""
    grades = {"x": 0, "c": 1, "d": 3}
    assert reciprocal_rank_at(["x", "y", "c", "d"], grades, k=10) == pytest.approx(1 / 3)
    assert reciprocal_rank_at(["x", "y", "c", "d"], grades, k=2) == 0


@given(rankings, graded, depths)
def test_ranking_scores_are_those_of_trec_eval(ranking: list[str], grades: dict[str, int], k: int) -> None:
    """nDCG, recall and reciprocal rank at any depth are what ir_measures, over trec_eval, gives."""
    nobody = [ir_measures.Qrel("q", "nobody", 0)]  # trec_eval leaves out a question without a judgement
    qrels = [ir_measures.Qrel("q", item, grade) for item, grade in grades.items()]
    run = [ir_measures.ScoredDoc("q", item, -float(rank)) for rank, item in enumerate(ranking)]
    nobodys = [ir_measures.ScoredDoc("q", "nobody", -100.0)]
    measures = [ir_measures.nDCG @ k, ir_measures.R @ k, ir_measures.RR @ k]
    theirs = ir_measures.calc_aggregate(measures, qrels + nobody, run + nobodys)
    assert ndcg_at(ranking, grades, k=k) == pytest.approx(theirs[ir_measures.nDCG @ k])
    assert recall_at(ranking, grades, k=k) == pytest.approx(theirs[ir_measures.R @ k])
    assert reciprocal_rank_at(ranking, grades, k=k) == pytest.approx(theirs[ir_measures.RR @ k])
