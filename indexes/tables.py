"""Which lines are rows of a table: divided by bars, by tabs, by runs of spaces, or by dot leaders."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from indexes.lines import Line, column_count

SEPARATOR = re.compile(r"(?=.*[|+\s])(?=.*[-=]{2})[-=|+:\s]+")
# Bounded on every side, so that a line of nothing but dots costs no more than any other.
DOT_LEADER = re.compile(r"\S.{0,120}?[^\s.] ?(?:\. ?){4,120}\s*[\divxlc]{1,5}")
MAX_HEAD_ROWS = 3


def rows_at(lines: Sequence[Line], at: int) -> int:
    """Return of how many rows the table that begins with line `at` has; 0 for no table.

    A row between two outer bars is a table by itself. Without them, two rows of the same number of
    cells or one over a ruled line are, two rows with tabs or dot leaders, three of the same columns.
    """
    body = lines[at].body
    if body[0] == "|" and body[-1] == "|" and len(body) > 1:
        return run_length(lines, at, lambda other: "|" in other)
    if body.startswith("+-") and is_separator(body):
        return run_length(lines, at, lambda other: other[0] in "|+")
    if " | " in body:
        return at_least(2, barred_rows(lines, at))
    if "\t" in body:
        return at_least(2, run_length(lines, at, lambda other: "\t" in other))
    if "  " in body and (columns := column_count(body)) > 2:
        return at_least(3, run_length(lines, at, lambda other: column_count(other) == columns or is_separator(other)))
    if "..." in body or ". ." in body:
        return at_least(2, run_length(lines, at, lambda other: DOT_LEADER.fullmatch(other) is not None))
    return 0


def barred_rows(lines: Sequence[Line], at: int) -> int:
    """Return how many rows with bars only inside there are, line `at` the first."""
    after = lines[at + 1].body if at + 1 < len(lines) else ""
    if "|" in after and is_separator(after):
        return run_length(lines, at, lambda other: "|" in other)
    bars = lines[at].body.count(" | ")
    return run_length(lines, at, lambda other: other.count(" | ") == bars)


def head_rows(rows: Sequence[Line]) -> int:
    """Return how many rows head a table: those down to the ruled line near its top, else the first; 0 of one row."""
    ruled = [at for at, row in enumerate(rows[1 : MAX_HEAD_ROWS + 1], start=1) if is_separator(row.body)]
    return 0 if len(rows) == 1 else ruled[-1] + 1 if ruled else 1


def is_separator(body: str) -> bool:
    """Return whether a line only rules off parts of a table."""
    return SEPARATOR.fullmatch(body) is not None


def run_length(lines: Sequence[Line], at: int, fits: Callable[[str], bool]) -> int:
    """Return how many lines from `at` on, up to the first blank one, fit."""
    end = at
    while end < len(lines) and lines[end].body and fits(lines[end].body):
        end += 1
    return end - at


def at_least(least: int, count: int) -> int:
    """Return `count`, or 0 if it is less than `least`."""
    return count if count >= least else 0
