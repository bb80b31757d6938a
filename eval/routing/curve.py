"""Cost against quality of a routing order, and what is read from that curve.

The questions are sorted by a score, the hardest first; the first x of them go to the strong model, the rest to the
weak one. Source of APGR: Ong et al., "RouteLLM", 2024: the mean, over x from 0 to 1, of the share of the quality gap
between both models that is recovered; a random order has about 0.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.intervals import LEVEL, RESAMPLES, Interval

Vector = NDArray[np.float64]

QUALITY_SHARE = 0.98
# Resampled at once: bounds the matrix to some tens of megabytes whatever the sample size.
CELLS_AT_ONCE = 2_000_000


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Whether each model was right on each question: float64 [n] each, 0 or 1."""

    weak: Vector
    strong: Vector

    @property
    def gap(self) -> Vector:
        """Return what the strong model adds on each question."""
        return self.strong - self.weak


def weighted_apgr(counts: NDArray[np.float64], outcomes: Outcomes) -> Vector:
    """Return the APGR of each row of counts [resamples, n], questions in routing order; nan where there is no gap."""
    share = np.cumsum(counts, axis=1) / counts.sum(axis=1, keepdims=True)
    recovered = np.cumsum(counts * outcomes.gap, axis=1)
    total = recovered[:, -1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(total > 0, recovered / total, np.nan)
    zero = np.zeros((len(counts), 1))
    return np.asarray(np.trapezoid(np.hstack([zero, part]), np.hstack([zero, share]), axis=1), np.float64)


def weighted_saving(counts: NDArray[np.float64], outcomes: Outcomes) -> Vector:
    """Return, per row, the share of strong calls that are saved at 98 % of the strong model's quality."""
    n = counts.sum(axis=1, keepdims=True)
    quality = (counts @ outcomes.weak)[:, None] + np.cumsum(counts * outcomes.gap, axis=1)
    quality = np.hstack([(counts @ outcomes.weak)[:, None], quality])
    share = np.hstack([np.zeros((len(counts), 1)), np.cumsum(counts, axis=1) / n])
    reached = quality >= QUALITY_SHARE * (counts @ outcomes.strong)[:, None] - 1e-9
    first = np.argmax(reached, axis=1)
    return np.asarray(1 - share[np.arange(len(counts)), first], np.float64)


def order_metrics(scores: Mapping[str, Vector], outcomes: Outcomes, *, seed: int) -> dict[str, Interval]:
    """Return `apgr.<name>` and `saving@quality>=0.98.<name>` of each order, hardest first, and their differences.

    `apgr.ragopt-<name>` is paired: the same resampled questions in both. Ties keep the order of the set.
    """
    drawn: dict[str, list[Vector]] = {}
    exact: dict[str, float] = {}
    orders = {name: np.argsort(-score, kind="stable") for name, score in scores.items()}
    for name, order in orders.items():
        ordered = Outcomes(outcomes.weak[order], outcomes.strong[order])
        one = np.ones((1, len(order)))
        exact[f"apgr.{name}"] = float(weighted_apgr(one, ordered)[0])
        exact[f"saving@quality>=0.98.{name}"] = float(weighted_saving(one, ordered)[0])
    for counts in resampled(len(outcomes.weak), seed=seed):
        for name, order in orders.items():
            ordered = Outcomes(outcomes.weak[order], outcomes.strong[order])
            drawn.setdefault(f"apgr.{name}", []).append(weighted_apgr(counts[:, order], ordered))
            drawn.setdefault(f"saving@quality>=0.98.{name}", []).append(weighted_saving(counts[:, order], ordered))
    columns = {name: np.concatenate(parts) for name, parts in drawn.items()}
    for name in orders:
        if "ragopt" in orders and name in ("random", "length"):
            columns[f"apgr.ragopt-{name}"] = columns["apgr.ragopt"] - columns[f"apgr.{name}"]
            exact[f"apgr.ragopt-{name}"] = exact["apgr.ragopt"] - exact[f"apgr.{name}"]
    return {name: interval(exact[name], column) for name, column in columns.items()}


def interval(value: float, drawn: Vector) -> Interval:
    """Return the value with the percentile interval of what was drawn; resamples without a gap are left out."""
    tail = 100 * (1 - LEVEL) / 2
    finite = drawn[np.isfinite(drawn)]
    low, high = np.percentile(finite, [tail, 100 - tail]) if finite.size else (value, value)
    return Interval(value, float(low), float(high))


def resampled(n: int, *, seed: int) -> Sequence[NDArray[np.float64]]:
    """Return blocks, float64 [rows, n], of how often each of n questions was drawn in each resample."""
    rng = np.random.default_rng(seed)
    rows = max(1, CELLS_AT_ONCE // n)
    sizes = [min(rows, RESAMPLES - start) for start in range(0, RESAMPLES, rows)]
    even = np.full(n, 1 / n)
    return [rng.multinomial(n, even, size=size).astype(np.float64) for size in sizes]
