"""The Pareto front as an SVG: what a context costs against what it holds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from eval.intervals import Interval, bootstrap
from eval.tune.choose import distinct, pareto_front
from eval.tune.outcome import Outcome
from eval.tune.trials import Measured

WIDTH, HEIGHT = 820, 520
LEFT, RIGHT, TOP, BOTTOM = 70, 790, 96, 456
# Room above 100 % for the labels of points that are near it.
LABEL_HEIGHT, CHARACTER_WIDTH = 32, 6.4
INK, FAINT, GRID, FRONT, NOW = "#1f2933", "#9aa5b1", "#e4e7eb", "#0b69c7", "#c2410c"
STYLE = "font-family:system-ui,sans-serif;font-size:12px"


@dataclass(frozen=True, slots=True)
class Axes:
    """The range of the axes: tokens from 0 to `most_tokens`, quality in percent from `least_percent` to 100."""

    most_tokens: float
    least_percent: float

    def x(self, tokens: float) -> float:
        """Return the horizontal place of a number of tokens."""
        return LEFT + (RIGHT - LEFT) * tokens / self.most_tokens

    def y(self, percent: float) -> float:
        """Return the vertical place of a quality in percent, held within the axes."""
        share = (min(max(percent, self.least_percent), 100) - self.least_percent) / (100 - self.least_percent)
        return BOTTOM - (BOTTOM - TOP) * share


@dataclass(frozen=True, slots=True)
class Mark:
    """A labelled point: its place, its interval in percent, its lines of text."""

    tokens: float
    quality: Interval
    lines: tuple[str, str]
    colour: str


def pareto_svg(outcome: Outcome) -> str:
    """Return the plot: every candidate a dot, the front a line, the profiles labelled with their intervals.

    Candidates that were dropped early are hollow: they were asked fewer questions.
    """
    rows = outcome.found.rows
    axes = axes_of(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'style="{STYLE}" role="img">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        text(LEFT, 26, f"Cost against quality: {outcome.workload.dataset.name}", size=16),
        text(LEFT, 46, f"{outcome.questions()} questions; whiskers are 95 % intervals", colour=FAINT),
        *grid(axes),
        *(dot(axes, row, hollow=True) for row in outcome.found.dropped),
        *(dot(axes, row) for row in rows),
        front_line(axes, distinct(pareto_front(rows))),
        *marks(axes, marks_of(outcome)),
        *legend(),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def axes_of(rows: Sequence[Measured]) -> Axes:
    """Return axes that hold every row: whole hundreds of tokens, whole tens of percent."""
    most = max(row.mean_tokens() for row in rows)
    least = min(100 * row.mean_quality() for row in rows)
    return Axes(max(100, 100 * math.ceil(1.05 * most / 100)), min(90, max(0, 10 * math.floor(least / 10))))


def grid(axes: Axes) -> Iterator[str]:
    """Yield the lines and numbers of both axes."""
    for percent in range(round(axes.least_percent), 101, 10 if axes.least_percent < 80 else 5):
        y = axes.y(percent)
        yield f'<line x1="{LEFT}" y1="{y:.1f}" x2="{RIGHT}" y2="{y:.1f}" stroke="{GRID}"/>'
        yield text(LEFT - 8, y + 4, f"{percent}", anchor="end")
    step = next(size for size in (20, 50, 100, 200, 500, 1000, 10**9) if axes.most_tokens / size <= 10)
    for tokens in range(0, round(axes.most_tokens) + 1, step):
        yield text(axes.x(tokens), BOTTOM + 18, f"{tokens:,}", anchor="middle")
    yield f'<line x1="{LEFT}" y1="{BOTTOM}" x2="{RIGHT}" y2="{BOTTOM}" stroke="{INK}"/>'
    yield text((LEFT + RIGHT) / 2, BOTTOM + 42, "tokens of the context, mean", anchor="middle")
    middle = (TOP + BOTTOM) / 2
    yield f'<g transform="rotate(-90 20 {middle})">{text(20, middle, "quality, %", anchor="middle")}</g>'


def dot(axes: Axes, row: Measured, *, hollow: bool = False) -> str:
    """Return the dot of a candidate; "" for a hollow one below the axes."""
    percent = 100 * row.mean_quality()
    if hollow and (percent < axes.least_percent or row.mean_tokens() > axes.most_tokens):
        return ""
    paint = f'fill="none" stroke="{FAINT}" opacity="0.5"' if hollow else f'fill="{FAINT}"'
    return f'<circle cx="{axes.x(row.mean_tokens()):.1f}" cy="{axes.y(percent):.1f}" r="3" {paint}/>'


def front_line(axes: Axes, front: Sequence[Measured]) -> str:
    """Return the line through the front."""
    places = " ".join(f"{axes.x(row.mean_tokens()):.1f},{axes.y(100 * row.mean_quality()):.1f}" for row in front)
    return f'<polyline points="{places}" fill="none" stroke="{FRONT}" stroke-width="2"/>'


def marks_of(outcome: Outcome) -> list[Mark]:
    """Return the labelled points from left to right; profiles that are one candidate share a label."""
    names: dict[str, list[str]] = {}
    rows: dict[str, Measured] = {}
    for name, row in [*outcome.profiles.named(), ("now", outcome.configured)]:
        names.setdefault(row.candidate.label(), []).append(name)
        rows[row.candidate.label()] = row
    found = [mark_of(rows[label], named, seed=outcome.rule.seed) for label, named in names.items()]
    return sorted(found, key=lambda mark: mark.tokens)


def mark_of(row: Measured, names: Sequence[str], *, seed: int) -> Mark:
    """Return the labelled point of a row that has these names."""
    quality = bootstrap((100 * row.quality).tolist(), seed=seed)
    figures = f"{row.mean_tokens():.0f} tokens, {quality.value:.1f} %"
    return Mark(row.mean_tokens(), quality, (", ".join(names), figures), NOW if list(names) == ["now"] else FRONT)


def marks(axes: Axes, found: Sequence[Mark]) -> Iterator[str]:
    """Yield the labelled points with whiskers; a label that would lie on an earlier one is raised above it."""
    taken: list[tuple[float, float, float]] = []
    for mark in found:
        x, width = axes.x(mark.tokens), CHARACTER_WIDTH * max(map(len, mark.lines))
        middle = min(max(x, LEFT + width / 2), RIGHT - width / 2)
        # What is configured lies below the front as a rule, and the room below it is free.
        bottom = axes.y(mark.quality.low) + LABEL_HEIGHT if mark.colour == NOW else axes.y(mark.quality.high) - 8
        for left, right, other in sorted(taken, key=lambda item: -item[2]):
            if middle - width / 2 < right and left < middle + width / 2 and abs(bottom - other) < LABEL_HEIGHT:
                bottom = other - LABEL_HEIGHT
        taken.append((middle - width / 2, middle + width / 2, bottom))
        low, high, y = axes.y(mark.quality.low), axes.y(mark.quality.high), axes.y(mark.quality.value)
        yield f'<line x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}" stroke="{mark.colour}"/>'
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{mark.colour}" stroke="white" stroke-width="1.5"/>'
        yield text(middle, bottom - 14, mark.lines[0], anchor="middle", colour=mark.colour, weight="600")
        yield text(middle, bottom, mark.lines[1], anchor="middle")


def legend() -> Iterator[str]:
    """Yield what the signs mean, in one row at the foot."""
    y = HEIGHT - 6
    yield f'<line x1="{LEFT}" y1="{y - 4}" x2="{LEFT + 22}" y2="{y - 4}" stroke="{FRONT}" stroke-width="2"/>'
    yield text(LEFT + 28, y, "Pareto front")
    yield f'<circle cx="{LEFT + 126}" cy="{y - 4}" r="3" fill="{FAINT}"/>'
    yield text(LEFT + 136, y, "asked every question")
    yield f'<circle cx="{LEFT + 282}" cy="{y - 4}" r="3" fill="none" stroke="{FAINT}"/>'
    yield text(LEFT + 292, y, "dropped early, fewer questions")


def text(
    x: float, y: float, content: str, *, anchor: str = "start", colour: str = INK, size: int = 12, weight: str = "400"
) -> str:
    """Return one line of text."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}" '
        f'font-weight="{weight}">{escape(content)}</text>'
    )
