"""How many tokens it takes to recall as much as a baseline: the smallest budget that reaches it, measured."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from eval.intervals import LEVEL, RESAMPLES, Interval, exact, paired_difference
from eval.report import Metrics

# Budget to the recall of each question.
RecallAt: TypeAlias = Callable[[int], Awaitable[Sequence[float]]]

# From 100 to 4,000 tokens in steps of about 12 %: the preferred numbers R20 of ISO 3.
BUDGETS = tuple(
    scale * step // 100
    for scale in (100, 1_000)
    for step in (100, 112, 125, 140, 160, 180, 200, 224, 250, 280, 315, 355, 400, 450, 500, 560, 630, 710, 800, 900)
    if scale * step <= 400_000
)


@dataclass(frozen=True, slots=True)
class Equal:
    """The search's result. recalls: of each question at every budget tried, ascending.

    budget: the smallest of them whose mean reaches the baseline's; None if none does.
    """

    recalls: Mapping[int, tuple[float, ...]]
    budget: int | None


async def search(recall_at: RecallAt, baseline: Sequence[float], *, seed: int) -> Equal:
    """Return what it takes to reach the baseline's recalls, of the same questions in the same order.

    Budgets are tried in ascending order until one is better beyond the paired interval: that far,
    nearly every resample of the questions has reached the baseline too.
    """
    recalls: dict[int, tuple[float, ...]] = {}
    reached: int | None = None
    for budget in BUDGETS:
        recalls[budget] = tuple(await recall_at(budget))
        ahead = paired_difference(recalls[budget], baseline, seed=seed)
        if reached is None and ahead.value >= 0:
            reached = budget
        if reached is not None and ahead.low > 0:
            break
    return Equal(recalls, reached)


def equal_metrics(equal: Equal, recall: Sequence[float], tokens: Sequence[float], *, seed: int) -> Metrics:
    """Return the smallest budget, how many times the baseline's tokens it is, and the recalls' paired difference.

    recall, tokens: the baseline's, of the same questions. {} if no budget reaches the recall.
    """
    if equal.budget is None:
        return {}
    ahead = paired_difference(equal.recalls[equal.budget], recall, seed=seed)
    return {
        "equal_recall.budget": exact(equal.budget),
        "equal_recall.token_ratio": token_ratio(equal, recall, tokens, seed=seed),
        "equal_recall.recall_difference": ahead,
    }


def token_ratio(equal: Equal, recall: Sequence[float], tokens: Sequence[float], *, seed: int) -> Interval:
    """Return the baseline's mean tokens over the smallest budget of equal recall, with its percentile interval.

    Questions are resampled, and the budget is looked for again in each resample; one that no budget
    reaches takes the largest tried. Source: as `eval.intervals`.
    """
    budgets = np.array(list(equal.recalls), np.float64)
    ours = np.array(list(equal.recalls.values()), np.float64)
    theirs = np.array([recall, tokens], np.float64)
    everything = np.arange(ours.shape[1])[None, :]
    value = float(ratios(ours, theirs, budgets, drawn=everything)[0])
    drawn = np.random.default_rng(seed).integers(0, ours.shape[1], (RESAMPLES, ours.shape[1]))
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(ratios(ours, theirs, budgets, drawn=drawn), [tail, 100 - tail])
    return Interval(value, float(low), float(high))


def ratios(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], budgets: NDArray[np.float64], *, drawn: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the token ratio of each resample, float64 [rows of drawn].

    ours: recalls [budgets, n]. theirs: recall and tokens [2, n]. drawn: places of questions [resamples, n].
    """
    recall, tokens = (row[drawn].mean(axis=1) for row in theirs)
    # Means of the same numbers may differ in their last digit.
    reached = np.stack([row[drawn].mean(axis=1) for row in ours]) >= recall[None, :] - 1e-12
    first = np.where(reached.any(axis=0), reached.argmax(axis=0), len(budgets) - 1)
    return np.asarray(tokens / budgets[first], np.float64)
