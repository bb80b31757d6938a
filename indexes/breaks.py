"""Where to cut a section: the cheapest way to tile its units with chunks. Pure.

A chunk pays for its distance from the target size, a cut for what it tears apart. Both in one unit: a
chunk of twice the target costs 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from indexes.structure import Block

# A chunk larger than this many targets is made only of one unit.
MAX_STRETCH = 2.0
# Nor does a chunk hold more units than this, however short: it bounds the time.
MAX_UNITS = 64

# A list, table, code or paragraph of at most this many targets is torn only if there is no other way.
# Measured with `python -m eval context` on four long documents: without it the recall at 200 / 400 / 800 tokens
# is 78.1 / 89.8 / 95.0 %, with it 79.4 / 90.5 / 95.3 %.
STRETCH = 1.5
TEARING = 1.0

# What a cut costs, by what is on its two sides. Between paragraphs it is free. Set by the order that a reader
# would give them and by looking at chunks, not fitted to questions.
AFTER_HEADING = 4.0
BETWEEN_HEADINGS = 1.0
AFTER_TABLE_HEAD = 2.0
AFTER_COLON = 0.6
AFTER_LABEL = 0.3
BEFORE_STRUCTURE = 0.15
BETWEEN_ROWS = 0.15
BETWEEN_CODE_LINES = 0.3
AT_BLANK_CODE_LINE = 0.1
BETWEEN_ITEMS = 0.1
PER_LEVEL = 0.15
BELOW_PARENT = 0.2
BETWEEN_SENTENCES = 0.1
WITHIN_ITEM = 0.3
MAX_LABEL_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Unit:
    """The smallest part that is never cut, of one block.

    colon: whether it ends with a colon. stop: whether it ends as sentences do.
    """

    start: int
    end: int
    tokens: int
    block: Block
    colon: bool
    stop: bool


def best_runs(units: Sequence[Unit], chunk_tokens: int) -> list[Sequence[Unit]]:
    """Return the units of a section in runs, one a chunk, of least total cost; [] for none.

    Takes at most 64 steps a unit. Of equal costs the shortest last chunk wins.
    """
    limit = MAX_STRETCH * chunk_tokens
    least = [0.0]
    begins = [0]
    cuts = cut_costs(units, chunk_tokens)
    for end in range(1, len(units) + 1):
        size, best, begin = 0, float("inf"), end - 1
        for start in range(end - 1, max(-1, end - 1 - MAX_UNITS), -1):
            size += units[start].tokens
            if size > limit and start < end - 1:
                break
            cost = least[start] + (size / chunk_tokens - 1) ** 2
            if cost < best:
                best, begin = cost, start
        least.append(best + cuts[end - 1])
        begins.append(begin)
    runs: list[Sequence[Unit]] = []
    end = len(units)
    while end:
        runs.append(units[begins[end] : end])
        end = begins[end]
    return runs[::-1]


def cut_costs(units: Sequence[Unit], chunk_tokens: int) -> list[float]:
    """Return what a cut behind each unit of a section costs; 0 behind the last."""
    sizes: Counter[int] = Counter()
    for unit in units:
        sizes[unit.block.group] += unit.tokens
    costs = [0.0] * len(units)
    for at, (before, after) in enumerate(pairwise(units)):
        group = before.block.group
        fits = group == after.block.group and sizes[group] <= STRETCH * chunk_tokens
        costs[at] = break_cost(before, after) + (TEARING if fits else 0.0)
    return costs


def break_cost(before: Unit, after: Unit) -> float:
    """Return what a cut between two neighbouring units of a section costs."""
    one, two = before.block, after.block
    if one.kind == "heading":
        return BETWEEN_HEADINGS if two.kind == "heading" and two.level <= one.level else AFTER_HEADING
    if one is two:
        return WITHIN_ITEM if one.depth else BETWEEN_SENTENCES
    if one.part == two.part and one.kind == "row":
        return AFTER_TABLE_HEAD if one.head else BETWEEN_ROWS
    if one.part == two.part:
        return AT_BLANK_CODE_LINE if two.loose else BETWEEN_CODE_LINES
    if one.group == two.group:
        return cost_in_list(before, after)
    return cost_between(before, after)


def cost_in_list(before: Unit, after: Unit) -> float:
    """Return what a cut costs between two blocks of a list: more the deeper it is."""
    one, two = before.block, after.block
    if two.kind != "item":
        return AFTER_COLON if before.colon else BETWEEN_ITEMS + PER_LEVEL * two.depth
    return BETWEEN_ITEMS + PER_LEVEL * (two.depth - 1) + (BELOW_PARENT if two.depth > one.depth else 0.0)


def cost_between(before: Unit, after: Unit) -> float:
    """Return what a cut costs between two blocks that are no list, table or code together."""
    if before.colon:
        return AFTER_COLON
    if not before.stop and before.tokens <= MAX_LABEL_TOKENS and before.block.kind in ("prose", "item"):
        return AFTER_LABEL
    return BEFORE_STRUCTURE if before.block.kind == "prose" and after.block.kind != "prose" else 0.0
