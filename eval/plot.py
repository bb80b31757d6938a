"""A line chart as SVG: sizes on a logarithmic axis, what they cost on a linear one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 170, 44, 52
# Source: Okabe and Ito, "Color Universal Design", 2008: told apart by colour-blind readers too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
TICKS = 6


@dataclass(frozen=True, slots=True)
class Curve:
    """One line: its points (x, y), x positive and ascending, y not negative."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over one pair of axes. limit: a height that is marked across, None for none."""

    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    limit: float | None = None

    def svg(self) -> str:
        """Return the chart as an SVG document. Raises: `ValueError` without a point."""
        points = [point for curve in self.curves for point in curve.points]
        if not points:
            raise ValueError("a chart needs a point")
        scale = Scale.of(points, limit=self.limit)
        marks = [*self._axes(scale), *self._limit(scale)]
        for n, curve in enumerate(self.curves):
            marks += drawn(curve, scale, colour=COLOURS[n % len(COLOURS)], row=n)
        return "\n".join([header(self.title), *marks, "</svg>", ""])

    def _axes(self, scale: Scale) -> list[str]:
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        marks = [text(WIDTH / 2, 22, self.title, size=15), text((LEFT + right) / 2, HEIGHT - 12, self.x_label)]
        marks.append(
            f'<text x="16" y="{(TOP + bottom) / 2:.1f}" font-size="12" text-anchor="middle" '
            f'transform="rotate(-90 16 {(TOP + bottom) / 2:.1f})">{escape(self.y_label)}</text>'
        )
        for value in scale.y_ticks():
            y = scale.y(value)
            marks += [line((LEFT, y), (right, y), "#ddd"), text(LEFT - 8, y + 4, f"{value:g}", anchor="end")]
        for value in scale.x_ticks:
            x = scale.x(value)
            marks += [line((x, bottom), (x, bottom + 5), "#555"), text(x, bottom + 20, f"{value:,.0f}")]
        return [*marks, line((LEFT, bottom), (right, bottom), "#555")]

    def _limit(self, scale: Scale) -> list[str]:
        if self.limit is None:
            return []
        y = scale.y(self.limit)
        start, end = (LEFT, y), (WIDTH - RIGHT, y)
        return [line(start, end, "#999", dash="6 4"), text(end[0] + 8, y + 4, f"target {self.limit:g}", anchor="start")]


@dataclass(frozen=True, slots=True)
class Scale:
    """Values to pixels; y starts at 0."""

    x_ticks: tuple[float, ...]
    y_top: float

    @classmethod
    def of(cls, points: Sequence[tuple[float, float]], *, limit: float | None) -> Scale:
        """Return the scale that holds every point and the limit."""
        highest = max([limit or 0.0, *(y for _, y in points)])
        return cls(tuple(sorted({x for x, _ in points})), 1.05 * highest or 1.0)

    def x(self, value: float) -> float:
        """Return the pixel of a size: the middle if there is only one."""
        low, high = math.log(self.x_ticks[0]), math.log(self.x_ticks[-1])
        share = (math.log(value) - low) / (high - low) if high > low else 0.5
        return LEFT + share * (WIDTH - RIGHT - LEFT)

    def y(self, value: float) -> float:
        """Return the pixel of a height."""
        return HEIGHT - BOTTOM - value / self.y_top * (HEIGHT - BOTTOM - TOP)

    def y_ticks(self) -> list[float]:
        """Return round heights from 0 upwards, some `TICKS` of them."""
        rough = self.y_top / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
        return [step * n for n in range(int(self.y_top / step) + 1)]


def header(title: str) -> str:
    """Return the opening tag and the background."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="sans-serif" fill="#222">\n<title>{escape(title)}</title>\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    )


def drawn(curve: Curve, scale: Scale, *, colour: str, row: int) -> list[str]:
    """Return the line, its points, and its name beside the chart in `row`."""
    places = [(scale.x(x), scale.y(y)) for x, y in curve.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    marks = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
    marks += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    start, y = WIDTH - RIGHT + 16, TOP + 8 + 20 * row
    marks.append(line((start, y), (start + 18, y), colour))
    return [*marks, text(start + 24, y + 4, curve.name, anchor="start")]


def line(start: tuple[float, float], end: tuple[float, float], colour: str, *, dash: str = "") -> str:
    """Return a straight line."""
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" stroke="{colour}"{dashes}/>'
    )


def text(x: float, y: float, words: str, *, anchor: str = "middle", size: int = 12) -> str:
    """Return words at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(words)}</text>'
