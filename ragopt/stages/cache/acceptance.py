"""From which score on a kept answer may be served, so that with 95 % confidence few enough are wrong. Pure.

Levels are tested from the strictest down, each by the exact binomial test of "more than `max_wrong` of what is above
are wrong", and the last one before the first that is not refuted is taken: then the chance of a level that serves too
much is at most 5 %, whatever the scores mean. Where to begin is fixed beforehand, at a few numbers of labels, which
share that 5 %.
Source: Angelopoulos et al., "Learn then Test", 2021, section 3.2 (fixed sequence with several starts); Clopper and
Pearson, "The use of confidence or fiducial limits", Biometrika 26, 1934.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

MAX_WRONG = 0.05
CONFIDENCE = 0.95
# A start is the least number of labels above a level at which so many wrong ones still refute it.
WRONG_AT_STARTS = (0, 2)
# Each level has so many times the labels above it that the one before it has.
STEP = 1.1
BISECTIONS = 50


class Labelled(Protocol):
    """A pair of questions that was judged and then looked at."""

    @property
    def score(self) -> float:
        """Return the verifier's score."""

    @property
    def same(self) -> bool:
        """Return whether the answer to one question answers the other."""


@dataclass(frozen=True, slots=True)
class WrongShare:
    """Of what is served, the share that is wrong: as seen on the labels, with its exact 95 % limits."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The level of a collection: what scores above it may be served. labels: how many were above it."""

    level: float
    wrong: WrongShare
    labels: int

    def accepts(self, score: float) -> bool:
        """Return whether the answer to a question of this score may be served; never for one that is not a number."""
        return score > self.level


def calibrate(labels: Sequence[Labelled], *, max_wrong: float = MAX_WRONG) -> Acceptance | None:
    """Return the lowest level that keeps wrong answers within `max_wrong`; None where the labels do not show one.

    Then exact hits alone are served. Labels are of pairs as they come, drawn by nothing that knows whether they are
    the same.
    """
    if not 0 < max_wrong < 1:
        return None
    ranked = sorted((label for label in labels if math.isfinite(label.score)), key=lambda label: -label.score)
    error = (1 - CONFIDENCE) / len(WRONG_AT_STARTS)
    found = [lowest_level(ranked, start, max_wrong=max_wrong, error=error) for start in starts(max_wrong, error=error)]
    return min((level for level in found if level is not None), key=lambda level: level.level, default=None)


@lru_cache(maxsize=64)
def starts(max_wrong: float, *, error: float) -> tuple[int, ...]:
    """Return the numbers of labels above a level at which to begin, ascending."""
    sizes: list[int] = []
    size = 1
    for wrong in WRONG_AT_STARTS:
        while at_most(wrong, size, max_wrong) > error:
            size += 1
        sizes.append(size)
    return tuple(sizes)


def lowest_level(ranked: Sequence[Labelled], start: int, *, max_wrong: float, error: float) -> Acceptance | None:
    """Return the level before the first, from `start` labels on, of which too much may be wrong; None if that is it.

    ranked: highest score first.
    """
    found = None
    for size in sizes(start, len(ranked)):
        # Above, not at: the label that sets a level must not count for it.
        level = ranked[size].score
        above = [label for label in ranked[:size] if label.score > level]
        # Equal scores leave too few above: that is known from the scores alone, and no test.
        if len(above) < start:
            continue
        wrong = sum(not label.same for label in above)
        if at_most(wrong, len(above), max_wrong) > error:
            break
        found = Acceptance(level, wrong_share(wrong, len(above)), len(above))
    return found


def sizes(start: int, end: int) -> Iterator[int]:
    """Yield the numbers of labels at which levels are tried, from `start` on, all below `end`."""
    size = start
    while size < end:
        yield size
        size = math.ceil(size * STEP)


def wrong_share(wrong: int, served: int) -> WrongShare:
    """Return the share with its exact limits, each of which it is beyond with at most 2.5 %; [0, 1] for none served."""
    tail = (1 - CONFIDENCE) / 2
    if not served:
        return WrongShare(0.0, 0.0, 1.0)
    low = bisected(lambda share: at_most(wrong - 1, served, share) < 1 - tail) if wrong else 0.0
    return WrongShare(wrong / served, low, upper_limit(wrong, served, error=tail))


def upper_limit(wrong: int, served: int, *, error: float = 1 - CONFIDENCE) -> float:
    """Return the share that the truth is above with a chance of at most `error`; 1 where nothing was served."""
    if wrong >= served:
        return 1.0
    return bisected(lambda share: at_most(wrong, served, share) <= error)


class Passes(Protocol):
    """A condition that holds from some share on."""

    def __call__(self, share: float, /) -> bool:
        """Return whether it holds."""


def bisected(passes: Passes) -> float:
    """Return the least share in [0, 1] at which the condition holds, 1 if it is nowhere else."""
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if passes(middle) else (middle, high)
    return high


def at_most(wrong: int, served: int, share: float) -> float:
    """Return the chance of at most `wrong` among `served` where each is wrong with the chance `share`."""
    if wrong < 0:
        return 0.0
    if share <= 0 or wrong >= served:
        return 1.0
    if share >= 1:
        return 0.0
    log_share, log_rest = math.log(share), math.log1p(-share)
    terms = (
        math.lgamma(served + 1)
        - math.lgamma(count + 1)
        - math.lgamma(served - count + 1)
        + count * log_share
        + (served - count) * log_rest
        for count in range(wrong + 1)
    )
    return min(1.0, math.fsum(math.exp(term) for term in terms))
