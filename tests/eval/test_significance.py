"""The sign-flip test: every pattern counted by hand, and what a drawn sample of patterns must agree with."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.significance import FLIPS, sign_flip_p

numbers = st.lists(st.integers(-20, 20), max_size=7)


@given(numbers, st.integers(0, 1_000))
def test_few_differences_give_the_share_of_all_sign_patterns(differences: list[int], seed: int) -> None:
    """The p-value is the share of the sign patterns whose sum is as far from 0 as what was seen, whatever the seed."""
    sums = [
        abs(sum(sign * value for sign, value in zip(signs, differences, strict=True)))
        for signs in product((1, -1), repeat=len(differences))
    ]
    expected = sum(total >= abs(sum(differences)) for total in sums) / len(sums)
    assert sign_flip_p(differences, seed=seed) == pytest.approx(expected)


def test_no_difference_is_no_evidence() -> None:
    """Without cases, or where every case scores the same, p is 1."""
    assert sign_flip_p([], seed=0) == 1.0
    assert sign_flip_p([0.0] * 50, seed=0) == 1.0


def test_a_drawn_p_value_is_near_the_exact_one() -> None:
    """Fourteen equal cases are too many to count out: of 2^14 patterns only the two of one sign are as far."""
    assert sign_flip_p([0.5] * 13, seed=0) == pytest.approx(2 / 2**13)
    assert sign_flip_p([0.5] * 14, seed=0) == pytest.approx(2 / 2**14, abs=5e-4)


def test_a_p_value_is_never_zero() -> None:
    """A thousand cases that all moved one way have the smallest p-value there is: the observed pattern alone."""
    assert sign_flip_p([1.0] * 1_000, seed=0) == 1 / (1 + FLIPS)


def test_the_seed_decides_what_is_drawn() -> None:
    """The same seed gives the same p-value; neither order of the two sides matters."""
    differences = np.random.default_rng(5).normal(0.05, 1, 200).tolist()
    assert sign_flip_p(differences, seed=3) == sign_flip_p(differences, seed=3)
    assert sign_flip_p(differences, seed=3) == sign_flip_p([-value for value in differences], seed=3)


def test_chance_alone_is_called_a_difference_as_often_as_the_level_says() -> None:
    """Of 400 samples of pure noise about a twentieth has a p-value below 0.05."""
    rng = np.random.default_rng(6)
    found = sum(sign_flip_p(rng.normal(size=12).tolist(), seed=0) < 0.05 for _ in range(400))
    assert 8 <= found <= 34
