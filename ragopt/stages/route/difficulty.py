"""How hard a question is: the calibrated probability, in [0, 1], that a cheap model fails at it.

Two heads. `general` reads the question alone: a linear map of its embedding and its length. `evidence` reads the
features of the packed context, with what `general` says as one of them; it decides wherever there is a context.
Fitted by `python -m eval fit-routing`; the numbers and their card lie in `ragopt/data`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexes.records import FloatVector
from ragopt.domain import Context, Turn
from ragopt.errors import ConfigError
from ragopt.stages.route.features import evidence_features, question_features

SHIPPED_FILE = Path(__file__).parents[2] / "data" / "difficulty.json"
SHIPPED_SHA256 = "6ed6e7bb3385edb82aa80af170132fb72976842674a91652870a32fb97c4d5a1"
# Longer or shorter than nearly all that the length was fitted to, a question is as if it were at the edge.
MOST_DEVIATIONS = 3.0


@dataclass(frozen=True, slots=True)
class GeneralHead:
    """Difficulty of a question alone.

    embedding: float32 [dim], weights of its embedding. Both parts are standardised, by `*_mean` and `*_scale`, and
    added; `slope`, `intercept` make the sum a log-odds, `length_slope`, `length_intercept` the length alone.
    """

    embedding: FloatVector
    embedding_mean: float
    embedding_scale: float
    length_mean: float
    length_scale: float
    slope: float
    intercept: float
    length_slope: float
    length_intercept: float

    def log_odds(self, question: str, embedding: FloatVector | None) -> float:
        """Return the log-odds that a cheap model fails where a strong one does not; by length without embedding."""
        if embedding is None:
            length = standardised_length(question, mean=self.length_mean, scale=self.length_scale)
            return self.length_slope * length + self.length_intercept
        return self.slope * self.standardised(question, embedding) + self.intercept

    def standardised(self, question: str, embedding: FloatVector) -> float:
        """Return the sum of both parts, in their standard deviations: what `slope` and `intercept` calibrate."""
        meaning = (float(embedding @ self.embedding) - self.embedding_mean) / self.embedding_scale
        return meaning + standardised_length(question, mean=self.length_mean, scale=self.length_scale)


@dataclass(frozen=True, slots=True)
class EvidenceHead:
    """A logistic regression over named features: each less its mean, times its weight (its scale is in the weight)."""

    means: Mapping[str, float]
    weights: Mapping[str, float]
    bias: float

    def log_odds(self, features: Mapping[str, float]) -> float:
        """Return the log-odds that a cheap model fails. Raises: `KeyError` for a feature that is missing."""
        return self.bias + sum(weight * (features[name] - self.means[name]) for name, weight in self.weights.items())


@dataclass(frozen=True, slots=True)
class Difficulty:
    """Both heads. embedder: how the tag of the embedding model begins whose vectors `general` was fitted to."""

    general: GeneralHead
    evidence: EvidenceHead
    embedder: str

    def of_question(self, question: str, embedding: FloatVector | None) -> float:
        """Return the difficulty of a question that has no context."""
        return probability(self.general.log_odds(question, embedding))

    def of_context(self, context: Context, history: Sequence[Turn], *, embedding: FloatVector | None) -> float:
        """Return the difficulty of a question for which passages were packed."""
        return probability(self.evidence.log_odds(self.features(context, history, embedding=embedding)))

    def features(self, context: Context, history: Sequence[Turn], *, embedding: FloatVector | None) -> dict[str, float]:
        """Return everything the evidence head may read, by name."""
        asked = context.standalone_question
        return {
            "general": self.general.log_odds(asked, embedding),
            **question_features(asked),
            **evidence_features(context, history),
        }


def standardised_length(question: str, *, mean: float, scale: float) -> float:
    """Return the log of the length in characters in standard deviations from the mean, at most 3 either way."""
    deviation = (math.log(max(1, len(question))) - mean) / scale
    return min(MOST_DEVIATIONS, max(-MOST_DEVIATIONS, deviation))


def probability(log_odds: float) -> float:
    """Return the probability of a log-odds."""
    return 1 / (1 + math.exp(-min(60.0, max(-60.0, log_odds))))


def shipped_difficulty() -> Difficulty:
    """Return the scorer that ships. Raises: `ConfigError` if its file is not the one that was released."""
    data = SHIPPED_FILE.read_bytes()
    if hashlib.sha256(data).hexdigest() != SHIPPED_SHA256:
        raise ConfigError(f"{SHIPPED_FILE}: not the file that ships with this version; install it again")
    return difficulty_from_json(data)


def trained_sets() -> dict[str, str]:
    """Return the digests, by name, of the sets that the scorer that ships was trained on."""
    found: dict[str, str] = json.loads(SHIPPED_FILE.read_bytes())["trained_on"]
    return found


def difficulty_from_json(data: bytes) -> Difficulty:
    """Return the scorer that `difficulty_to_json` wrote. Raises: `ConfigError` if this is none."""
    try:
        fields = json.loads(data)
        general = {**fields["general"], "embedding": np.asarray(fields["general"]["embedding"], np.float32)}
        return Difficulty(GeneralHead(**general), EvidenceHead(**fields["evidence"]), fields["embedder"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"not a difficulty scorer: {error}") from error


def difficulty_to_json(scorer: Difficulty, *, trained_on: Mapping[str, str]) -> str:
    """Return the scorer as JSON; `trained_on`: the digests of the sets by name."""
    general = {name: getattr(scorer.general, name) for name in GeneralHead.__slots__ if name != "embedding"}
    return json.dumps(
        {
            "embedder": scorer.embedder,
            "trained_on": dict(trained_on),
            "evidence": {
                "bias": round(scorer.evidence.bias, 6),
                "means": rounded(scorer.evidence.means),
                "weights": rounded(scorer.evidence.weights),
            },
            "general": {
                **rounded(general),
                "embedding": [round(float(weight), 6) for weight in scorer.general.embedding],
            },
        },
        indent=1,
    )


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """Return the numbers with 6 digits after the point."""
    return {name: round(float(value), 6) for name, value in values.items()}
