"""One metric of several systems as bars with intervals."""

from __future__ import annotations

from collections.abc import Mapping

from eval.intervals import Interval
from eval.page.markup import Markup, joined, tag
from eval.page.scale import Scale, ticks_of

WIDTH, ROW, TOP, BOTTOM = 420, 38, 6, 26
LEFT, RIGHT = 62, 58
THICK = 20


def bars(values: Mapping[str, Interval], *, label: str) -> Markup:
    """Return the drawing of shares in [0, 1], one bar per name in order; the last is the one that is served."""
    height = TOP + ROW * len(values) + BOTTOM
    x = Scale(0.0, 1.0, LEFT, WIDTH - RIGHT)
    grid = [
        joined(
            tag("line", x1=x.at(tick), x2=x.at(tick), y1=TOP, y2=height - BOTTOM, class_="grid"),
            tag("text", f"{tick:g}", x=x.at(tick), y=height - BOTTOM + 17, class_="tick mid"),
        )
        for tick in ticks_of(0, 1)
    ]
    rows = [
        bar(name, interval, x, at=at, served=at == len(values) - 1)
        for at, (name, interval) in enumerate(values.items())
    ]
    return tag("svg", *grid, *rows, viewBox=f"0 0 {WIDTH} {height}", role="img", aria_label=label)


def bar(name: str, interval: Interval, x: Scale, *, at: int, served: bool) -> Markup:
    """Return one bar with its name, its interval and its value."""
    middle = TOP + ROW * at + ROW / 2
    said = f"{name}: {interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
    return tag(
        "g",
        tag("title", said),
        tag("text", name, x=LEFT - 10, y=middle + 5, class_="label end"),
        tag("rect", x=LEFT, y=middle - THICK / 2, width=x.at(interval.value) - LEFT, height=THICK, rx=3, class_="bar"),
        tag("line", x1=x.at(interval.low), x2=x.at(interval.high), y1=middle, y2=middle, class_="whisker"),
        tag("text", f"{interval.value:.3f}", x=WIDTH - RIGHT + 10, y=middle + 5, class_="value"),
        class_="served" if served else "other",
    )
