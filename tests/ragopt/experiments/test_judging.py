"""What may be said of two variants, however often one looks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ragopt.experiments.judging import FEWEST, LossSums, difference, verdict
from ragopt.settings.experiments import ExperimentSettings, Loss
from ragopt.state.experiments import LOSSES

ALPHA = 0.05
EXPERIMENT = ExperimentSettings.model_validate(
    {
        "name": "e",
        "goal": "cost_usd",
        "guards": [{"loss": "unsupported", "margin": 0.02}],
        "variants": [{"name": "a", "share": 1}, {"name": "b", "share": 1}],
    }
)


def sums(values: NDArray[Any]) -> LossSums:
    """Return the sums of some losses."""
    return LossSums(len(values), float(values.sum()), float((values**2).sum()))


def ever_excludes(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Return whether the sequence excludes no difference at any of a hundred looks."""
    for n in np.unique(np.geomspace(FEWEST, len(first), 100).astype(int)):
        found = difference(sums(first[:n]), sums(second[:n]), alpha=ALPHA)
        assert found.low is not None
        assert found.high is not None
        if not found.low <= 0 <= found.high:
            return True
    return False


@pytest.mark.parametrize("kind", ["normal", "skewed", "rare"])
def test_looking_often_does_not_make_a_difference_out_of_none(kind: str) -> None:
    """Of 300 experiments without a difference at most alpha and chance are ever decided, at any of 100 looks."""
    random = np.random.default_rng(7)
    draw = {
        "normal": lambda: random.normal(5, 2, 3_000),
        "skewed": lambda: random.lognormal(0, 1, 3_000),
        "rare": lambda: (random.random(3_000) < 0.02).astype(float),
    }[kind]
    false_alarms = sum(ever_excludes(draw(), draw()) for _ in range(300))
    assert false_alarms <= 300 * ALPHA + 3 * (300 * ALPHA * (1 - ALPHA)) ** 0.5


def test_real_difference_is_found() -> None:
    """A tenth less cost, with a deviation of half the mean, is told within a few thousand answers."""
    random = np.random.default_rng(3)
    control, variant = random.normal(1.0, 0.5, 6_000), random.normal(0.9, 0.5, 6_000)
    found = difference(sums(variant), sums(control), alpha=ALPHA)
    assert found.high is not None
    assert found.high < 0
    assert found.value == pytest.approx(-0.1, abs=0.03)


def test_nothing_is_said_of_few_answers() -> None:
    """Below a hundred on either side there are no bounds; the difference of the means is there all the same."""
    few, many = sums(np.ones(FEWEST - 1)), sums(np.zeros(5_000))
    assert difference(few, many, alpha=ALPHA) == difference(few, many, alpha=0.5)
    assert difference(few, many, alpha=ALPHA).low is None


def test_loss_that_never_varied_has_no_bound_of_zero_width() -> None:
    """A hundred answers without a single unsupported citation do not prove that there will be none."""
    found = difference(sums(np.zeros(FEWEST)), sums(np.zeros(FEWEST)), alpha=ALPHA)
    assert found.low is not None
    assert found.low < -0.05


def losses(**named: tuple[NDArray[Any], NDArray[Any]]) -> dict[Loss, tuple[LossSums, LossSums]]:
    """Return all losses, those that are not named without an answer."""
    empty = dict.fromkeys(LOSSES, (LossSums(), LossSums()))
    return empty | {name: (sums(one), sums(other)) for name, (one, other) in named.items()}  # type: ignore[misc]


def test_verdict_is_the_goal_s_unless_a_guard_is_passed() -> None:
    """Cheaper is better; cheaper with surely more unsupported citations is stopped."""
    random = np.random.default_rng(5)
    cheaper = random.normal(0.5, 0.1, 3_000), random.normal(1.0, 0.1, 3_000)
    fine = (random.random(3_000) < 0.02).astype(float), (random.random(3_000) < 0.02).astype(float)
    bad = (random.random(3_000) < 0.20).astype(float), fine[1]
    assert verdict(losses(cost_usd=cheaper, unsupported=fine), EXPERIMENT) == "better"
    assert verdict(losses(cost_usd=cheaper[::-1], unsupported=fine), EXPERIMENT) == "worse"
    assert verdict(losses(cost_usd=(cheaper[0], cheaper[0]), unsupported=fine), EXPERIMENT) == "undecided"
    assert verdict(losses(cost_usd=cheaper, unsupported=bad), EXPERIMENT) == "stopped"
    assert verdict(losses(), EXPERIMENT) == "undecided"
