"""An experiment of the campaign: what is done, how large it is, and the figures that it is held to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from eval.report import Report

Verdict: TypeAlias = Literal["passed", "short", "failed"]


@dataclass(frozen=True, slots=True)
class Size:
    """How much of its full size an experiment is run at. share: in (0, 1]. seed: of everything drawn at random."""

    share: float = 1.0
    seed: int = 0

    def of(self, full: int, *, least: int = 1) -> int:
        """Return that share of a full number, `least` at least."""
        return max(least, round(full * self.share))


@dataclass(frozen=True, slots=True)
class Figure:
    """What a metric must come to. most: what is counted as a fault; least: how much has to be done."""

    metric: str
    most: float | None = None
    least: float | None = None

    def text(self) -> str:
        """Return the figure in a few characters, for the table."""
        bounds = ((self.most, "≤"), (self.least, "≥"))
        named = [f"{self.metric} {sign} {bound:g}" for bound, sign in bounds if bound is not None]
        return " and ".join(named).replace("≤ 0", "= 0")


@dataclass(frozen=True, slots=True)
class Experiment:
    """One row of the campaign. what: one line for a person. minutes: what the full size takes on two cores, about."""

    name: str
    what: str
    minutes: float
    measure: Callable[[Size], Report]
    figures: tuple[Figure, ...]


def zero(*metrics: str) -> tuple[Figure, ...]:
    """Return a figure of 0 for each of the metrics."""
    return tuple(Figure(metric, most=0) for metric in metrics)


def verdict(report: Report, figures: tuple[Figure, ...]) -> Verdict:
    """Return whether a report meets its figures; `short` where nothing went wrong but less was done than is asked.

    A metric that a report has not is 0.
    """
    values = {name: interval.value for name, interval in report.metrics.items()}
    if report.failures or any(
        figure.most is not None and values.get(figure.metric, 0) > figure.most for figure in figures
    ):
        return "failed"
    if any(figure.least is not None and values.get(figure.metric, 0) < figure.least for figure in figures):
        return "short"
    return "passed"
