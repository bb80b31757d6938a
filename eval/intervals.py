"""How sure a number is: percentile bootstrap intervals, the same for the same seed.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 13 (percentile
intervals) and 8 (paired samples are resampled as pairs).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

# float64 [resamples, n] to float64 [resamples]: one number per row.
Statistic: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.float64]]

RESAMPLES = 2_000
LEVEL = 0.95
NORMAL_QUANTILE = 1.959964
# Resampled at once: bounds the matrix to some tens of megabytes whatever the sample size.
CELLS_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A measured value and the bounds of its 95 % interval; `low` <= `high`."""

    value: float
    low: float
    high: float


def exact(value: float) -> Interval:
    """Return a value that was counted, not sampled: an interval of no width."""
    return Interval(float(value), float(value), float(value))


def share(flags: Sequence[bool]) -> Interval:
    """Return the share that is true with its 95 % Wilson interval, which has a width for none and for all as well.

    Source: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 1927. Raises:
    `ValueError` if there are none.
    """
    n, found = len(flags), sum(flags)
    if not n:
        raise ValueError("a share of nothing")
    value, square = found / n, NORMAL_QUANTILE**2
    middle = (found + square / 2) / (n + square)
    half = NORMAL_QUANTILE / (n + square) * (found * (n - found) / n + square / 4) ** 0.5
    return Interval(value, min(value, max(0.0, middle - half)), max(value, min(1.0, middle + half)))


def mean_of(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each row."""
    return np.asarray(rows.mean(axis=1), np.float64)


def percentile_of(percent: float) -> Statistic:
    """Return the statistic that is the `percent`-th percentile of each row, interpolated linearly."""

    def of_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.percentile(rows, percent, axis=1), np.float64)

    return of_rows


def bootstrap(values: Sequence[float], *, seed: int, statistic: Statistic = mean_of) -> Interval:
    """Return a statistic of `values`, the mean unless told, with its 95 % percentile interval.

    One value gives an interval of no width: it says nothing about the spread. Raises: `ValueError`
    if there are none.
    """
    sample = np.asarray(values, np.float64)
    if not sample.size:
        raise ValueError("an interval needs at least one value")
    rng = np.random.default_rng(seed)
    at_once = max(1, CELLS_AT_ONCE // sample.size)
    statistics: list[NDArray[np.float64]] = []
    for start in range(0, RESAMPLES, at_once):
        rows = min(at_once, RESAMPLES - start)
        statistics.append(statistic(sample[rng.integers(0, sample.size, (rows, sample.size))]))
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(np.concatenate(statistics), [tail, 100 - tail])
    return Interval(float(statistic(sample[None, :])[0]), float(low), float(high))


def paired_difference(ours: Sequence[float], theirs: Sequence[float], *, seed: int) -> Interval:
    """Return the mean of ours - theirs with its 95 % interval; the same place in both is the same case.

    An interval without 0 is a difference. Raises: `ValueError` if the lengths differ or are 0.
    """
    return bootstrap([a - b for a, b in zip(ours, theirs, strict=True)], seed=seed)


def paired_ratio(ours: Sequence[float], theirs: Sequence[float], *, seed: int) -> Interval:
    """Return the geometric mean of ours / theirs with its 95 % interval; all values positive, cases as pairs.

    Raises: `ValueError` if the lengths differ, are 0, or a value is not positive.
    """
    if min([*ours, *theirs], default=1) <= 0:
        raise ValueError("a ratio needs positive values")
    logs = bootstrap([float(np.log(a / b)) for a, b in zip(ours, theirs, strict=True)], seed=seed)
    return Interval(float(np.exp(logs.value)), float(np.exp(logs.low)), float(np.exp(logs.high)))
