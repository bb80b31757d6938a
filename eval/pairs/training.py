"""Training of a pair classifier on the CPU: seeded, batches of like length, bfloat16 products, early stop."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tqdm import tqdm

from eval.pairs.network import PairNetwork
from eval.pairs.values import Pair, Recipe
from indexes.classifier import padded_pairs
from indexes.compiled import IdMatrix
from indexes.model import fast_tokenizer, shipped_folder

Batch: TypeAlias = tuple[IdMatrix, IdMatrix, IdMatrix]
LogitRows: TypeAlias = NDArray[np.float32]

# Batches are cut from so many shuffled pairs sorted by length: little padding, and still another mixture every time.
BUCKET_BATCHES = 20
EVALUATED_AT_ONCE = 64
WEIGHT_DECAY = 0.01
# The head begins at random, the trunk does not.
HEAD_RATE = 5
LARGEST_GRADIENT = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """After an epoch: the mean loss while training, and on what was held out."""

    epoch: int
    trained_loss: float
    held_out_loss: float


@dataclass(frozen=True, slots=True)
class Trained:
    """The network as it was after its best epoch, in evaluation mode; `history` has every epoch."""

    network: PairNetwork
    history: tuple[Evaluation, ...]


def train(network: PairNetwork, pairs: Sequence[Pair], held_out: Sequence[Pair], *, recipe: Recipe) -> Trained:
    """Train in place and return the best state by loss on `held_out`, the last one if that is empty.

    Raises: `ValueError` if there are no pairs.
    """
    if not pairs:
        raise ValueError("nothing to train on")
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.threads)
    rng = np.random.default_rng(recipe.seed)
    trunk = [weights for weights in network.trunk.parameters() if weights.requires_grad]
    groups = [
        {"params": trunk, "lr": recipe.learning_rate},
        {"params": list(network.head.parameters()), "lr": HEAD_RATE * recipe.learning_rate},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)
    steps = recipe.epochs * -(-len(pairs) // recipe.batch_pairs)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(step, steps, recipe.warm_up))
    history: list[Evaluation] = []
    best, best_loss = copy.deepcopy(network.state_dict()), float("inf")
    for epoch in range(recipe.epochs):
        trained = one_epoch(network, pairs, Optimization(optimizer, schedule, rng), recipe=recipe)
        tested = loss_on(network, held_out, recipe=recipe) if held_out else -float(epoch)
        history.append(Evaluation(epoch + 1, trained, tested))
        logger.info("epoch %d: loss %.4f, held out %.4f", epoch + 1, trained, tested)
        if tested < best_loss:
            best, best_loss = copy.deepcopy(network.state_dict()), tested
        elif len(history) - best_epoch(history) >= recipe.patience:
            break
    network.load_state_dict(best)
    return Trained(network.eval(), tuple(history))


@dataclass(frozen=True, slots=True)
class Optimization:
    """What changes from step to step."""

    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    rng: np.random.Generator


def rate_at(step: int, steps: int, warm_up: float) -> float:
    """Return the share of the learning rate at a step: up to 1 over the warm-up, then straight down to 0."""
    rising = max(1, round(warm_up * steps))
    return min((step + 1) / rising, max(0.0, (steps - step) / max(1, steps - rising)))


def best_epoch(history: Sequence[Evaluation]) -> int:
    """Return the number of the epoch with the least held-out loss, counted from 1."""
    return min(history, key=lambda evaluation: evaluation.held_out_loss).epoch


def one_epoch(network: PairNetwork, pairs: Sequence[Pair], state: Optimization, *, recipe: Recipe) -> float:
    """Train on every pair once and return the mean loss."""
    network.train()
    losses = []
    tokenizer = pair_tokenizer(recipe.max_tokens)
    with tqdm(total=len(pairs), desc="train", unit="pair", mininterval=5) as bar:
        for batch in epoch_batches(pairs, state.rng, recipe=recipe):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = network(*tensors(encoded(tokenizer, batch)))
            loss = weighted_loss(logits.float(), batch)
            state.optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
            state.optimizer.step()
            state.schedule.step()
            losses.append(float(loss.detach()))
            bar.update(len(batch))
            bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}", refresh=False)
    return float(np.mean(losses))


def epoch_batches(pairs: Sequence[Pair], rng: np.random.Generator, *, recipe: Recipe) -> Iterator[list[Pair]]:
    """Yield every pair once in batches of like length, in a drawn order, turned around at random if symmetric."""
    order = rng.permutation(len(pairs)).tolist()
    bucket = BUCKET_BATCHES * recipe.batch_pairs
    batches: list[list[Pair]] = []
    for start in range(0, len(order), bucket):
        alike = sorted((pairs[at] for at in order[start : start + bucket]), key=lambda pair: len(pair.a) + len(pair.b))
        batches += [alike[at : at + recipe.batch_pairs] for at in range(0, len(alike), recipe.batch_pairs)]
    for at in rng.permutation(len(batches)).tolist():
        turned = rng.random(len(batches[at])) < (0.5 if recipe.symmetric else 0.0)
        yield [
            Pair(pair.b, pair.a, pair.label, pair.weight, pair.source) if turn else pair
            for pair, turn in zip(batches[at], turned.tolist(), strict=True)
        ]


def pair_tokenizer(max_tokens: int) -> Tokenizer:
    """Return the tokenizer of the packaged embedding model, cutting the longer text of a pair."""
    return fast_tokenizer(shipped_folder(), max_tokens=max_tokens)


def encoded(tokenizer: Tokenizer, batch: Sequence[Pair]) -> Batch:
    """Return ids, mask and types, int64 [batch, width]."""
    return padded_pairs(tokenizer.encode_batch([(pair.a, pair.b) for pair in batch]))


def tensors(batch: Batch) -> tuple[torch.Tensor, ...]:
    """Return the matrices as tensors that share their memory."""
    return tuple(torch.from_numpy(matrix) for matrix in batch)


def weighted_loss(logits: torch.Tensor, batch: Sequence[Pair]) -> torch.Tensor:
    """Return the weighted mean of the logistic loss (one label) or of the cross entropy (several)."""
    weights = torch.tensor([pair.weight for pair in batch])
    labels = torch.tensor([pair.label for pair in batch])
    if logits.shape[1] == 1:
        losses = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 0], labels.float(), reduction="none")
    else:
        losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    return (losses * weights).sum() / weights.sum()


def loss_on(network: PairNetwork, pairs: Sequence[Pair], *, recipe: Recipe) -> float:
    """Return the weighted mean loss on pairs, without learning."""
    logits = torch.from_numpy(logits_of(network, pairs, max_tokens=recipe.max_tokens))
    return float(weighted_loss(logits, pairs))


def logits_of(network: PairNetwork, pairs: Sequence[Pair], *, max_tokens: int) -> LogitRows:
    """Return float32 [n, labels], in order, without learning; [0, labels] for no pairs."""
    network.eval()
    tokenizer = pair_tokenizer(max_tokens)
    order = sorted(range(len(pairs)), key=lambda at: len(pairs[at].a) + len(pairs[at].b))
    found = np.zeros((len(pairs), network.head.out_features), np.float32)
    for start in range(0, len(order), EVALUATED_AT_ONCE):
        places = order[start : start + EVALUATED_AT_ONCE]
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            logits = network(*tensors(encoded(tokenizer, [pairs[at] for at in places])))
        found[places] = logits.float().numpy()
    return found
