"""The search for the budget of equal recall, over recalls that are made up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from eval.equal_recall import BUDGETS, Equal, equal_metrics, search

QUESTIONS = 40


def found(needed: Sequence[float], baseline: Sequence[float]) -> Equal:
    """Return the search where a question is recalled in full from the budget it needs on."""

    async def recall_at(budget: int) -> list[float]:
        return [float(budget >= tokens) for tokens in needed]

    return asyncio.run(search(recall_at, baseline, seed=0))


def test_budgets_ascend_by_about_an_eighth_to_4000() -> None:
    """Each budget is 10 to 15 % above the one before, from 100 to 4,000 tokens."""
    assert (BUDGETS[0], BUDGETS[-1]) == (100, 4_000)
    assert all(1.1 <= b / a <= 1.15 for a, b in zip(BUDGETS, BUDGETS[1:], strict=False))


def test_the_smallest_budget_that_reaches_the_baseline_is_found() -> None:
    """Half of the questions need 300 tokens, the rest 900: a baseline that recalls half is reached at 315."""
    needed = [300.0] * 20 + [900.0] * 20
    assert found(needed, [1.0, 0.0] * 20).budget == 315
    assert found(needed, [1.0] * QUESTIONS).budget == 900


def test_the_search_ends_once_it_is_ahead_beyond_chance() -> None:
    """No budget is tried after one that is better beyond the interval."""
    equal = found([300.0] * QUESTIONS, [0.5] * QUESTIONS)
    assert list(equal.recalls) == [budget for budget in BUDGETS if budget <= 315]


def test_a_baseline_out_of_reach_has_no_ratio() -> None:
    """Where no budget recalls as much, nothing is said of tokens, and all budgets were tried."""
    equal = found([9_999.0] * QUESTIONS, [1.0] * QUESTIONS)
    assert equal.budget is None
    assert tuple(equal.recalls) == BUDGETS
    assert equal_metrics(equal, [1.0] * QUESTIONS, [4_000.0] * QUESTIONS, seed=0) == {}


def test_the_ratio_is_the_baselines_tokens_over_the_budget() -> None:
    """4,000 tokens against a budget of 315 is 12.7 times; where every question agrees the interval has no width."""
    equal = found([300.0] * QUESTIONS, [1.0] * QUESTIONS)
    metrics = equal_metrics(equal, [1.0] * QUESTIONS, [4_000.0] * QUESTIONS, seed=0)
    ratio = metrics["equal_recall.token_ratio"]
    assert (ratio.low, ratio.value, ratio.high) == pytest.approx((4_000 / 315,) * 3)
    assert metrics["equal_recall.budget"].value == 315


def test_the_ratio_is_as_unsure_as_the_recalls_are() -> None:
    """Questions that need between 100 and 2,000 tokens give a ratio with an interval around its value."""
    rng = np.random.default_rng(8)
    needed, baseline = rng.uniform(100, 2_000, 80).tolist(), rng.integers(0, 2, 80).astype(float).tolist()
    equal = found(needed, baseline)
    ratio = equal_metrics(equal, baseline, [4_000.0] * 80, seed=0)["equal_recall.token_ratio"]
    assert ratio.low < ratio.value < ratio.high
    assert equal.budget is not None
    assert ratio.value == pytest.approx(4_000 / equal.budget)
