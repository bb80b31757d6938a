"""In which order sentences are taken, whatever the budget: by value, repetitions later, with what a reader needs."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ragopt.results import RankedHit
from ragopt.stages.pack.values import Unit, unit_text

# A sentence with this share of its words in one that was taken repeats it; shorter ones repeat by chance.
REPEATED_SHARE = 0.9
REPEATED_WORDS = 5
# A sentence that begins so leans on the one before it.
LEANING = re.compile(
    r"(?:it|its|this|that|these|those|they|their|he|his|she|her|such|so|then|thus|also|but|and|or|however|therefore"
    r"|moreover|furthermore|for example|in addition)\b",
    re.IGNORECASE,
)
# The most tokens that a sentence before a leaning one, or between two that are taken, may add.
BEFORE_TOKENS = 40
BETWEEN_TOKENS = 15


@dataclass(frozen=True, slots=True)
class Group:
    """A unit and the neighbours it is taken with. `value` is the lead's, less what it repeats."""

    lead: Unit
    units: tuple[Unit, ...]
    value: float


def groups_in_order(
    units: Sequence[Unit], hits: Sequence[RankedHit], *, redundancy: float, count_tokens: Callable[[str], int]
) -> Iterator[Group]:
    """Yield every unit once, as the lead of a group or in one, values descending.

    A unit that repeats an earlier one loses `redundancy` of value, once. Ties are in hit order.
    """
    taken: dict[tuple[int, int], Unit] = {}
    by_place = {(unit.hit, unit.at): unit for unit in units}
    heap = [(-unit.value, unit.hit, unit.at, False) for unit in units]
    heapq.heapify(heap)
    while heap:
        negative, hit, at, lowered = heapq.heappop(heap)
        lead = by_place[hit, at]
        if (hit, at) in taken:
            continue
        if redundancy and not lowered and repeats(lead, taken.values()):
            heapq.heappush(heap, (negative + redundancy, hit, at, True))
            continue
        taken[hit, at] = lead
        group = [lead]
        for unit, limit in neighbours(lead, hits[hit], by_place=by_place, taken=taken):
            if count_tokens(unit_text(hits[hit], unit.at)) <= limit:
                taken[unit.hit, unit.at] = unit
                group.append(unit)
        yield Group(lead, tuple(group), -negative)


def repeats(unit: Unit, taken: Iterable[Unit]) -> bool:
    """Return whether nearly all words of a unit stand in one that was taken."""
    if len(unit.words) < REPEATED_WORDS:
        return False
    enough = REPEATED_SHARE * len(unit.words)
    return any(len(unit.words & earlier.words) >= enough for earlier in taken)


def neighbours(
    lead: Unit, hit: RankedHit, *, by_place: dict[tuple[int, int], Unit], taken: dict[tuple[int, int], Unit]
) -> Iterator[tuple[Unit, int]]:
    """Yield what a reader of the lead needs too, each with the most tokens it may cost.

    That is the unit before one that leans on it, and a unit alone between two that are taken.
    """
    before = by_place.get((lead.hit, lead.at - 1))
    if before and (before.hit, before.at) not in taken and LEANING.match(unit_text(hit, lead.at)):
        yield before, BEFORE_TOKENS
    for step in (-1, 1):
        between = by_place.get((lead.hit, lead.at + step))
        beyond = (lead.hit, lead.at + 2 * step)
        if between and (between.hit, between.at) not in taken and beyond in taken:
            yield between, BETWEEN_TOKENS
