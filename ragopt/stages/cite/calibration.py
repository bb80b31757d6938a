"""Features and a model's logit to the chance that a claim is supported, and to what is said of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from indexes.errors import ModelUnavailable
from indexes.model import file_sha256, read_json
from ragopt.domain import Support

SHIPPED = Path(__file__).parents[2] / "data" / "support"
CALIBRATION = "calibration.json"
LOGIT = "logit"


@dataclass(frozen=True, slots=True)
class Calibration:
    """A logistic regression over named features, and where its score is sure enough to be said.

    A claim is called unsupported below `unsupported_below` and supported from `supported_from` on; in between it is
    unchecked.
    """

    weights: Mapping[str, float]
    intercept: float
    unsupported_below: float
    supported_from: float

    def score(self, features: Mapping[str, float]) -> float:
        """Return the chance in [0, 1] that a claim with these features is supported."""
        log_odds = self.intercept + sum(weight * features[name] for name, weight in self.weights.items())
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, log_odds))))

    def support(self, score: float) -> Support:
        """Return what is said of a claim with this score."""
        if score < self.unsupported_below:
            return "unsupported"
        return "supported" if score >= self.supported_from else "unchecked"


@dataclass(frozen=True, slots=True)
class Calibrations:
    """The one for features and logit, and the one for features alone, which stands in where no model runs."""

    judged: Calibration
    lexical: Calibration


def read_calibrations(folder: Path) -> tuple[Calibrations, str]:
    """Return the calibrations in a folder and 8 hex digits that name them. Raises: `ModelUnavailable`."""
    fields = read_json(folder / CALIBRATION)
    found = Calibrations(*(calibration_of(fields.get(name), folder) for name in ("judged", "lexical")))
    return found, file_sha256(folder / CALIBRATION)[:8]


def calibration_of(fields: object, folder: Path) -> Calibration:
    """Return one of a file's calibrations. Raises: `ModelUnavailable` if it lacks something."""
    try:
        return TypeAdapter(Calibration).validate_python(fields)
    except ValidationError as error:
        raise ModelUnavailable(f"{folder / CALIBRATION}: {error}") from error
