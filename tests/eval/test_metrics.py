"""Span metrics against counting characters one by one."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.metrics import Overlap, length, merged, overlap, shared_length
from indexes.records import Span

spans = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1])))
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
