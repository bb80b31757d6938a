"""Fusion by rank and by score."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.fusion import PLAIN_RRF, Fusion, FusionMethod, reciprocal_rank_fusion, score_fusion, settled

RANKING = st.lists(st.sampled_from("abcdefghij"), unique=True)
# As an engine gives them: cosines in [-1, 1], BM25 scores above 0, on a grid that ties.
COSINES = st.dictionaries(st.sampled_from("abcdefghij"), st.integers(-20, 20).map(lambda n: n / 20))
BM25S = st.dictionaries(st.sampled_from("abcdefghij"), st.integers(1, 400).map(lambda n: n / 20))
WEIGHTS = st.floats(0, 1)
METHODS: tuple[FusionMethod, ...] = ("rrf", "score")


def ids(fused: list[tuple[str, float]]) -> list[str]:
    """Return the ids of a fused ranking."""
    return [item for item, _ in fused]


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


@given(COSINES, BM25S, st.integers(1, 12))
def test_equal_weights_rank_as_plain_fusion(dense: dict[str, float], bm25: dict[str, float], limit: int) -> None:
    """A weight of 0.5 is reciprocal rank fusion as published: same ids, same order."""
    rankings = [settled(list(scores.items()), limit=limit) for scores in (dense, bm25)]
    assert ids(PLAIN_RRF.fused(dense, bm25, limit=limit)) == ids(reciprocal_rank_fusion(rankings))[:limit]


def test_weights_multiply_their_ranking() -> None:
    """0.8 and 0.2 weigh the two shares of the sum, and every ranking needs a weight."""
    fused = dict(reciprocal_rank_fusion([["a", "b"], ["b", "a"]], weights=[0.8, 0.2]))
    assert fused["a"] == pytest.approx(0.8 / 61 + 0.2 / 62)
    with pytest.raises(ValueError, match="shorter"):
        reciprocal_rank_fusion([["a"], ["b"]], weights=[1.0])


@pytest.mark.parametrize("method", METHODS)
@given(dense=COSINES, bm25=BM25S, weight=WEIGHTS, limit=st.integers(1, 12))
def test_fusion_returns_the_best_once_in_falling_order(
    method: FusionMethod, *, dense: dict[str, float], bm25: dict[str, float], weight: float, limit: int
) -> None:
    """Nothing is doubled or made up, nothing is lost below the limit, and the order is that of the scores."""
    fused = Fusion(method, weight).fused(dense, bm25, limit=limit)
    assert len(set(ids(fused))) == len(fused) == min(limit, len({*dense, *bm25}))
    assert set(ids(fused)) <= {*dense, *bm25}
    rounded = [round(score, 4) for _, score in fused]
    assert rounded == sorted(rounded, reverse=True)


@pytest.mark.parametrize("method", METHODS)
@given(dense=COSINES, bm25=BM25S)
def test_all_the_weight_is_one_ranking(method: FusionMethod, dense: dict[str, float], bm25: dict[str, float]) -> None:
    """With all the weight on one side its ranking comes first, in its own order."""
    for weight, scores in ((1.0, dense), (0.0, bm25)):
        ranked = ids(Fusion(method, weight).fused(dense, bm25, limit=20))
        above = [item for item in ranked if item in scores and scores[item] > min(scores.values())]
        assert above == settled(list(scores.items()), limit=20)[: len(above)]
        assert above == ranked[: len(above)]


@given(dense=COSINES, bm25=BM25S, weight=WEIGHTS, scale=st.integers(1, 9), offset=st.floats(-0.5, 0.5))
def test_scale_and_offset_of_cosines_do_not_matter(
    *, dense: dict[str, float], bm25: dict[str, float], weight: float, scale: int, offset: float
) -> None:
    """An embedder whose cosines lie in another part of the range fuses to the same scores."""
    moved = {item: score / scale + offset for item, score in dense.items()}
    plain = dict(score_fusion(dense, bm25, dense_weight=weight, limit=20))
    assert dict(score_fusion(moved, bm25, dense_weight=weight, limit=20)) == pytest.approx(plain, abs=1e-9)


def test_scores_are_the_published_sum() -> None:
    """Scores are stretched between the least and the best of their list; what a list lacks has 0 there."""
    dense, bm25 = {"a": 0.9, "b": 0.5, "c": 0.1}, {"c": 12.0, "d": 8.0, "e": 4.0}
    fused = dict(score_fusion(dense, bm25, dense_weight=0.6, limit=3))
    assert fused == pytest.approx({"a": 0.6, "c": 0.4, "b": 0.3})
    assert dict(score_fusion(dense, bm25, dense_weight=0.6, limit=9))["e"] == pytest.approx(0.4 * 4 / 12)


@pytest.mark.parametrize("method", METHODS)
def test_one_empty_list_leaves_the_other(method: FusionMethod) -> None:
    """A question whose words are nowhere keeps its dense ranking, and no hits at all are no hits."""
    scores = {"a": 0.2, "b": 0.9, "c": 0.5}
    assert ids(Fusion(method).fused(scores, {}, limit=2)) == ["b", "c"]
    assert ids(Fusion(method).fused({}, scores, limit=2)) == ["b", "c"]
    assert Fusion(method).fused({}, {}, limit=2) == []
