"""What every job returns, as a table for a person and as JSON for a program."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TypeAlias, TypeVar

from eval.intervals import Interval, bootstrap

Metrics: TypeAlias = Mapping[str, Interval]
ConfigValue: TypeAlias = str | int | float | bool | None
Row = TypeVar("Row")

DIGITS = 6


@dataclass(frozen=True, slots=True)
class Segment:
    """The metrics of one part of a set; `n` counts its cases."""

    n: int
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Cases:
    """What each case of a set scored, so that two measurements can be compared case by case.

    ids: distinct, in the order asked. segments: of the same cases, "" where there are no parts.
    values: metric to one number per case in that order, rounded as `as_json` writes it.
    """

    ids: tuple[str, ...]
    segments: tuple[str, ...]
    values: Mapping[str, tuple[float, ...]]

    def metrics(self, *, seed: int) -> Metrics:
        """Return the mean of each metric over the cases, with its interval."""
        return {name: bootstrap(column, seed=seed) for name, column in self.values.items()}

    def by_segment(self) -> dict[str, Cases]:
        """Return the cases of each segment, by name; {} if there are not two segments."""
        places = by_segment(range(len(self.ids)), self.segments)
        return {name: self._at(part) for name, part in places.items()}

    def _at(self, places: Sequence[int]) -> Cases:
        return Cases(
            ids=tuple(self.ids[at] for at in places),
            segments=tuple(self.segments[at] for at in places),
            values={name: tuple(column[at] for at in places) for name, column in self.values.items()},
        )


def rounded(values: Sequence[float]) -> tuple[float, ...]:
    """Return the numbers with 6 digits after the point: what is saved equals what is measured again."""
    return tuple(round(float(value), DIGITS) for value in values)


@dataclass(frozen=True, slots=True)
class Origin:
    """What it takes to measure a report again.

    data: the set's folder, absolute. digest: of the set's content. limit: questions asked at most,
    None for all. command: as it was typed.
    """

    data: str
    digest: str
    limit: int | None
    command: str


@dataclass(frozen=True, slots=True)
class Report:
    """What one job measured on one set.

    n: cases. config: what it was measured with. failures: what must never happen and did, each with
    an example; a job with any exits 1. cases: None where the metrics are not means over cases.
    """

    job: str
    set: str
    n: int
    seed: int
    config: Mapping[str, ConfigValue]
    metrics: Metrics
    segments: Mapping[str, Segment] = field(default_factory=dict)
    failures: tuple[str, ...] = ()
    cases: Cases | None = None
    origin: Origin | None = None


def by_segment(rows: Sequence[Row], segments: Sequence[str]) -> dict[str, list[Row]]:
    """Return the rows of each segment, by name, "" as `other`; {} if there are not two segments.

    The same place in both is the same row. Raises: `ValueError` if the lengths differ.
    """
    parts: dict[str, list[Row]] = {name: [] for name in sorted(set(segments))}
    for row, name in zip(rows, segments, strict=True):
        parts[name].append(row)
    return {name or "other": part for name, part in parts.items()} if len(parts) > 1 else {}


def segments_of(cases: Cases, *, seed: int) -> dict[str, Segment]:
    """Return the metrics of each segment, by name; {} if there are not two segments."""
    return {name: Segment(len(part.ids), part.metrics(seed=seed)) for name, part in cases.by_segment().items()}


def with_columns(report: Report, columns: Mapping[str, tuple[float, ...]]) -> Report:
    """Return a report that has cases with further values of the same cases, and their metrics, at the end."""
    if report.cases is None:
        raise ValueError("a report without cases takes no columns")
    cases = replace(report.cases, values={**report.cases.values, **columns})
    metrics, segments = cases.metrics(seed=report.seed), segments_of(cases, seed=report.seed)
    return replace(report, cases=cases, metrics=metrics, segments=segments)


def as_json(report: Report) -> str:
    """Return the report as one line of JSON.

    The pinned keys, then `segments`, `failures`, `origin` and, last because it is long, `cases`, each where it is.
    """
    fields: dict[str, object] = {
        "job": report.job,
        "set": report.set,
        "n": report.n,
        "seed": report.seed,
        "config": dict(report.config),
        "metrics": json_metrics(report.metrics),
    }
    if report.segments:
        fields["segments"] = {
            name: {"n": segment.n, "metrics": json_metrics(segment.metrics)}
            for name, segment in report.segments.items()
        }
    if report.failures:
        fields["failures"] = list(report.failures)
    if report.origin:
        fields["origin"] = asdict(report.origin)
    if report.cases:
        fields["cases"] = asdict(report.cases)
    return json.dumps(fields, ensure_ascii=False)


def json_metrics(metrics: Metrics) -> dict[str, dict[str, float]]:
    """Return the metrics as `{name: {"value", "low", "high"}}`, rounded to 6 digits after the point."""
    return {
        name: {key: round(getattr(interval, key), DIGITS) for key in ("value", "low", "high")}
        for name, interval in metrics.items()
    }


def as_table(report: Report) -> str:
    """Return the report as lines of text: a heading, what it was measured with, one row per metric and segment."""
    settings = ", ".join(f"{name}={value}" for name, value in report.config.items())
    lines = [f"{report.job} on {report.set}: n={report.n}, seed={report.seed}", f"  {settings}"]
    lines += metric_lines(report.metrics)
    for name, segment in report.segments.items():
        lines += [f"  {name}: n={segment.n}", *metric_lines(segment.metrics)]
    return "\n".join(lines)


def metric_lines(metrics: Metrics) -> list[str]:
    """Return one aligned line per metric: its name, its value and its 95 % interval."""
    width = max((len(name) for name in metrics), default=0)
    return [
        f"  {name:<{width}}  {digits(interval.value)}  [{digits(interval.low)}, {digits(interval.high)}]"
        for name, interval in metrics.items()
    ]


def digits(number: float) -> str:
    """Return a number with as many digits as its size deserves, 10 characters wide."""
    if abs(number) >= 100:
        return f"{number:>10.0f}"
    return f"{number:>10.3f}"
