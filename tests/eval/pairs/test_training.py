"""Training of pair classifiers, on one so small that it learns in a moment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from eval.pairs.training import epoch_batches, logits_of, loss_on, rate_at, train, weighted_loss
from eval.pairs.values import Pair
from tests.eval.pairs.tiny import PAIRS, RECIPE, tiny_network


def test_training_lowers_the_loss_and_repeats() -> None:
    """The loss falls, and the same seed gives the same network."""
    first, second = (train(tiny_network(), PAIRS, PAIRS, recipe=RECIPE) for _ in range(2))
    assert first.history[-1].held_out_loss < loss_on(tiny_network(), PAIRS, recipe=RECIPE)
    assert first.history == second.history


def test_the_best_epoch_is_kept() -> None:
    """Training ends once the held-out loss no longer falls, and the state of its best epoch is what is returned."""
    recipe = replace(RECIPE, epochs=9, learning_rate=0.3, warm_up=0.0)
    trained = train(tiny_network(), PAIRS, PAIRS[:12], recipe=recipe)
    losses = [evaluation.held_out_loss for evaluation in trained.history]
    assert len(losses) < recipe.epochs
    logits = torch.from_numpy(logits_of(trained.network, PAIRS[:12], max_tokens=recipe.max_tokens))
    assert float(weighted_loss(logits, PAIRS[:12])) == pytest.approx(min(losses))


def test_an_epoch_has_every_pair_once() -> None:
    """Batches hold every pair once; a symmetric recipe turns about half of them around, another none."""
    turned = [pair for batch in epoch_batches(PAIRS, np.random.default_rng(1), recipe=RECIPE) for pair in batch]
    assert sorted(sorted((pair.a, pair.b)) for pair in turned) == sorted(sorted((pair.a, pair.b)) for pair in PAIRS)
    assert 0.2 < sum(pair not in PAIRS for pair in turned) / len(PAIRS) < 0.8
    recipe = replace(RECIPE, symmetric=False)
    kept = [pair for batch in epoch_batches(PAIRS, np.random.default_rng(1), recipe=recipe) for pair in batch]
    assert set(kept) == set(PAIRS)


def test_a_weight_counts_as_often() -> None:
    """A pair of weight 3 has the loss of three such pairs, with one label and with several."""
    for labels in (1, 3):
        logits = torch.randn(2, labels)
        weighted = weighted_loss(logits, [Pair("a", "b", 1), Pair("a", "b", 0, weight=3.0)])
        repeated = weighted_loss(logits[[0, 1, 1, 1]], [Pair("a", "b", 1), *[Pair("a", "b", 0)] * 3])
        assert float(weighted) == pytest.approx(float(repeated))


def test_the_learning_rate_rises_and_falls() -> None:
    """It starts above 0, reaches 1 at the end of the warm-up and falls straight to almost 0."""
    rates = [rate_at(step, 100, 0.1) for step in range(100)]
    assert max(rates) == 1 == rates[9]
    assert 0 < rates[0] < rates[8]
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.02


def test_nothing_to_train_on_is_refused() -> None:
    """No pairs is an error, not an untrained network."""
    with pytest.raises(ValueError, match="nothing to train on"):
        train(tiny_network(), [], [], recipe=RECIPE)
