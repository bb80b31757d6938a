"""Which candidates are worth having: the Pareto front, what can be dropped, and the profiles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.intervals import Interval, paired_difference
from eval.tune.space import Candidate
from eval.tune.trials import Measured

# Two means of packed tokens this near cost the same: contexts under one budget differ by as much.
COST_SLACK = 0.01


@dataclass(frozen=True, slots=True)
class Profiles:
    """One candidate for each aim.

    best: the best over any index. balanced: the cheapest that is not worse than the best beyond the
    interval. The others are over its index, since a service has one. quality: the best. cost: the
    cheapest within the tolerated loss, or balanced where that is cheaper. latency: the one that compares
    least, of those that are neither worse than balanced beyond the interval nor dearer.
    """

    quality: Measured
    balanced: Measured
    cost: Measured
    latency: Measured
    best: Measured

    def named(self) -> Iterator[tuple[str, Measured]]:
        """Yield name and candidate, dearest first."""
        yield "quality", self.quality
        yield "balanced", self.balanced
        yield "cost", self.cost
        yield "latency", self.latency


@dataclass(frozen=True, slots=True)
class Rule:
    """How profiles are chosen. tolerance: quality that `cost` may lose against the best, in [0, 1]."""

    tolerance: float = 0.02
    seed: int = 0

    def difference(self, ours: Measured, theirs: Measured) -> Interval:
        """Return the mean of ours - theirs in quality, its interval over the questions as pairs."""
        return paired_difference(ours.quality.tolist(), theirs.quality.tolist(), seed=self.seed)

    def is_worse(self, ours: Measured, theirs: Measured) -> bool:
        """Return whether ours is worse beyond the interval: its upper bound, a one-sided test, is below 0."""
        return ours.mean_quality() < theirs.mean_quality() and self.difference(ours, theirs).high < 0

    def profiles(self, rows: Sequence[Measured]) -> Profiles:
        """Return the profiles. Raises: `ValueError` if there are no rows."""
        best = best_of(rows)
        balanced = self.cheapest_not_worse(rows, best)
        same_index = [row for row in rows if row.candidate.index() == balanced.candidate.index()]
        tolerated = [row for row in same_index if best.mean_quality() - row.mean_quality() <= self.tolerance]
        return Profiles(
            quality=best_of(same_index),
            balanced=balanced,
            cost=min([balanced, *tolerated], key=by_cost),
            latency=self.fastest(same_index, balanced),
            best=best,
        )

    def cheapest_not_worse(self, rows: Sequence[Measured], best: Measured) -> Measured:
        """Return the cheapest row that is not worse than the best beyond the interval; the best itself is one."""
        return next(row for row in sorted(rows, key=by_cost) if row is best or not self.is_worse(row, best))

    def fastest(self, rows: Sequence[Measured], balanced: Measured) -> Measured:
        """Return the row with the least work that neither costs more than balanced nor is worse beyond the interval."""
        affordable = [row for row in rows if row.mean_tokens() <= balanced.mean_tokens() * (1 + COST_SLACK)]
        return next(
            row for row in sorted(affordable, key=by_work) if row is balanced or not self.is_worse(row, balanced)
        )


def by_quality(row: Measured) -> tuple[float, float, str]:
    """Return the key that sorts the best first, of equal ones the cheapest."""
    return -row.mean_quality(), row.mean_tokens(), row.candidate.label()


def by_cost(row: Measured) -> tuple[float, float, str]:
    """Return the key that sorts the cheapest first, of equal ones the best."""
    return row.mean_tokens(), -row.mean_quality(), row.candidate.label()


def by_work(row: Measured) -> tuple[float, float, float, float, str]:
    """Return the key that sorts the fastest first: pairs a cross-encoder judges, then token vectors compared.

    Counted, not timed: a clock would choose differently in each run.
    """
    return row.candidate.number("rerank_depth"), float(row.vectors.mean()), *by_cost(row)


def best_of(rows: Sequence[Measured]) -> Measured:
    """Return the row of the highest mean quality, of equal ones the cheapest."""
    return min(rows, key=by_quality)


def pareto_front(rows: Sequence[Measured]) -> list[Measured]:
    """Return the rows that no other beats in both quality and cost, cheapest first; one of several equal rows."""
    front: list[Measured] = []
    for row in sorted(rows, key=by_cost):
        if not front or row.mean_quality() > front[-1].mean_quality():
            front.append(row)
    return front


def distinct(front: Sequence[Measured]) -> list[Measured]:
    """Return a front without the rows that cost the same as a better one that stays, cheapest first."""
    kept: list[Measured] = []
    for row in reversed(front):
        if not kept or kept[-1].mean_tokens() > row.mean_tokens() * (1 + COST_SLACK):
            kept.append(row)
    return kept[::-1]


def promoted(rows: Sequence[Measured], *, rule: Rule, spared: Candidate) -> list[Measured]:
    """Return the rows to go on with, in order: those that are not clearly beaten, and at most half of all.

    A row is clearly beaten when it is worse, beyond the paired interval, than the best row at no more
    cost. Of more than half, those go that are farthest below it in standard errors, of equal ones those
    with the most work; the Pareto front goes last. `spared` stays in any case.
    """
    front = {row.candidate for row in distinct(pareto_front(rows))}
    near: list[tuple[float, Measured]] = []
    for row in rows:
        rival = best_of([other for other in rows if other.mean_tokens() <= row.mean_tokens() * (1 + COST_SLACK)])
        if row.candidate == spared or row.candidate in front:
            near.append((-2.0 if row.candidate == spared else -1.0, row))
        elif not rule.is_worse(row, rival):
            near.append((standard_errors(rival.quality - row.quality), row))
    nearest = sorted(near, key=lambda item: (item[0], by_work(item[1])))
    kept = {row.candidate for _, row in nearest[: -(-len(rows) // 2)]}
    return [row for row in rows if row.candidate in kept]


def standard_errors(differences: NDArray[np.float64]) -> float:
    """Return how many standard errors a mean difference is from 0; 0 where all are 0, infinite where all are equal.

    Points would be unfair: where contexts are small, all qualities and so all differences vary more.
    """
    mean, deviation = float(differences.mean()), float(differences.std())
    if deviation == 0:
        return math.copysign(math.inf, mean) if mean else 0.0
    return mean / (deviation / math.sqrt(differences.size))
