"""What may be said of two variants at any time: confidence sequences, which stay true however often one looks. Pure.

Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic confidence
sequences" (2021, arXiv 2103.06476), theorem 2.2, with the variance of a difference of two means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ragopt.settings.experiments import ExperimentSettings, Loss

Verdict: TypeAlias = Literal["undecided", "better", "worse", "stopped"]

# Before as many answers on both sides nothing is said: the sequence is asymptotic.
FEWEST = 100
# Where the sequence is as narrow as it can be; it stays true elsewhere.
NARROWEST_AT = 2_000


@dataclass(frozen=True, slots=True)
class LossSums:
    """A loss of one variant, added up: how many answers told it, their sum and the sum of squares."""

    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    @property
    def mean(self) -> float:
        """Return the mean, 0 for no answer."""
        return self.total / self.n if self.n else 0.0

    @property
    def variance(self) -> float:
        """Return the unbiased variance, 0 for fewer than two answers; never below 0, whatever rounding does."""
        if self.n < 2:
            return 0.0
        return max(0.0, (self.squares - self.n * self.mean**2) / (self.n - 1))


@dataclass(frozen=True, slots=True)
class Difference:
    """A variant's mean loss less the control's, with its confidence sequence; None before it may be told."""

    value: float
    low: float | None
    high: float | None


def difference(variant: LossSums, control: LossSums, *, alpha: float) -> Difference:
    """Return the difference of two means with bounds that hold at all times together, but for a chance of `alpha`."""
    value = variant.mean - control.mean
    if min(variant.n, control.n) < FEWEST:
        return Difference(value, None, None)
    reach = half_width(variant, control, alpha=alpha)
    return Difference(value, value - reach, value + reach)


def half_width(variant: LossSums, control: LossSums, *, alpha: float) -> float:
    """Return half the width of the confidence sequence at this time, in the loss's own unit."""
    answers = variant.n + control.n
    # One loss never varied: what was seen of it says no more than that it is rare. A prior event keeps the width.
    spread = [max(sums.variance, least_variance(sums)) / sums.n for sums in (variant, control)]
    deviation = math.sqrt(answers * sum(spread))
    # rho squared, for a unit variance. Source: the same, appendix B.2.
    tuned = (-2 * math.log(alpha) + math.log(-2 * math.log(alpha)) + 1) / NARROWEST_AT
    grown = answers * tuned + 1
    return deviation * math.sqrt(2 * grown / (answers**2 * tuned) * math.log(math.sqrt(grown) / alpha))


def least_variance(sums: LossSums) -> float:
    """Return the variance that one more answer of another kind would have shown, in units of what was seen.

    For a loss of 0 or 1 that was never seen to vary: about 1 / n.
    """
    size = max(abs(sums.mean), 1.0) if sums.variance == 0 else 0.0
    return size**2 / sums.n


def verdict(losses: Mapping[Loss, tuple[LossSums, LossSums]], experiment: ExperimentSettings) -> Verdict:
    """Return what may be said of a variant: `stopped` where a guard is surely passed, else how the goal stands.

    losses: of each loss the variant's sums and the control's. The chance of error is shared between goal and guards.
    """
    alpha = experiment.alpha / (1 + len(experiment.guards))
    for guard in experiment.guards:
        low = difference(*losses[guard.loss], alpha=alpha).low
        if low is not None and low > guard.margin:
            return "stopped"
    goal = difference(*losses[experiment.goal], alpha=alpha)
    if goal.low is None or goal.high is None or goal.low <= 0 <= goal.high:
        return "undecided"
    return "better" if goal.high < 0 else "worse"
