"""A detector small enough to reason about: one word makes a text harmful, another says of what kind."""

from __future__ import annotations

from zlib import crc32

import numpy as np

from ragopt.harmful.categories import CATEGORIES, CategoryModel
from ragopt.harmful.detector import HarmfulDetector, QuestionEncoder
from ragopt.harmful.model import PLACES, HarmfulModel
from ragopt.screening.signs import BUCKETS
from ragopt.screening.weights import Weights
from tests.ragopt.injection.weights import WORD, head

# What gives a harmful text away is the word of the other detector's tests; beside it this one makes it malware.
HARM, WORM = WORD, "worm"


def model(*, embedder: str = "tag", dim: int = 2, gate: float = -9.0) -> HarmfulModel:
    """Return the model over vectors of `dim` numbers; without the second word, what is harmful is weapons."""
    signs = np.zeros((len(CATEGORIES), BUCKETS), np.int8)
    signs[CATEGORIES.index("malware"), crc32(WORM.encode()) % BUCKETS] = 127
    categories = CategoryModel(signs, 1.0, np.zeros((dim + 1, len(CATEGORIES)), np.float32))
    heads = {place: head(inputs=dim, gate=gate) for place in PLACES}
    return HarmfulModel(Weights(heads, embedder, "test", {"wildguard_benign": "0"}), categories)


def detector(encoder: QuestionEncoder | None = None) -> HarmfulDetector:
    """Return the detector."""
    return HarmfulDetector(model(), encoder)
