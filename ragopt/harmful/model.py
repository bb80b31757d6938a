"""The detector's weights: a head for questions, one for sentences of answers, and what names the category.

Fitted by `python -m eval fit-harmful`; the numbers and their card lie in `ragopt/data`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from ragopt.errors import ConfigError
from ragopt.harmful.categories import CATEGORIES, CategoryModel
from ragopt.screening.weights import Weights, arrays_in, arrays_of, released_bytes, to_bytes, weights_in

Place: TypeAlias = Literal["question", "answer"]
PLACES: tuple[Place, ...] = ("question", "answer")

SHIPPED_FILE = Path(__file__).parents[1] / "data" / "harmful.npz"
SHIPPED_SHA256 = "5966cbb568426b8e1936afb805fa7e706ecde6a5a4808acfb5f84ace2189a8ec"


@dataclass(frozen=True, slots=True)
class HarmfulModel:
    """What judges, and what names the category of what was found."""

    weights: Weights[Place]
    categories: CategoryModel


def shipped_model() -> HarmfulModel:
    """Return the model that ships. Raises: `ConfigError` if its file is not the one that was released."""
    return model_from_bytes(released_bytes(SHIPPED_FILE, SHIPPED_SHA256))


def model_from_bytes(data: bytes) -> HarmfulModel:
    """Return the model that `model_to_bytes` wrote. Raises: `ConfigError` if this is none, or of other categories."""
    weights, arrays = weights_in(data, PLACES), arrays_in(data)
    try:
        names = arrays["category_names"].tolist()
        categories = CategoryModel(
            np.asarray(arrays["category_signs"], np.int8),
            float(arrays["category_scale"]),
            np.asarray(arrays["category_meaning"], np.float32),
        )
    except KeyError as error:
        raise ConfigError(f"not the weights of this detector: {error}") from error
    if names != list(CATEGORIES):
        raise ConfigError("the weights are of other categories than this version knows")
    return HarmfulModel(weights, categories)


def model_to_bytes(model: HarmfulModel) -> bytes:
    """Return the model as one file, its dense matrices in 16 bits."""
    weights, categories = model.weights, model.categories
    arrays = {
        **arrays_of(weights.heads, embedder=weights.embedder, trained_on=weights.trained_on),
        "category_names": np.array(CATEGORIES),
        "category_signs": categories.signs,
        "category_scale": np.array(categories.scale, np.float64),
        "category_meaning": categories.meaning.astype(np.float16),
    }
    return to_bytes(arrays)
