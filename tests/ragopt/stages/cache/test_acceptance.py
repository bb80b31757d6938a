"""The level of a collection keeps its bound, and serves nothing where the labels do not show that it would."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragopt.stages.cache.acceptance import Acceptance, at_most, calibrate, upper_limit, wrong_share

BOUNDS = (0.05, 0.10)


@dataclass(frozen=True)
class Seen:
    score: float
    same: bool


seen = st.builds(Seen, st.sampled_from([0.0, 0.2, 0.5, 0.7, 0.9, 0.99, 1.0]) | st.floats(0, 1), st.booleans())


def drawn(rng: random.Random, n: int, *, sharpness: float) -> list[Seen]:
    """Return labels whose chance to be the same rises with the score."""
    scores = [rng.random() for _ in range(n)]
    return [Seen(score, rng.random() < 1 / (1 + math.exp(-sharpness * (score - 0.55)))) for score in scores]


@given(st.lists(seen, max_size=400), st.floats(0.01, 0.5))
def test_a_level_is_shown_by_its_labels(labels: list[Seen], max_wrong: float) -> None:
    """Of the labels above a level the exact test refutes that more than the bound is wrong, and the limits say so."""
    acceptance = calibrate(labels, max_wrong=max_wrong)
    if acceptance is None:
        return
    above = [label for label in labels if acceptance.accepts(label.score)]
    wrong = sum(not label.same for label in above)
    assert len(above) == acceptance.labels
    assert acceptance.wrong.value == wrong / len(above)
    assert acceptance.wrong.low <= acceptance.wrong.value <= acceptance.wrong.high
    assert upper_limit(wrong, len(above)) <= max_wrong + 1e-9


@given(st.lists(seen, max_size=300), st.randoms(use_true_random=False))
def test_the_order_of_labels_means_nothing(labels: list[Seen], rng: random.Random) -> None:
    """Equal scores in another order give the same level."""
    shuffled = rng.sample(labels, len(labels))
    assert calibrate(shuffled, max_wrong=0.1) == calibrate(labels, max_wrong=0.1)


@given(st.lists(seen, max_size=300))
def test_a_tighter_bound_never_serves_more(labels: list[Seen]) -> None:
    """A caller who asks for fewer wrong answers gets a level at least as high, or none."""
    loose, tight = calibrate(labels, max_wrong=0.10), calibrate(labels, max_wrong=0.05)
    if tight is not None:
        assert loose is not None
        assert loose.level <= tight.level


def test_the_bound_holds_for_what_comes() -> None:
    """Of levels learned from 300 labels, at most one in twenty serves more wrong ones of what comes than the bound."""
    rng = random.Random(5)
    for bound in BOUNDS:
        broken, levels = 0, 0
        for _ in range(60):
            sharpness = rng.choice([8.0, 15.0, 30.0])
            acceptance = calibrate(drawn(rng, 300, sharpness=sharpness), max_wrong=bound)
            if acceptance is None:
                continue
            levels += 1
            comes = [label for label in drawn(rng, 2_000, sharpness=sharpness) if acceptance.accepts(label.score)]
            broken += sum(not label.same for label in comes) > bound * len(comes)
        assert levels > 20
        assert broken <= 3


def test_a_good_judge_is_let_serve() -> None:
    """Where the score parts the labels, most of what is the same is served."""
    labels = [Seen(number / 300, number >= 150) for number in range(300)]
    acceptance = calibrate(labels, max_wrong=0.05)
    assert acceptance is not None
    assert sum(acceptance.accepts(label.score) for label in labels) > 120


def test_equal_scores_are_served_together_or_not_at_all() -> None:
    """Two scores alone: the upper one is served once enough labels stand at it."""
    for count, served in ((200, True), (30, False)):
        labels = [Seen(0.9, same=True)] * count + [Seen(0.1, same=False)] * 200
        acceptance = calibrate(labels, max_wrong=0.05)
        assert (acceptance is not None and acceptance.accepts(0.9) and not acceptance.accepts(0.1)) == served


def test_too_little_is_known() -> None:
    """No labels, few, a judge that guesses, equal scores, scores that are no number: exact hits alone."""
    rng = random.Random(1)
    guesses = [Seen(rng.random(), rng.random() < 0.5) for _ in range(400)]
    for labels in (
        [],
        [Seen(0.9, same=True)] * 40,
        guesses,
        [Seen(0.5, same=True)] * 400,
        [Seen(math.nan, same=True)] * 400,
    ):
        assert calibrate(labels, max_wrong=0.05) is None
    good = drawn(rng, 900, sharpness=40)
    assert calibrate(good, max_wrong=0.05) is not None
    assert [calibrate(good, max_wrong=bound) for bound in (0.0, -1.0, 1.0, math.nan)] == [None] * 4


def test_a_score_at_the_level_is_not_served() -> None:
    """Above, not at; and never a score that is not a number."""
    acceptance = Acceptance(0.5, wrong_share(0, 80), 80)
    assert [acceptance.accepts(score) for score in (0.5, 0.500001, math.nan)] == [False, True, False]


def test_limits_are_exact() -> None:
    """They agree with published Clopper-Pearson limits, and the binomial with sums by hand."""
    share = wrong_share(5, 100)
    assert (share.value, share.low, share.high) == (
        0.05,
        pytest.approx(0.0164, abs=1e-4),
        pytest.approx(0.1128, abs=1e-4),
    )
    assert upper_limit(0, 59) < 0.05 < upper_limit(0, 58)
    assert (wrong_share(0, 0).low, wrong_share(0, 0).high) == (0.0, 1.0)
    assert at_most(1, 4, 0.5) == pytest.approx(5 / 16)
    assert [at_most(-1, 4, 0.5), at_most(4, 4, 0.5), at_most(0, 4, 0.0), at_most(0, 4, 1.0)] == [0.0, 1.0, 1.0, 0.0]
