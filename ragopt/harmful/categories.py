"""Of what kind harmful content is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from indexes.records import FloatMatrix, FloatVector
from ragopt.screening.heads import scaled
from ragopt.screening.judging import Reading
from ragopt.settings.collections import Category

CATEGORIES: tuple[Category, ...] = get_args(Category)


@dataclass(frozen=True, slots=True)
class CategoryModel:
    """A linear model over signs and one over sentence vectors, added. Rows and columns in the order of `CATEGORIES`.

    signs: int8 [categories, BUCKETS], times `scale`. meaning: float32 [inputs + 1, categories], bias last.
    """

    signs: NDArray[np.int8]
    scale: float
    meaning: FloatMatrix

    def of(self, reading: Reading, vector: FloatVector | None) -> Category:
        """Return the likeliest category of a harmful text; by its signs alone where its vector is not known."""
        length = max(1, len(reading.found)) ** 0.5
        odds = self.scale / length * self.signs[:, reading.found].sum(axis=1, dtype=np.int64)
        if vector is not None:
            odds = odds + scaled(vector) @ self.meaning[:-1] + self.meaning[-1]
        return CATEGORIES[int(np.argmax(odds))]
