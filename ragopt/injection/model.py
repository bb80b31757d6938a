"""The detector's weights: a head for questions and one for documents.

Fitted by `python -m eval fit-injection`; the numbers and their card lie in `ragopt/data`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from indexes.records import FloatVector
from ragopt.screening.heads import Head, scaled
from ragopt.screening.weights import Weights, arrays_of, released_bytes, to_bytes, weights_in

Place: TypeAlias = Literal["question", "document"]
PLACES: tuple[Place, ...] = ("question", "document")
InjectionModel: TypeAlias = Weights[Place]

SHIPPED_FILE = Path(__file__).parents[1] / "data" / "injection.npz"
SHIPPED_SHA256 = "8ea25c669799da5904560e81226ee706edeb198b6f30019f4dbc14742e195325"


def document_row(vector: FloatVector, around: FloatVector) -> FloatVector:
    """Return what `Meaning` reads of a piece: its vector, and how it stands to that of its surroundings."""
    return np.concatenate([scaled(vector), scaled(np.abs(vector - around)), len(vector) * vector * around])


def shipped_model() -> InjectionModel:
    """Return the model that ships. Raises: `ConfigError` if its file is not the one that was released."""
    return model_from_bytes(released_bytes(SHIPPED_FILE, SHIPPED_SHA256))


def model_from_bytes(data: bytes) -> InjectionModel:
    """Return the model that `model_to_bytes` wrote. Raises: `ConfigError` if this is none."""
    return weights_in(data, PLACES)


def model_to_bytes(heads: Mapping[Place, Head], *, embedder: str, trained_on: Mapping[str, str]) -> bytes:
    """Return the heads as one file; `trained_on`: the digests of the sets by name."""
    return to_bytes(arrays_of(heads, embedder=embedder, trained_on=trained_on))
