"""Features and a model's logit to the chance that a claim is supported, and to what is said of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ragopt.domain import Support

CALIBRATION = "support.json"
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


@cache
def shipped_calibrations() -> Calibrations:
    """Return those that ship."""
    fields = json.loads((files("ragopt") / "data" / CALIBRATION).read_text(encoding="utf-8"))
    return Calibrations(*(Calibration(**fields[name]) for name in ("judged", "lexical")))
