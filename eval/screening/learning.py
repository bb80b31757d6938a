"""The weights of a detector, learned: a linear model over signs, and a few small networks over sentence vectors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from eval.screening.examples import MADE
from ragopt.screening.heads import Head, Meaning
from ragopt.screening.signs import BUCKETS, Signs, buckets

Flags = NDArray[np.bool_]
Rows = NDArray[np.float32]
Odds = NDArray[np.float64]

LARGEST_INT8 = 127
# Of the weights of signs, as a prior of a normal distribution; measured on families that were left out.
SIGNS_PENALTY = 0.33
SIGNS_STEPS = 80
# Networks that differ by their seed; their mean is one network with as many times the units.
NETWORKS, UNITS, EPOCHS = 3, 32, 15
BATCH, RATE, DECAY = 256, 2e-3, 1e-2
DROPPED_INPUTS, DROPPED_UNITS = 0.1, 0.3


@dataclass(frozen=True, slots=True)
class Material:
    """Rows to learn from. rows: what `Meaning` reads, float32 [n, inputs]. groups: what is left out together.

    positive: what is looked for.
    """

    texts: Sequence[str]
    rows: Rows
    positive: Flags
    sources: Sequence[str]
    groups: Sequence[str]

    @property
    def real(self) -> Flags:
        """Return which rows are harmless texts of sets; made ones are of none."""
        made = np.array([source.startswith(MADE) for source in self.sources], np.bool_)
        return np.logical_not(self.positive | made)

    def part(self, chosen: Flags) -> Material:
        """Return the rows that are chosen."""
        at: list[int] = np.flatnonzero(chosen).tolist()
        return Material(
            [self.texts[i] for i in at],
            self.rows[at],
            self.positive[at],
            [self.sources[i] for i in at],
            [self.groups[i] for i in at],
        )


@dataclass(frozen=True, slots=True)
class Learned:
    """Signs and meaning of one place, before their thresholds are known."""

    signs: Signs
    meaning: Meaning

    def odds(self, material: Material) -> tuple[Odds, Odds]:
        """Return the log-odds of signs and of meaning for each row."""
        signs = np.array([self.signs.log_odds(text) for text in material.texts], np.float64)
        return signs, self.meaning.log_odds(material.rows).astype(np.float64)

    def head(self, *, threshold: float, alone: float, gate: float) -> Head:
        """Return the head with these thresholds; see `Head`."""
        return Head(self.signs, self.meaning, threshold=threshold, alone=alone, gate=gate)


def learn(material: Material, *, seed: int) -> Learned:
    """Return what is learned from rows; the same for the same rows and seed."""
    torch.set_num_threads(1)
    weights = row_weights(material)
    return Learned(learn_signs(material, weights), learn_meaning(material, weights, seed=seed))


def row_weights(material: Material) -> Rows:
    """Return a weight per row, 1 on average: both labels weigh the same, sources by the root of their size."""
    kinds = list(zip(material.sources, material.positive.tolist(), strict=True))
    sizes = Counter(kinds)
    weights = np.array([sizes[kind] ** -0.5 for kind in kinds])
    for label in (False, True):
        weights[material.positive == label] /= weights[material.positive == label].sum()
    return np.asarray(weights * len(weights) / 2, np.float32)


def learn_signs(material: Material, weights: Rows) -> Signs:
    """Return the linear model of a logistic regression."""
    table, bias = torch.zeros(BUCKETS, 1, requires_grad=True), torch.zeros(1, requires_grad=True)
    labels, of_row = torch.from_numpy(material.positive.astype(np.float32)), torch.from_numpy(weights)
    sums = sums_of_signs(material.texts)

    def loss() -> torch.Tensor:
        odds = sums(table)[:, 0] + bias
        each = torch.nn.functional.binary_cross_entropy_with_logits(odds, labels, reduction="none")
        return (each * of_row).sum() + SIGNS_PENALTY / 2 * table.square().sum()

    minimise(loss, [table, bias], steps=SIGNS_STEPS)
    found, scale = in_int8(table.detach().numpy()[:, 0])
    return Signs(found, scale, float(bias.detach()))


def sums_of_signs(texts: Sequence[str]) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what adds up a table, float32 [BUCKETS, n], over the signs of each text, by the root of their number."""
    lists = [buckets(text) for text in texts]
    places = torch.tensor(np.concatenate(lists))
    offsets = torch.tensor(np.cumsum([0, *map(len, lists[:-1])]))
    shares = torch.tensor([len(found) ** -0.5 for found in lists for _ in found])

    def sums(table: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.embedding_bag(places, table, offsets, mode="sum", per_sample_weights=shares)

    return sums


def minimise(loss: Callable[[], torch.Tensor], parameters: list[torch.Tensor], *, steps: int) -> None:
    """Move parameters to where the loss is least, by full-batch quasi-Newton steps."""
    optimizer = torch.optim.LBFGS(parameters, max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        total = loss()
        torch.autograd.backward(total)
        return total

    optimizer.step(closure)  # type: ignore[no-untyped-call]


def in_int8(table: Rows) -> tuple[NDArray[np.int8], float]:
    """Return weights as bytes and what to multiply them with."""
    scale = float(np.abs(table).max()) / LARGEST_INT8 or 1.0
    return np.rint(table / scale).astype(np.int8), scale


class Network(torch.nn.Module):
    """Log-odds float32 [n] from rows float32 [n, inputs]: one layer of rectified units, dropout around it."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(inputs, UNITS)
        self.outer = torch.nn.Linear(UNITS, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the log-odds."""
        drop = torch.nn.functional.dropout
        seen = self.inner(drop(rows, DROPPED_INPUTS, self.training))
        odds: torch.Tensor = self.outer(drop(torch.relu(seen), DROPPED_UNITS, self.training))
        return odds[:, 0]


def learn_meaning(material: Material, weights: Rows, *, seed: int) -> Meaning:
    """Return the mean of a few networks as one."""
    nets = [trained_network(material, weights, seed=seed + number) for number in range(NETWORKS)]
    hidden = np.hstack([layer(net.inner) for net in nets])
    outputs = [layer(net.outer)[:, 0] / NETWORKS for net in nets]
    output = np.append(np.concatenate([part[:-1] for part in outputs]), sum(part[-1] for part in outputs))
    return Meaning(hidden.astype(np.float16).astype(np.float32), output.astype(np.float32))


def layer(linear: torch.nn.Linear) -> Rows:
    """Return the weights of a layer, float32 [inputs + 1, outputs], its bias last."""
    return np.vstack([linear.weight.detach().numpy().T, linear.bias.detach().numpy()]).astype(np.float32)


def trained_network(material: Material, weights: Rows, *, seed: int) -> Network:
    """Return a trained network, in evaluation mode."""
    torch.manual_seed(seed)
    drawn = torch.Generator().manual_seed(seed)
    rows, labels = torch.from_numpy(material.rows), torch.from_numpy(material.positive.astype(np.float32))
    of_row = torch.from_numpy(weights)
    net = Network(rows.shape[1])
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
    for _ in range(EPOCHS):
        order = torch.randperm(len(rows), generator=drawn)
        for start in range(0, len(rows), BATCH):
            at = order[start : start + BATCH]
            each = torch.nn.functional.binary_cross_entropy_with_logits(net(rows[at]), labels[at], reduction="none")
            optimizer.zero_grad()
            torch.autograd.backward((each * of_row[at]).mean())
            optimizer.step()
    return net.eval()
