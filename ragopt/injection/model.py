"""The detector's weights: for questions and for documents, signs and meaning, added and set against a threshold.

Fitted by `python -m eval fit-injection`; the numbers and their card lie in `ragopt/data`.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from indexes.records import FloatMatrix, FloatVector
from ragopt.errors import ConfigError
from ragopt.injection.signs import Signs

Place: TypeAlias = Literal["question", "document"]
PLACES: tuple[Place, ...] = ("question", "document")

SHIPPED_FILE = Path(__file__).parents[1] / "data" / "injection.npz"
SHIPPED_SHA256 = "8ea25c669799da5904560e81226ee706edeb198b6f30019f4dbc14742e195325"
# The score from which a text counts as an attack.
THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Meaning:
    """One hidden layer of rectified units over sentence vectors. hidden: float32 [inputs + 1, units], bias last.

    output: float32 [units + 1], bias last.
    """

    hidden: FloatMatrix
    output: FloatVector

    def log_odds(self, rows: FloatMatrix) -> NDArray[np.float32]:
        """Return the log-odds of each row, float32 [n], for rows as `question_row` and `document_row` make them."""
        units = np.maximum(rows @ self.hidden[:-1] + self.hidden[-1], 0)
        return np.asarray(units @ self.output[:-1] + self.output[-1], np.float32)


@dataclass(frozen=True, slots=True)
class Head:
    """What judges the texts of one place.

    threshold: log-odds of signs and meaning together that score 0.5; alone: of signs where no vectors are known.
    gate: log-odds of signs below which a text is harmless without its meaning.
    """

    signs: Signs
    meaning: Meaning
    threshold: float
    alone: float
    gate: float

    def joint(self, signs: float, meaning: float) -> float:
        """Return the score of a text whose vectors are known."""
        return chance(signs + meaning - self.threshold)

    def by_signs(self, signs: float) -> float:
        """Return the score of a text by its words alone."""
        return chance(signs - self.alone)


@dataclass(frozen=True, slots=True)
class InjectionModel:
    """A head for each place. embedder: how the tag of the embedding model begins whose vectors `meaning` reads."""

    heads: Mapping[Place, Head]
    embedder: str
    tag: str
    trained_on: Mapping[str, str]


def question_row(vector: FloatVector) -> FloatVector:
    """Return what `Meaning` reads of a question, given its sentence vector of unit length."""
    return scaled(vector)


def document_row(vector: FloatVector, around: FloatVector) -> FloatVector:
    """Return what `Meaning` reads of a piece: its vector, and how it stands to that of its surroundings."""
    return np.concatenate([scaled(vector), scaled(np.abs(vector - around)), len(vector) * vector * around])


def scaled(vector: FloatVector) -> FloatVector:
    """Return a unit vector with entries of about 1."""
    return np.asarray(math.sqrt(len(vector)) * vector, np.float32)


def chance(log_odds: float) -> float:
    """Return the score, in [0, 1], of log-odds counted from the threshold."""
    return 1 / (1 + math.exp(-min(60.0, max(-60.0, log_odds))))


def shipped_model() -> InjectionModel:
    """Return the model that ships. Raises: `ConfigError` if its file is not the one that was released."""
    data = SHIPPED_FILE.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHIPPED_SHA256:
        raise ConfigError(f"{SHIPPED_FILE}: not the file that ships with this version; install it again")
    return model_from_bytes(data)


def model_from_bytes(data: bytes) -> InjectionModel:
    """Return the model that `model_to_bytes` wrote. Raises: `ConfigError` if this is none."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            names, digests = file["set_names"].tolist(), file["set_digests"].tolist()
            heads = {place: read_head(file, place) for place in PLACES}
            embedder = str(file["embedder"])
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(f"not a detector of injected instructions: {error}") from error
    tag = hashlib.sha256(data).hexdigest()[:8]
    return InjectionModel(heads, embedder, tag, dict(zip(names, digests, strict=True)))


def read_head(file: Mapping[str, NDArray[np.generic]], place: Place) -> Head:
    """Return the head of a place."""
    scale, bias, threshold, alone, gate = (float(value) for value in file[f"{place}_numbers"])
    return Head(
        Signs(np.asarray(file[f"{place}_signs"], np.int8), scale, bias),
        Meaning(np.asarray(file[f"{place}_hidden"], np.float32), np.asarray(file[f"{place}_output"], np.float32)),
        threshold=threshold,
        alone=alone,
        gate=gate,
    )


def model_to_bytes(heads: Mapping[Place, Head], *, embedder: str, trained_on: Mapping[str, str]) -> bytes:
    """Return the heads as one file, their hidden layers in 16 bits; `trained_on`: the digests of the sets by name."""
    arrays: dict[str, NDArray[np.generic]] = {
        "embedder": np.array(embedder),
        "set_names": np.array(list(trained_on)),
        "set_digests": np.array(list(trained_on.values())),
    }
    for place, head in heads.items():
        numbers = [head.signs.scale, head.signs.bias, head.threshold, head.alone, head.gate]
        arrays[f"{place}_numbers"] = np.array(numbers, np.float64)
        arrays[f"{place}_signs"] = head.signs.weights
        arrays[f"{place}_hidden"] = head.meaning.hidden.astype(np.float16)
        arrays[f"{place}_output"] = head.meaning.output
    written = io.BytesIO()
    np.savez_compressed(written, **arrays)  # type: ignore[arg-type]
    return written.getvalue()
