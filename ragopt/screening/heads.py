"""What judges the texts of one place: signs and meaning, added and set against a threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.records import FloatMatrix, FloatVector
from ragopt.screening.signs import Signs

# The score from which a text counts as what is looked for.
THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Meaning:
    """One hidden layer of rectified units over sentence vectors. hidden: float32 [inputs + 1, units], bias last.

    output: float32 [units + 1], bias last.
    """

    hidden: FloatMatrix
    output: FloatVector

    def log_odds(self, rows: FloatMatrix) -> NDArray[np.float32]:
        """Return the log-odds of each row, float32 [n], for rows float32 [n, inputs] as the network was fitted to."""
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


def scaled(vector: FloatVector) -> FloatVector:
    """Return a unit vector with entries of about 1: what `Meaning` reads of a text that is judged alone."""
    return np.asarray(math.sqrt(len(vector)) * vector, np.float32)


def chance(log_odds: float) -> float:
    """Return the score, in [0, 1], of log-odds counted from the threshold."""
    return 1 / (1 + math.exp(-min(60.0, max(-60.0, log_odds))))
