"""Bootstrap intervals: known values, seeds, and what cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.intervals import Interval, bootstrap, exact, paired_difference, paired_ratio, percentile_of

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)


@given(values, st.integers(0, 2**31))
def test_an_interval_lies_within_the_sample_and_around_its_mean(sample: list[float], seed: int) -> None:
    """The value is the sample's mean and the bounds are ordered and within the sample's range."""
    interval = bootstrap(sample, seed=seed)
    slack = 1e-9 * max(1.0, *(abs(value) for value in sample))
    assert interval.value == pytest.approx(float(np.mean(sample)), abs=slack)
    assert min(sample) - slack <= interval.low <= interval.high <= max(sample) + slack


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    """Intervals are drawn from the seed and from nothing else."""
    sample = list(np.random.default_rng(1).normal(size=50))
    assert bootstrap(sample, seed=7) == bootstrap(sample, seed=7)
    assert bootstrap(sample, seed=7) != bootstrap(sample, seed=8)


def test_the_width_is_that_of_the_normal_approximation() -> None:
    """For a large sample of a mean the bounds are 1.96 standard errors away, within a tenth."""
    sample = np.random.default_rng(3).normal(size=2_000)
    interval = bootstrap(sample.tolist(), seed=0)
    standard_error = sample.std() / np.sqrt(len(sample))
    assert (interval.high - interval.low) / (2 * 1.96 * standard_error) == pytest.approx(1, abs=0.1)


def test_a_large_sample_is_resampled_in_parts() -> None:
    """A sample larger than what is resampled at once still gives a narrow interval around its mean."""
    sample = np.random.default_rng(4).normal(5, 1, size=30_000)
    interval = bootstrap(sample.tolist(), seed=0)
    assert interval.low < interval.value < interval.high
    assert interval.high - interval.low < 0.05


def test_percentiles_have_intervals_too() -> None:
    """The value of a percentile is the sample's own, by linear interpolation."""
    sample = [float(value) for value in range(101)]
    interval = bootstrap(sample, seed=0, statistic=percentile_of(95))
    assert interval.value == 95.0
    assert interval.low < 95 < interval.high


def test_one_value_has_no_width() -> None:
    """One value, like a counted one, is its own interval."""
    assert bootstrap([0.25], seed=0) == exact(0.25) == Interval(0.25, 0.25, 0.25)


def test_no_values_is_an_error() -> None:
    """An empty sample is refused: its mean would be nan."""
    with pytest.raises(ValueError, match="at least one"):
        bootstrap([], seed=0)


def test_a_constant_difference_is_certain_where_each_side_is_not() -> None:
    """Pairs that differ by the same amount give an interval of no width, however they scatter."""
    theirs = list(np.random.default_rng(5).normal(size=30))
    interval = paired_difference([value + 2 for value in theirs], theirs, seed=0)
    assert interval.low == pytest.approx(2)
    assert interval.high == pytest.approx(2)


def test_pairs_must_match() -> None:
    """Sides of different length are not pairs."""
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        paired_difference([1.0, 2.0], [1.0], seed=0)


def test_a_ratio_is_the_geometric_mean_of_the_pairs() -> None:
    """Twice and eight times as much is four times as much, and its inverse a quarter."""
    assert paired_ratio([2.0, 8.0], [1.0, 1.0], seed=0).value == pytest.approx(4)
    assert paired_ratio([1.0, 1.0], [2.0, 8.0], seed=0).value == pytest.approx(0.25)


def test_a_ratio_of_nothing_is_refused() -> None:
    """A time or a rate of 0 has no ratio."""
    with pytest.raises(ValueError, match="positive"):
        paired_ratio([0.0], [1.0], seed=0)
