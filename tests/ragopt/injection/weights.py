"""A detector small enough to reason about: one word gives an attack away."""

from __future__ import annotations

from zlib import crc32

import numpy as np

from ragopt.injection.detector import Encoder, InjectionDetector
from ragopt.injection.model import InjectionModel
from ragopt.screening.heads import Head, Meaning
from ragopt.screening.signs import BUCKETS, Signs

WORD = "obey"


def head(*, inputs: int = 1, gate: float = -9.0) -> Head:
    """Return a head by which texts with the word score high; its meaning says nothing."""
    weights = np.zeros(BUCKETS, np.int8)
    weights[crc32(WORD.encode()) % BUCKETS] = 127
    meaning = Meaning(np.zeros((inputs + 1, 1), np.float32), np.zeros(2, np.float32))
    return Head(Signs(weights, scale=1.0, bias=-8.0), meaning, threshold=0.0, alone=0.0, gate=gate)


def model(*, embedder: str = "tag", dim: int = 2, gate: float = -9.0) -> InjectionModel:
    """Return the model over vectors of `dim` numbers."""
    heads = {"question": head(inputs=dim, gate=gate), "document": head(inputs=3 * dim, gate=gate)}
    return InjectionModel(heads, embedder, "test", {"bipia": "0"})  # type: ignore[arg-type]


def detector(encoder: Encoder | None = None) -> InjectionDetector:
    """Return the detector."""
    return InjectionDetector(model(), encoder)
