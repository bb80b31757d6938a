"""Whether a question leans on its history, and what of the history it means: two small models, fitted, in one file.

Fitted by `python -m eval fit-rewrite`; the numbers and their card lie in `ragopt/data`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ragopt.domain import Turn
from ragopt.errors import ConfigError
from ragopt.stages.rewrite.candidates import Candidate, candidates_of, features_of
from ragopt.stages.rewrite.conversation import Rarity, read_turns
from ragopt.stages.rewrite.signs import Asked

Matrix = NDArray[np.float32]
Vector = NDArray[np.float32]

SHIPPED_FILE = Path(__file__).parents[2] / "data" / "follow_up.json"
SHIPPED_SHA256 = "8c2e5f6c3c1f56f6b07b2b13cbd4f6f1d4d0a30ef242f622772f17ce55e3d8f2"


@dataclass(frozen=True, slots=True)
class Inputs:
    """Named numbers to a standardised vector: each less its mean, divided by its scale."""

    names: tuple[str, ...]
    means: Vector
    scales: Vector

    def rows(self, named: Sequence[Mapping[str, float]]) -> Matrix:
        """Return float32 [n, names]. Raises: `KeyError` for a name that is missing."""
        values = np.array([[row[name] for name in self.names] for row in named], np.float32)
        return np.asarray((values.reshape(len(named), len(self.names)) - self.means) / self.scales, np.float32)


@dataclass(frozen=True, slots=True)
class Gate:
    """A logistic regression over the signs of a question."""

    inputs: Inputs
    weights: Vector
    bias: float

    def leaning(self, signs: Mapping[str, float]) -> float:
        """Return, from 0 to 1, how much a question leans on its history; 1/2 where both are as likely."""
        return float(sigmoid(self.inputs.rows([signs])[0] @ self.weights + np.float32(self.bias)))


@dataclass(frozen=True, slots=True)
class Selector:
    """One hidden layer of rectified units over the signs of a question and the features of a candidate.

    hidden: float32 [inputs, units], with its bias. output: float32 [units], with its bias.
    """

    inputs: Inputs
    hidden: Matrix
    hidden_bias: Vector
    output: Vector
    output_bias: float

    def chances(self, named: Sequence[Mapping[str, float]]) -> Vector:
        """Return float32 [n]: the chance that a person would carry each candidate into the question."""
        units = np.maximum(self.inputs.rows(named) @ self.hidden + self.hidden_bias, 0)
        return sigmoid(units @ self.output + np.float32(self.output_bias))


@dataclass(frozen=True, slots=True)
class Reading:
    """A question read against its history. chances: of each candidate, [] where none was read."""

    leaning: float
    candidates: Sequence[Candidate]
    chances: Sequence[float]


@dataclass(frozen=True, slots=True)
class FollowUpModel:
    """Both models, and the table of words they read."""

    rarity: Rarity
    gate: Gate
    selector: Selector

    def read(self, text: str, history: Sequence[Turn], *, from_leaning: float = 0.0) -> Reading:
        """Return what the question leans on; candidates are weighed only where it leans at least so much."""
        asked, signs = signs_of(text, history, rarity=self.rarity)
        leaning = self.gate.leaning(signs)
        if leaning < from_leaning:
            return Reading(leaning, (), ())
        candidates, rows = candidate_rows(asked, signs)
        return Reading(leaning, candidates, self.selector.chances(rows).tolist() if rows else ())


def signs_of(text: str, history: Sequence[Turn], *, rarity: Rarity) -> tuple[Asked, dict[str, float]]:
    """Return a question taken apart over its history, and its signs."""
    asked = Asked(text, read_turns(history), rarity)
    return asked, asked.signs()


def candidate_rows(asked: Asked, signs: Mapping[str, float]) -> tuple[list[Candidate], list[dict[str, float]]]:
    """Return the candidates of the turns before a question, and for each its features and the question's signs."""
    known = frozenset(asked.topics)
    candidates = candidates_of(asked.turns, known)
    rows = [{**signs, **features_of(item, asked.turns, known=known, rarity=asked.rarity)} for item in candidates]
    return candidates, rows


def sigmoid(values: Vector) -> Vector:
    """Return the logistic function of each value."""
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -30, 30))), np.float32)


def shipped_model() -> FollowUpModel:
    """Return the model that ships. Raises: `ConfigError` if its file is not the one that was released."""
    data = SHIPPED_FILE.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHIPPED_SHA256:
        raise ConfigError(f"{SHIPPED_FILE}: not the file that ships with this version; install it again")
    return model_from_json(data)


def trained_sets() -> dict[str, str]:
    """Return the digests, by name, of the sets that the model that ships was trained on."""
    found: dict[str, str] = json.loads(SHIPPED_FILE.read_bytes())["trained_on"]
    return found


def model_from_json(data: bytes) -> FollowUpModel:
    """Return the model that `model_to_json` wrote. Raises: `ConfigError` if this is none."""
    try:
        fields = json.loads(data)
        gate, selector = fields["gate"], fields["selector"]
        return FollowUpModel(
            Rarity(fields["rarity"]),
            Gate(inputs_from(gate), np.asarray(gate["weights"], np.float32), float(gate["bias"])),
            Selector(
                inputs_from(selector),
                np.asarray(selector["hidden"], np.float32),
                np.asarray(selector["hidden_bias"], np.float32),
                np.asarray(selector["output"], np.float32),
                float(selector["output_bias"]),
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"not a follow-up model: {error}") from error


def inputs_from(fields: Mapping[str, Sequence[float]]) -> Inputs:
    """Return the inputs of one part of the file."""
    names = tuple(str(name) for name in fields["names"])
    return Inputs(names, np.asarray(fields["means"], np.float32), np.asarray(fields["scales"], np.float32))


def model_to_json(model: FollowUpModel, *, trained_on: Mapping[str, str]) -> str:
    """Return the model as JSON; `trained_on`: the digests of the sets by name."""
    gate, selector = model.gate, model.selector
    return json.dumps(
        {
            "trained_on": dict(trained_on),
            "gate": {**inputs_to(gate.inputs), "weights": digits(gate.weights), "bias": round(gate.bias, 4)},
            "selector": {
                **inputs_to(selector.inputs),
                "hidden": [digits(row) for row in selector.hidden],
                "hidden_bias": digits(selector.hidden_bias),
                "output": digits(selector.output),
                "output_bias": round(selector.output_bias, 4),
            },
            "rarity": dict(model.rarity.table),
        },
        ensure_ascii=False,
    )


def inputs_to(inputs: Inputs) -> dict[str, list[str] | list[float]]:
    """Return inputs as the file has them."""
    return {"names": list(inputs.names), "means": digits(inputs.means), "scales": digits(inputs.scales)}


def digits(values: Vector) -> list[float]:
    """Return the numbers with 4 digits after the point."""
    return [round(float(value), 4) for value in values]
