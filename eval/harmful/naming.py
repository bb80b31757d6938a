"""What names the category of a harmful text: a multinomial logistic regression over signs, and one over vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from eval.screening.folds import FOLDS, folds_of
from eval.screening.learning import Material, Rows, in_int8, minimise, sums_of_signs
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
    signs, scale = in_int8(learn_signs(material, labels, weights))
    return CategoryModel(np.ascontiguousarray(signs.T), scale, learn_meaning(material, labels, weights))


def learn_signs(material: Material, labels: torch.Tensor, weights: torch.Tensor) -> Rows:
    """Return the weights of the buckets, float32 [BUCKETS, categories]."""
    table = torch.zeros(BUCKETS, len(CATEGORIES), requires_grad=True)
    sums = sums_of_signs(material.texts)
    return minimised(lambda: sums(table), table, labels, weights, penalty=SIGNS_PENALTY)


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
    """Return the table at which the loss of the log-odds is least."""

    def loss() -> torch.Tensor:
        each = torch.nn.functional.cross_entropy(odds(), labels, reduction="none")
        return (each * weights).sum() + penalty / 2 * table.square().sum()

    minimise(loss, [table], steps=STEPS)
    return np.asarray(table.detach().numpy(), np.float32)


def unseen_categories(material: Material, categories: Sequence[str], *, seed: int) -> list[bool]:
    """Return for each text whether its category is named rightly by weights that saw none of its group."""
    fold = folds_of(material, seed=seed)
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
