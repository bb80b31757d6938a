"""Texts to scores: what a text says in every reading, by its signs, and by its meaning where those do not clear it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from indexes.records import EncodedQuestion
from ragopt.screening.heads import Head, scaled
from ragopt.screening.pieces import windows
from ragopt.screening.readings import readings
from ragopt.screening.signs import Buckets, buckets

# A text to its vectors.
Encode: TypeAlias = Callable[[str], Awaitable[EncodedQuestion]]


@dataclass(slots=True)
class Once:
    """Vectors of the texts of one request, each made once however many ask for it; `known` holds them."""

    encode: Encode
    known: dict[str, EncodedQuestion] = field(default_factory=dict)

    async def __call__(self, text: str) -> EncodedQuestion:
        """Return the vectors of a text."""
        if text not in self.known:
            self.known[text] = await self.encode(text)
        return self.known[text]


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a part of a text, and the buckets of its features."""

    text: str
    found: Buckets


@dataclass(frozen=True, slots=True)
class Judged:
    """The score of a text, in [0, 1], 0.5 and more where it is what is looked for, and the reading that has it.

    reading: None for a text of nothing visible.
    """

    score: float
    reading: Reading | None


def read(text: str) -> list[Reading]:
    """Return a question or a sentence in all its readings, a long one part by part; [] for nothing visible."""
    return [Reading(said, buckets(said)) for part in windows(text) for said in readings(part)]


async def judged(read: Sequence[Reading], head: Head, encode: Encode | None) -> Judged:
    """Return the highest score of the readings. encode: None where no vectors are known, and the words decide alone."""
    signs = [head.signs.odds_of(item.found) for item in read]
    suspects = [at for at, odds in enumerate(signs) if odds >= head.gate]
    if encode is None or not suspects:
        return worst([(head.by_signs(odds), item) for odds, item in zip(signs, read, strict=True)])
    vectors = await asyncio.gather(*(encode(read[at].text) for at in suspects))
    meaning = head.meaning.log_odds(np.stack([scaled(vector.dense) for vector in vectors]))
    return worst([(head.joint(signs[at], float(odds)), read[at]) for at, odds in zip(suspects, meaning, strict=True)])


def worst(scored: Sequence[tuple[float, Reading]]) -> Judged:
    """Return the highest score, 0 for nothing."""
    return Judged(*max(scored, key=lambda item: item[0], default=(0.0, None)))
