"""What each sentence of the hits is worth for a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragopt.evidence import word_scores, words
from ragopt.results import RankedHit

# Measured with `python -m eval context` on two sets of reference spans: from 0.3 to 0.75 and from 0.05
# to 0.15 nothing changes beyond the interval, at 0 both lose one to three points at small budgets.
UNIT_WEIGHT = 0.5
WORD_WEIGHT = 0.1
# The question's words are looked for in the sentences of this many hits: hardly a later one is packed.
WORD_HITS = 24
# Values that agree so far are ties: sums of floats differ in their last digits from one machine to the next.
TIE_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Unit:
    """A sentence, list item, table row or code line of a hit.

    hit: the place of its hit. at: its place in the chunk. value: higher is better. words: its topic
    words; empty beyond the first hits.
    """

    hit: int
    at: int
    value: float
    words: frozenset[str]


def valued_units(standalone: str, hits: Sequence[RankedHit]) -> list[Unit]:
    """Return every unit of the hits with its value, hit by hit, in text order. [] for no hits.

    The value is score of the hit + 0.5 × score of the unit + 0.1 × its BM25+ score over the best one.
    """
    places = [(hit, at) for hit, ranked in enumerate(hits) for at in range(len(ranked.hit.chunk.units))]
    spoken = [words(unit_text(hits[hit], at)) if hit < WORD_HITS else [] for hit, at in places]
    by_words = word_scores(words(standalone), spoken)
    best = max(by_words, default=0.0) or 1.0
    return [
        Unit(hit, at, round(unit_value(hits[hit], at) + WORD_WEIGHT * score / best, TIE_DIGITS), frozenset(said))
        for (hit, at), said, score in zip(places, spoken, by_words, strict=True)
    ]


def unit_value(ranked: RankedHit, at: int) -> float:
    """Return what a unit is worth by its chunk and by its own tokens."""
    return ranked.score + UNIT_WEIGHT * ranked.unit_scores[at]


def unit_text(ranked: RankedHit, at: int) -> str:
    """Return the text of a unit."""
    chunk = ranked.hit.chunk
    start, end = chunk.units[at]
    return chunk.text[start - chunk.start : end - chunk.start]
