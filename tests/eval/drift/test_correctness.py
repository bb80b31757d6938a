"""Recorded outcomes by difficulty."""

from __future__ import annotations

import numpy as np
import pytest

from eval.drift.correctness import MOST_RECORDED, correctness_of, sample
from eval.routing.curve import Outcomes
from eval.routing.sets import RoutingSet


def recorded(count: int) -> RoutingSet:
    """Return prompts of which the weak model knows the easy half, the strong one all."""
    weak = (np.arange(count) < count / 2).astype(np.float64)
    texts = tuple(f"prompt {n}" for n in range(count))
    outcomes = Outcomes(weak, np.ones(count))
    return RoutingSet("r", texts, ("",) * count, "weak", "strong", outcomes=outcomes, digest="")


def test_question_is_as_hard_as_the_prompts_beside_it() -> None:
    """An easy one the cheap model knows, a hard one only the strong; the middle is halfway."""
    found = correctness_of(recorded(1_000), np.linspace(0, 1, 1_000))
    assert (found.of("simple", 0.1), found.of("simple", 0.9)) == (1.0, 0.0)
    assert (found.of("medium", 0.9), found.of("complex", 0.9)) == (0.5, 1.0)
    assert found.of("simple", -9.0) == 1.0
    assert found.of("simple", 9.0) == 0.0


def test_sample_is_drawn_once_and_stays_paired() -> None:
    """A small set stays whole; of a large one the same prompts are drawn for the same seed, with their outcomes."""
    small = recorded(10)
    assert sample(small, seed=0) is small
    drawn = sample(recorded(MOST_RECORDED * 2), seed=3)
    assert len(drawn.texts) == len(drawn.outcomes.weak) == MOST_RECORDED
    known = [float(int(text.split()[1]) < MOST_RECORDED) for text in drawn.texts]
    assert drawn.outcomes.weak.tolist() == pytest.approx(known)
    assert sample(recorded(MOST_RECORDED * 2), seed=3).texts == drawn.texts
