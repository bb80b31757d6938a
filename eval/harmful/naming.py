"""What names the category of a harmful text: a multinomial logistic regression over signs, and one over vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zlib import crc32

import numpy as np
import torch

from eval.screening.folds import FOLDS
from eval.screening.learning import LARGEST_INT8, Material, Rows
from ragopt.harmful.categories import CATEGORIES, CategoryModel
from ragopt.screening.judging import Reading
from ragopt.screening.signs import BUCKETS, buckets

SIGNS_PENALTY, MEANING_PENALTY, STEPS = 0.3, 3.0, 60


def learn_categories(material: Material, categories: Sequence[str]) -> CategoryModel:
    """Return what is learned from harmful texts and their categories; the same for the same ones."""
    torch.set_num_threads(1)
    labels = torch.tensor([CATEGORIES.index(name) for name in categories])
    counts = torch.bincount(labels, minlength=len(CATEGORIES)).clamp(min=1)
    weights = (len(labels) / len(CATEGORIES) / counts)[labels]
    signs = learn_signs(material, labels, weights)
    scale = float(np.abs(signs).max()) / LARGEST_INT8 or 1.0
    rounded = np.rint(signs / scale).astype(np.int8)
    return CategoryModel(np.ascontiguousarray(rounded.T), scale, learn_meaning(material, labels, weights))


def learn_signs(material: Material, labels: torch.Tensor, weights: torch.Tensor) -> Rows:
    """Return the weights of the buckets, float32 [BUCKETS, categories]."""
    lists = [buckets(text) for text in material.texts]
    places = torch.tensor(np.concatenate(lists))
    offsets = torch.tensor(np.cumsum([0, *map(len, lists[:-1])]))
    shares = torch.tensor([len(found) ** -0.5 for found in lists for _ in found], dtype=torch.float32)
    table = torch.zeros(BUCKETS, len(CATEGORIES), requires_grad=True)

    def odds() -> torch.Tensor:
        return torch.nn.functional.embedding_bag(places, table, offsets, mode="sum", per_sample_weights=shares)

    return minimised(odds, table, labels, weights, penalty=SIGNS_PENALTY)


def learn_meaning(material: Material, labels: torch.Tensor, weights: torch.Tensor) -> Rows:
    """Return the weights of sentence vectors, float32 [inputs + 1, categories], bias last."""
    rows = torch.from_numpy(np.hstack([material.rows, np.ones((len(material.rows), 1), np.float32)]))
    table = torch.zeros(rows.shape[1], len(CATEGORIES), requires_grad=True)
    return minimised(lambda: rows @ table, table, labels, weights, penalty=MEANING_PENALTY)


def minimised(
    odds: Callable[[], torch.Tensor],
    table: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    *,
    penalty: float,
) -> Rows:
    """Return the table at which the loss of the log-odds is least, by full-batch quasi-Newton steps."""
    optimizer = torch.optim.LBFGS([table], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        each = torch.nn.functional.cross_entropy(odds(), labels, reduction="none")
        total = (each * weights).sum() + penalty / 2 * table.square().sum()
        torch.autograd.backward(total)
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return np.asarray(table.detach().numpy(), np.float32)


def unseen_categories(material: Material, categories: Sequence[str], *, seed: int) -> list[bool]:
    """Return for each text whether its category is named rightly by weights that saw none of its group."""
    fold = np.array([crc32(f"{seed}/{group}".encode()) % FOLDS for group in material.groups])
    right = [False] * len(fold)
    for number in range(FOLDS):
        model = learn_categories(
            material.part(fold != number), [name for name, own in zip(categories, fold, strict=True) if own != number]
        )
        for at in np.flatnonzero(fold == number).tolist():
            reading = Reading(material.texts[at], buckets(material.texts[at]))
            vector = material.rows[at] / np.linalg.norm(material.rows[at])
            right[at] = model.of(reading, vector) == categories[at]
    return right
