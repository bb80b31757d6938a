"""The quick half of a detector: a linear model over hashed words, pairs of words and parts of words.

Its weights are bytes, so that a sentence costs some tens of microseconds. It decides which texts the network reads, and
judges alone where the network cannot run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

BUCKETS = 1 << 15
TOKEN = re.compile(r"[^\W\d_]+|\d+|[^\w\s]")
# Parts of words stand for the word where it is misspelt or inflected, and for whole languages.
PART = 4
LONGEST_CHARS = 2_000

Weights = NDArray[np.int8]
Buckets = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Signs:
    """A linear model. weights: int8 [BUCKETS], times `scale`. Every text has the same length of its vector, 1."""

    weights: Weights
    scale: float
    bias: float

    def log_odds(self, text: str) -> float:
        """Return the log-odds that the text is what the detector looks for."""
        return self.odds_of(buckets(text))

    def odds_of(self, found: Buckets) -> float:
        """Return the log-odds of a text with these buckets."""
        if not len(found):
            return self.bias
        return self.bias + self.scale * int(self.weights[found].sum(dtype=np.int64)) / math.sqrt(len(found))


def buckets(text: str) -> Buckets:
    """Return the distinct buckets of a text's features, int64 [n], ascending; empty for a text without any."""
    found = {crc32(feature.encode()) % BUCKETS for feature in features(text[:LONGEST_CHARS].lower())}
    return np.array(sorted(found), np.int64)


def features(text: str) -> Iterator[str]:
    """Yield the words, each pair of neighbours and the four-letter parts of longer words; how it begins and ends."""
    tokens = TOKEN.findall(text)
    if not tokens:
        return
    yield f"^{tokens[0]}"
    yield f"${tokens[-1]}"
    for at, token in enumerate(tokens):
        yield token
        if at:
            yield f"{tokens[at - 1]} {token}"
        framed = f"<{token}>"
        for start in range(len(framed) - PART + 1 if len(token) > 2 else 0):
            yield f"~{framed[start : start + PART]}"
