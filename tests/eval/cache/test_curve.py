"""Duplicates served at a share of wrong answers, against the plain way to count them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.cache.curve import calibrated, interval_of, resamples, served_at

pairs = st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.8, 0.9]), st.booleans()), min_size=1, max_size=40)


def plainly(scores: list[float], same: list[bool], max_wrong: float) -> float:
    """Return the same figure by trying every threshold."""
    best = 0.0
    for threshold in set(scores):
        served = [right for score, right in zip(scores, same, strict=True) if score >= threshold]
        if served.count(False) <= max_wrong * len(served):
            best = max(best, served.count(True) / max(1, same.count(True)))
    return best


@given(pairs, st.sampled_from([0.0, 0.05, 0.1, 0.5]))
def test_the_best_threshold_is_found(rows: list[tuple[float, bool]], max_wrong: float) -> None:
    """It serves as many duplicates as any threshold does within the share of wrong ones; equal scores stay together."""
    scores, same = [score for score, _ in rows], [right for _, right in rows]
    found = served_at(np.array(scores), np.array(same), max_wrong=max_wrong)
    assert found.tolist() == [pytest.approx(plainly(scores, same, max_wrong))]


def test_a_resample_counts_as_its_pairs() -> None:
    """A pair that is drawn twice counts twice, one that is not drawn not at all."""
    scores, same = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, True])
    counts = np.array([[1, 1, 1, 1], [2, 0, 1, 1], [0, 2, 1, 1]])
    rows = [[0.9, 0.8, 0.7, 0.6], [0.9, 0.9, 0.7, 0.6], [0.8, 0.8, 0.7, 0.6]]
    labels = [[True, False, True, True], [True] * 4, [False, False, True, True]]
    expected = [plainly(row, label, 0.3) for row, label in zip(rows, labels, strict=True)]
    assert served_at(scores, same, max_wrong=0.3, counts=counts).tolist() == expected
    drawn = resamples(4, seed=1)
    assert sum(len(rows) for rows in drawn) == 1_000
    assert all((rows.sum(axis=1) == 4).all() for rows in drawn)


def test_an_interval_holds_its_value() -> None:
    """The limits are percentiles, widened to the value where that lies outside."""
    assert interval_of(0.5, np.linspace(0, 1, 1001)).low == pytest.approx(0.025)
    assert interval_of(2.0, np.array([0.0, 1.0])).high == 2.0


def test_calibrated_levels_serve_within_the_bound() -> None:
    """A score that means something is let serve in every split, one that guesses in none; few pairs are halved."""
    rng = np.random.default_rng(2)
    scores = rng.random(2_000)
    same = rng.random(2_000) < 1 / (1 + np.exp(-40 * (scores - 0.5)))
    good = calibrated(scores, same, max_wrong=0.1, seed=0)
    assert min(good.served) > 0.5
    assert sum(limit <= 0.1 for limit in good.limits) >= 19
    blind = calibrated(scores, rng.random(2_000) < 0.5, max_wrong=0.1, seed=0)
    assert max(blind.served) == max(blind.limits) == 0
    assert len(calibrated(scores[:50], same[:50], max_wrong=0.1, seed=0).wrong) == 20
