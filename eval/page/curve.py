"""Recall against tokens: a line per measurement with its interval, and the vendor's default as a point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from eval.intervals import Interval
from eval.page.markup import Markup, joined, percent, plain, tag
from eval.page.scale import Scale, doublings, ticks_of

WIDTH, HEIGHT = 420, 320
LEFT, RIGHT, TOP, BOTTOM = 44, 14, 28, 46


@dataclass(frozen=True, slots=True)
class Point:
    """Mean tokens sent, and the recall with its interval."""

    tokens: float
    recall: Interval


@dataclass(frozen=True, slots=True)
class Line:
    """One measurement: its points, ascending by tokens, and, if it was measured, the vendor's default beside it.

    equal: smallest budget that recalls as much, and how many times fewer tokens that is; None if not looked for.
    """

    label: str
    points: tuple[Point, ...]
    baseline: Point | None = None
    equal: tuple[float, float] | None = None


def curve(lines: Sequence[Line]) -> Markup:
    """Return the drawing of lines that have at least one point between them."""
    everything = [point for line in lines for point in (*line.points, *([line.baseline] if line.baseline else []))]
    tokens = [max(point.tokens, 1.0) for point in everything]
    x = Scale(min(tokens) / 1.15, max(tokens) * 1.2, LEFT, WIDTH - RIGHT, log=True)
    floor = min(0.9, max(0.0, int(10 * min(point.recall.low for point in everything)) / 10))
    y = Scale(floor, 1.0, HEIGHT - BOTTOM, TOP)
    drawn = [line_of(line, x, y, series=at) for at, line in enumerate(lines)]
    return tag(
        "svg",
        grid(x, y),
        *drawn,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label="recall in percent against tokens sent",
    )


def grid(x: Scale, y: Scale) -> Markup:
    """Return the lines and numbers of both axes."""
    across = [
        joined(
            tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y.at(tick), y2=y.at(tick), class_="grid"),
            tag("text", f"{100 * tick:.0f}", x=LEFT - 8, y=y.at(tick) + 4, class_="tick end"),
        )
        for tick in ticks_of(y.low, y.high)
    ]
    down = [
        joined(
            tag("line", x1=x.at(tick), x2=x.at(tick), y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM + 5, class_="axis"),
            tag("text", f"{tick:,.0f}", x=x.at(tick), y=HEIGHT - BOTTOM + 19, class_="tick mid"),
        )
        for tick in doublings(x.low, x.high)
    ]
    return joined(
        *across,
        *down,
        tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM, class_="axis"),
        tag("text", "recall, %", x=LEFT - 30, y=TOP - 12, class_="tick"),
        tag("text", "tokens sent (mean)", x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 8, class_="tick mid"),
    )


def line_of(line: Line, x: Scale, y: Scale, *, series: int) -> Markup:
    """Return a band, a line with a dot at each point, and what belongs to the baseline."""
    there = [(x.at(point.tokens), y.at(point.recall.value)) for point in line.points]
    upper = [(x.at(point.tokens), y.at(point.recall.high)) for point in line.points]
    lower = [(x.at(point.tokens), y.at(point.recall.low)) for point in reversed(line.points)]
    dots = [
        tag("circle", tag("title", said(line.label, point)), cx=at[0], cy=at[1], r=4.5, class_="dot")
        for point, at in zip(line.points, there, strict=True)
    ]
    return tag(
        "g",
        tag("path", d=path([*upper, *lower]) + "Z", class_="band") if line.points else "",
        baseline_of(line, x, y),
        tag("path", d=path(there), class_="curve") if line.points else "",
        *dots,
        class_=f"s{series % 5}",
    )


def baseline_of(line: Line, x: Scale, y: Scale) -> Markup:
    """Return the vendor's default as a diamond with its interval, and an arrow to the budget that equals it."""
    if line.baseline is None:
        return joined()
    at, up = x.at(line.baseline.tokens), y.at(line.baseline.recall.value)
    parts = [
        tag(
            "line",
            x1=at,
            x2=at,
            y1=y.at(line.baseline.recall.low),
            y2=y.at(line.baseline.recall.high),
            class_="whisker",
        ),
        tag(
            "path",
            tag("title", said("vendor's default", line.baseline)),
            d=f"M{at:.1f} {up - 7:.1f}l7 7l-7 7l-7 -7Z",
            class_="diamond",
        ),
    ]
    if line.equal is not None:
        budget, ratio = line.equal
        parts.insert(0, tag("line", x1=x.at(budget), x2=at - 9, y1=up, y2=up, class_="reach"))
        parts.append(tag("text", f"{ratio:.1f} × fewer tokens", x=at - 10, y=up + 18, class_="note end"))
    return joined(*parts)


def path(places: Sequence[tuple[float, float]]) -> str:
    """Return the path through places; "" for none."""
    return "".join(f"{'L' if at else 'M'}{a:.1f} {b:.1f}" for at, (a, b) in enumerate(places))


def said(label: str, point: Point) -> str:
    """Return a point as a sentence."""
    low, high = percent(point.recall.low), percent(point.recall.high)
    return f"{label}: {percent(point.recall.value)} % [{low}, {high}] of the answer in {plain(point.tokens)} tokens"
