"""Which sentences of the cited passages a claim is held to: the best by BM25, alone, with a neighbour, and two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from ragopt.domain import Passage, Span
from ragopt.evidence import topic_words, word_scores, words
from ragopt.markers import without_emphasis

# A claim of several sentences' content is judged beside each of these; more cost time and find little.
MAX_CANDIDATES = 4
# Passages whose sentences are kept, some 30 kB each: those of the answers that are written now, and of the last ones.
KEPT_UNITS = 128


@dataclass(frozen=True, slots=True)
class Unit:
    """A sentence of a passage: its span in the document, and its text."""

    passage: Passage
    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """Sentences that may carry a claim. text: what is judged. quote: the best unit of them, or all if they adjoin."""

    passage: Passage
    span: Span
    text: str
    quote: str


class Units:
    """The sentences of some passages, in their order, split and scored once however many claims cite them."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self.passages = tuple(passages)
        self.units = [
            Unit(passage, span, text)
            for passage in passages
            for span in passage.units
            if (text := passage.source_text(*span))
        ]

    @cached_property
    def text(self) -> str:
        """Return all there is to know, without emphasis: titles and sentences."""
        titles = dict.fromkeys(passage.title for passage in self.passages)
        return without_emphasis("\n".join([*titles, *(unit.text for unit in self.units)]))

    @cached_property
    def words(self) -> list[tuple[str, ...]]:
        """Return the topic words of each unit."""
        return [topic_words(unit.text) for unit in self.units]

    def candidates(self, claim: str) -> list[Candidate]:
        """Return what may carry a claim, the likeliest first, at most four; [] where no unit shares a topic word."""
        scores = word_scores(words(claim), self.words)
        order = sorted(range(len(scores)), key=lambda at: -scores[at])
        if not order or scores[order[0]] <= 0:
            return []
        best = order[0]
        found = [self._single(best)]
        found += [pair for pair in (self._joined(best, best + 1), self._joined(best - 1, best)) if pair]
        second = next((at for at in order[1:] if scores[at] > 0), None)
        if second is not None:
            found.append(self._apart(best, second) if abs(best - second) > 1 else self._single(second))
        return found[:MAX_CANDIDATES]

    def covered(self, claim: str) -> float:
        """Return the largest share, in [0, 1], of the claim's topic words that one unit has; 0 where there are none."""
        claimed = set(words(claim))
        return max((len(claimed & set(found)) for found in self.words), default=0) / max(1, len(claimed))

    def _single(self, at: int) -> Candidate:
        unit = self.units[at]
        return Candidate(unit.passage, unit.span, without_emphasis(unit.text), unit.text)

    def _joined(self, first: int, second: int) -> Candidate | None:
        """Return two neighbours as one, None where they are not of one stretch of one passage."""
        if first < 0 or second >= len(self.units):
            return None
        one, other = self.units[first], self.units[second]
        span = one.span[0], other.span[1]
        quote = one.passage.source_text(*span) if one.passage is other.passage else ""
        return Candidate(one.passage, span, without_emphasis(quote), quote) if quote else None

    def _apart(self, best: int, second: int) -> Candidate:
        """Return two units in their order as one text; the quote is the best one."""
        one, other = (self.units[at] for at in sorted((best, second)))
        text = without_emphasis(f"{one.text} {other.text}")
        return Candidate(self.units[best].passage, self.units[best].span, text, self.units[best].text)


@lru_cache(maxsize=KEPT_UNITS)
def units_of(passages: tuple[Passage, ...]) -> Units:
    """Return the units of some passages; the same object for the same passages, so that verdicts can be kept by it."""
    return Units(passages)
