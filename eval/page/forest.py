"""Differences with their intervals around a line at 0: which metrics moved, which way, and how surely."""

from __future__ import annotations

from collections.abc import Mapping

from eval.comparison import Difference, p_text
from eval.direction import direction
from eval.page.markup import Markup, digits_of, joined, plain, signed, tag
from eval.page.scale import Scale, ticks_of

WIDTH, ROW, TOP, BOTTOM = 420, 46, 4, 26
LEFT, RIGHT = 14, 14


def forest(rows: Mapping[str, Difference]) -> Markup:
    """Return the drawing of at least one difference, all of one unit, in order."""
    bounds = [abs(number) for item in rows.values() for number in (item.low, item.high, item.value)]
    reach = 1.08 * (max(bounds) or 1.0)
    x = Scale(-reach, reach, LEFT, WIDTH - RIGHT)
    height = TOP + ROW * len(rows) + BOTTOM
    foot = height - BOTTOM
    digits = digits_of(reach / 10)
    ticks = [
        tag("text", signed(tick, digits) if tick else "0", x=x.at(tick), y=foot + 18, class_="tick mid")
        for tick in ticks_of(-0.9 * reach, 0.9 * reach, ticks=4)
    ]
    return tag(
        "svg",
        tag("line", x1=x.at(0), x2=x.at(0), y1=TOP, y2=foot, class_="zero"),
        *ticks,
        *(row(name, item, x, top=TOP + ROW * at) for at, (name, item) in enumerate(rows.items())),
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        aria_label="differences with 95 % intervals",
    )


def row(name: str, item: Difference, x: Scale, *, top: float) -> Markup:
    """Return one metric: its name and numbers above, its interval and a dot below."""
    line = top + 34
    digits = digits_of(item.value, item.low, item.high)
    numbers = f"{signed(item.value, digits)} [{signed(item.low, digits)}, {signed(item.high, digits)}]"
    said = f"{name}: {plain(item.first)} against {plain(item.second)}, difference {numbers}, p {p_text(item.p)}"
    return tag(
        "g",
        tag("title", said),
        tag("rect", x=0, y=top, width=WIDTH, height=20, class_="backing"),
        tag("text", name, x=LEFT, y=top + 15, class_="label"),
        tag("text", numbers, x=WIDTH - RIGHT, y=top + 15, class_="value end"),
        tag("line", x1=x.at(item.low), x2=x.at(item.high), y1=line, y2=line, class_="whisker"),
        tag("circle", cx=x.at(item.value), cy=line, r=5, class_="dot"),
        class_=verdict(name, item),
    )


def verdict(name: str, item: Difference) -> str:
    """Return `better` or `worse` if the interval of first - second leaves 0 out, else `same`."""
    if item.low <= 0 <= item.high:
        return "same"
    return "better" if (item.low > 0) == (direction(name) != "lower") else "worse"


def legend() -> Markup:
    """Return what the colours say."""
    return joined(
        *(
            tag("span", tag("i", class_=f"key {name}"), text, class_="legend")
            for name, text in (
                ("better", "first is better"),
                ("worse", "first is worse"),
                ("same", "no difference beyond the interval"),
            )
        )
    )
