"""Metrics as tables: the value, and its interval in small figures below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eval.comparison import Difference, Differences, p_text
from eval.intervals import Interval
from eval.page.markup import Markup, digits_of, plain, signed, tag
from eval.report import ConfigValue, Metrics


def matrix(metrics: Metrics) -> Markup:
    """Return metrics named `kind@depth` or `kind@depth.system` as a table; names of another form in one below.

    One row per budget or system, one column per kind: the shape in which they are compared.
    """
    cells: dict[str, dict[str, Interval]] = {}
    others: dict[str, Interval] = {}
    for name, interval in metrics.items():
        row, column = place_of(name)
        if row:
            cells.setdefault(row, {})[column] = interval
        else:
            others[name] = interval
    tables = [grid(cells)] if cells else []
    return tag("div", *tables, *([listing(others)] if others else []))


def place_of(name: str) -> tuple[str, str]:
    """Return the row and the column of a metric; an empty row for one that stands alone.

    `recall@400` is recall in the row 400, `recall@baseline.truncated` recall in the row `baseline, truncated`,
    `ndcg@10.full` ndcg@10 in the row full.
    """
    stem, at, rest = name.partition("@")
    depth, dot, system = rest.partition(".")
    if not at:
        return "", name
    if dot and depth.isdecimal():
        return system, f"{stem}@{depth}"
    return (f"{depth}, {system.replace('_', ' ')}" if dot else depth), stem


def grid(cells: Mapping[str, Mapping[str, Interval]]) -> Markup:
    """Return a table of intervals by row and column; a cell that is not there stays empty."""
    columns = list(dict.fromkeys(column for row in cells.values() for column in row))
    head = tag("tr", tag("th", ""), *(tag("th", column, class_="num") for column in columns))
    rows = [
        tag("tr", tag("th", name), *(cell(row[column]) if column in row else tag("td", "") for column in columns))
        for name, row in cells.items()
    ]
    return scrolled(tag("table", tag("thead", head), tag("tbody", *rows)))


def listing(metrics: Metrics) -> Markup:
    """Return a table with one row per metric."""
    rows = [tag("tr", tag("th", name), cell(interval)) for name, interval in metrics.items()]
    return scrolled(tag("table", tag("tbody", *rows)))


def differences(metrics: Differences) -> Markup:
    """Return a table of both means, the difference and the p-value."""
    head = tag("tr", tag("th", ""), *(tag("th", name, class_="num") for name in ("first", "second", "difference", "p")))
    rows = [tag("tr", tag("th", name), *difference_cells(item)) for name, item in metrics.items()]
    return scrolled(tag("table", tag("thead", head), tag("tbody", *rows)))


def difference_cells(item: Difference) -> tuple[Markup, ...]:
    """Return both means, the difference with its interval, and the p-value as cells."""
    digits = digits_of(item.low, item.high, item.value)
    interval = bounds(signed(item.low, digits), signed(item.high, digits))
    return (
        tag("td", plain(item.first), class_="num"),
        tag("td", plain(item.second), class_="num"),
        tag("td", signed(item.value, digits), interval, class_="num"),
        tag("td", p_text(item.p), class_="num"),
    )


def cell(interval: Interval) -> Markup:
    """Return a table cell with a value and its interval; a counted number, which has none, alone."""
    if interval.low == interval.high:
        counted = float(interval.value).is_integer() and interval.value > 1
        return tag("td", plain(interval.value, 0 if counted else None), class_="num")
    digits = digits_of(interval.value)
    return tag(
        "td", plain(interval.value), bounds(plain(interval.low, digits), plain(interval.high, digits)), class_="num"
    )


def bounds(low: str, high: str) -> Markup:
    """Return an interval in small figures."""
    return tag(
        "small", f"{low}–{high}" if (low + high).replace(",", "").replace(".", "").isdecimal() else f"{low} to {high}"
    )


def facts(pairs: Sequence[tuple[str, ConfigValue]]) -> Markup:
    """Return names and values as a list."""
    return tag(
        "dl",
        *(
            tag("div", tag("dt", name), tag("dd", "unset" if value in (None, "") else str(value)))
            for name, value in pairs
        ),
    )


def scrolled(table: Markup) -> Markup:
    """Return a table that scrolls by itself where the screen is too narrow for it."""
    return tag("div", table, class_="scroll", tabindex="0")
