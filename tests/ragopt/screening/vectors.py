"""An encoder for tests of detectors, which shows what they had embedded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from indexes.records import Encoded, EncodedQuestion


class Vectors:
    """An encoder whose vectors say nothing; keeps what it was asked for, and how often for texts of documents."""

    tag = "tag/test"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.calls = 0

    async def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Return the same vector for every text."""
        self.asked += texts
        self.calls += 1
        return [Encoded(np.array([1, 0], np.float32), np.zeros((0, 16), np.uint8)) for _ in texts]

    async def encode_question(self, text: str) -> EncodedQuestion:
        """Return the same vector."""
        self.asked.append(text)
        return EncodedQuestion(np.array([1, 0], np.float32), np.zeros((0, 2), np.float32), np.zeros(0, np.float32))
