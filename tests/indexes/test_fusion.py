"""Reciprocal rank fusion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.fusion import reciprocal_rank_fusion, settled

RANKING = st.lists(st.sampled_from("abcdefghij"), unique=True)


def test_the_score_is_the_published_sum() -> None:
    """1/(60+1) + 1/(60+2) for first in one list and second in the other."""
    fused = dict(reciprocal_rank_fusion([["a", "b"], ["b", "a"], ["c"]]))
    assert fused["a"] == pytest.approx(1 / 61 + 1 / 62)
    assert fused["c"] == pytest.approx(1 / 61)


def test_nothing_fuses_to_nothing() -> None:
    """No rankings and empty rankings give an empty ranking."""
    assert reciprocal_rank_fusion([]) == reciprocal_rank_fusion([[], []]) == []


@given(st.lists(RANKING, max_size=3))
def test_every_id_appears_once_in_falling_order(rankings: list[list[str]]) -> None:
    """Fusion loses and doubles nothing."""
    fused = reciprocal_rank_fusion(rankings)
    assert sorted(item for item, _ in fused) == sorted({item for ranking in rankings for item in ranking})
    assert [score for _, score in fused] == sorted((score for _, score in fused), reverse=True)


@given(RANKING)
def test_a_ranking_fused_with_itself_keeps_its_order(ranking: list[str]) -> None:
    """Agreement changes nothing."""
    assert [item for item, _ in reciprocal_rank_fusion([ranking, ranking])] == ranking


@given(st.permutations([("d", 2.0), ("b", 1.00001), ("a", 1.00002), ("c", 1.0), ("e", 0.5)]))
def test_ties_are_settled_the_same_way_in_any_order(scored: list[tuple[str, float]]) -> None:
    """Whatever order an engine returns equal scores in, the same ids are kept in the same order."""
    assert settled(scored, limit=3) == ["d", "a", "b"]
