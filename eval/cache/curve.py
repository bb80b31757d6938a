"""How many duplicates are served at a share of wrong answers: pure functions over scores and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from eval.intervals import LEVEL, Interval
from ragopt.stages.cache.acceptance import calibrate, upper_limit

Scores: TypeAlias = NDArray[np.float64]
Same: TypeAlias = NDArray[np.bool_]

RESAMPLES = 1_000
ROWS_AT_ONCE = 100
CALIBRATED_ON = 300
SPLITS = 20


@dataclass(frozen=True, slots=True)
class Seen:
    """A labelled pair."""

    score: float
    same: bool


def served_at(scores: Scores, same: Same, *, max_wrong: float, counts: NDArray[np.int64] | None = None) -> Scores:
    """Return the largest share of duplicates that one threshold serves with at most that share of wrong ones.

    counts: int64 [rows, n], how often each pair is in a resample; each once unless told. float64 [rows]. 0 where no
    threshold will do, and where there are no duplicates.
    """
    rows = np.ones((1, len(scores)), np.int64) if counts is None else counts
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    # A threshold cannot part equal scores.
    ends = np.append(ranked[1:] != ranked[:-1], [True])
    right = np.cumsum(rows[:, order] * same[order], axis=1)
    served = np.cumsum(rows[:, order], axis=1)
    good = ((served - right) <= max_wrong * served) & ends
    total = np.maximum(right[:, -1], 1)
    return np.asarray(np.where(good, right, 0).max(axis=1, initial=0) / total, np.float64)


def resamples(n: int, *, seed: int) -> list[NDArray[np.int64]]:
    """Return bootstrap resamples of n pairs as counts, int64 [rows, n], some rows at a time; 1,000 in all."""
    rng = np.random.default_rng(seed)
    even = np.full(n, 1 / n)
    return [rng.multinomial(n, even, size=ROWS_AT_ONCE) for _ in range(RESAMPLES // ROWS_AT_ONCE)]


def interval_of(value: float, drawn: Scores) -> Interval:
    """Return the value with the 95 % percentile interval of what the resamples gave."""
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Interval(value, float(min(low, value)), float(max(high, value)))


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What a calibrated level served of the rest of a set, split by split.

    wrong: the share of wrong ones. limits: its one-sided upper 95 % limit; both 0 where nothing was served. served:
    the share of duplicates.
    """

    wrong: Sequence[float]
    limits: Sequence[float]
    served: Sequence[float]


def calibrated(scores: Scores, same: Same, *, max_wrong: float, seed: int) -> Calibrated:
    """Return what levels learned from 300 pairs serve of the others, over 20 drawn splits.

    Half of the pairs are learned from where there are fewer than 600.
    """
    rng = np.random.default_rng(seed)
    wrong: list[float] = []
    limits: list[float] = []
    served: list[float] = []
    size = min(CALIBRATED_ON, len(scores) // 2)
    for _ in range(SPLITS):
        order = rng.permutation(len(scores))
        known, rest = order[:size], order[size:]
        labels = [Seen(float(scores[at]), bool(same[at])) for at in known]
        acceptance = calibrate(labels, max_wrong=max_wrong)
        above = rest[[acceptance is not None and acceptance.accepts(float(scores[at])) for at in rest]]
        bad = int((~same[above]).sum())
        wrong.append(bad / max(1, len(above)))
        limits.append(upper_limit(bad, len(above)) if len(above) else 0.0)
        served.append(int(same[above].sum()) / max(1, int(same[rest].sum())))
    return Calibrated(wrong, limits, served)
