"""Scores beside labels to balanced accuracy and area under the curve, with intervals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from eval.intervals import LEVEL, RESAMPLES, Interval

Scores = NDArray[np.float64]
Labels = NDArray[np.bool_]
Statistic = Callable[[Scores, Labels], float]


def balanced_accuracy(scores: Scores, labels: Labels, *, threshold: float) -> float:
    """Return the mean of the shares of supported claims at or above the threshold and of others below it."""
    above = scores >= threshold
    return float((above[labels].mean() + (~above[~labels]).mean()) / 2)


def auc(scores: Scores, labels: Labels) -> float:
    """Return the chance that a supported claim scores above another one, ties counted half.

    Source: Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 143, 1982.
    """
    positive, negative = int(labels.sum()), int((~labels).sum())
    ordered = np.sort(scores[~labels])
    below = np.searchsorted(ordered, scores[labels], side="left")
    not_above = np.searchsorted(ordered, scores[labels], side="right")
    return float((below + not_above).sum() / (2 * positive * negative))


def with_interval(scores: Scores, labels: Labels, statistic: Statistic, *, seed: int) -> Interval:
    """Return a statistic with its 95 % percentile bootstrap interval; each label is resampled apart."""
    rng = np.random.default_rng(seed)
    kinds = [np.flatnonzero(labels), np.flatnonzero(~labels)]
    drawn = []
    for _ in range(RESAMPLES // 2):
        places = np.concatenate([kind[rng.integers(0, len(kind), len(kind))] for kind in kinds])
        drawn.append(statistic(scores[places], labels[places]))
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Interval(statistic(scores, labels), float(low), float(high))
