"""Tables: how many lines are rows, and how many of them head the others."""

from __future__ import annotations

import pytest

from indexes.lines import lines_of
from indexes.tables import head_rows, rows_at


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("| a |", 1),
        ("| a | b |\n|---|---|\n| 1 | 2 |\ntext", 3),
        ("a | b\n---|---\n1 | 2\n\n3 | 4", 3),
        ("a | b\n1 | 2\ntext", 2),
        ("- | 2023 | 2024\ndays | 27 | 28", 2),
        ("a\tb\n1\t2", 2),
        ("Name   Age   City\nAda    36    London\nAlan   41    Wilmslow", 3),
        ("+---+---+\n| a | b |\n+---+---+\n", 3),
        ("Setup ........ 3\nUse . . . . . . 12\n", 2),
        ("a | b", 0),
        ("a | b\nc | d | e", 0),
        ("a\tb\ntext", 0),
        ("Two spaces.  After each sentence.  As was usual.\nHere.  Too.  Twice.\nNot here.", 0),
        ("He waited....... and waited", 0),
        ("text", 0),
    ],
)
def test_rows_are_counted(text: str, rows: int) -> None:
    """Rows are lines that the same marks divide; one line alone is a table only between bars."""
    assert rows_at(lines_of(text), 0) == rows


@pytest.mark.parametrize(
    ("text", "heads"), [("a|b\n-|-\n--|--\n1|2", 3), ("a | b\n1 | 2", 1), ("| a |", 0), ("+--+\n|a |\n+--+\n|1 |", 3)]
)
def test_rows_down_to_the_ruled_line_are_the_head(text: str, heads: int) -> None:
    """The head goes down to the last ruled line near the top; without one it is the first row."""
    assert head_rows(lines_of(text)) == heads
