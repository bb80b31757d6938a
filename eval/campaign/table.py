"""The table of a campaign: what was done, what was counted, the figure asked, and whether it was met."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from eval.campaign.running import Row
from eval.intervals import Interval

HEADINGS = ("experiment", "what was counted", "asked", "verdict", "minutes")
COUNTED_WIDTH, ASKED_WIDTH = 62, 30


def table(rows: Sequence[Row]) -> str:
    """Return the rows as aligned lines of text, a heading first."""
    lines = [cells(HEADINGS, name_width(rows))]
    lines.append("-" * len(lines[0]))
    for row in rows:
        lines += wrapped(row, name_width(rows))
    return "\n".join(lines)


def name_width(rows: Sequence[Row]) -> int:
    """Return the width of the first column."""
    return max([len(HEADINGS[0]), *(len(row.experiment.name) for row in rows)])


def wrapped(row: Row, width: int) -> list[str]:
    """Return the lines of one row."""
    counted = textwrap.wrap(", ".join(named(*item) for item in row.report.metrics.items()), COUNTED_WIDTH) or ["-"]
    asked = textwrap.wrap(", ".join(figure.text() for figure in row.experiment.figures), ASKED_WIDTH) or ["-"]
    minutes = f"{row.took_s / 60:.1f}{' (kept)' if row.kept else ''}"
    height = max(len(counted), len(asked))
    first = (row.experiment.name, row.verdict, minutes)
    lines = []
    for at in range(height):
        name, verdict, took = first if at == 0 else ("", "", "")
        left = counted[at] if at < len(counted) else ""
        right = asked[at] if at < len(asked) else ""
        lines.append(cells((name, left, right, verdict, took), width))
    return lines


def cells(texts: Sequence[str], width: int) -> str:
    """Return one line of the table."""
    name, counted, asked, verdict, minutes = texts
    return f"{name:<{width}}  {counted:<{COUNTED_WIDTH}}  {asked:<{ASKED_WIDTH}}  {verdict:<7}  {minutes}".rstrip()


def named(name: str, interval: Interval) -> str:
    """Return a metric with its value, and its interval where it has a width."""
    words = name.replace("_", " ")
    value = f"{words} {interval.value:,.6g}"
    return value if interval.low == interval.high else f"{value} [{interval.low:.3g}, {interval.high:.3g}]"
