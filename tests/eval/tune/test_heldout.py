"""Held-out figures: folds that share no document, and a choice that pays for what it overfits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.tune.choose import Rule
from eval.tune.heldout import FOLDS, folds_of, held_out
from tests.eval.tune.rows import row


@given(st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=60), st.integers(0, 3))
def test_folds_are_disjoint_cover_all_and_split_no_document(groups: list[str], seed: int) -> None:
    """Every question is in one fold, at most five folds, and a document's questions are together."""
    folds = folds_of(groups, seed=seed)
    assert 2 <= len(folds) <= FOLDS
    assert sorted(np.concatenate(folds).tolist()) == list(range(len(groups)))
    if len(set(groups)) > 1:
        assert all(len({str(fold) for fold in folds if at in fold}) == 1 for at in range(len(groups)))
        for group in set(groups):
            assert sum(any(groups[at] == group for at in fold) for fold in folds) == 1
    assert [fold.tolist() for fold in folds] == [fold.tolist() for fold in folds_of(groups, seed=seed)]


def test_one_document_is_split_question_by_question_and_one_question_not_at_all() -> None:
    """With nothing to hold out there are no folds, and no held-out figures."""
    assert len(folds_of(["a"] * 10, seed=0)) == FOLDS
    assert folds_of(["a"], seed=0) == []
    assert held_out([row([0.5], 100)], [], rule=Rule()) == {}


def test_a_setting_that_suits_all_folds_is_worth_the_same_held_out() -> None:
    """The same choice in every fold: held-out quality is the in-sample one."""
    rows = [row([0.9] * 20, 400), row([0.1] * 20, 400, top_k=1)]
    found = held_out(rows, folds_of(["a", "b"] * 10, seed=0), rule=Rule())["quality"]
    assert found.quality.value == pytest.approx(0.9)
    assert (found.same, found.folds) == (2, 2)


def test_settings_that_each_suit_one_document_are_worth_less_held_out() -> None:
    """What is chosen by one document fails on the other, and the held-out figure says so."""
    suits_a = row([1.0, 0.0] * 10, 400, top_k=1)
    suits_b = row([0.0, 1.0] * 10, 400, top_k=2)
    found = held_out([suits_a, suits_b], folds_of(["a", "b"] * 10, seed=0), rule=Rule())["quality"]
    assert found.quality.value == 0.0
