"""What every job returns, as a table for a person and as JSON for a program."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from eval.intervals import Interval

Metrics: TypeAlias = Mapping[str, Interval]
ConfigValue: TypeAlias = str | int | float | bool | None
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Segment:
    """The metrics of one part of a set; `n` counts its cases."""

    n: int
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Report:
    """What one job measured on one set.

    n: cases. config: what it was measured with. failures: what must never happen and did, each with
    an example; a job with any exits 1.
    """

    job: str
    set: str
    n: int
    seed: int
    config: Mapping[str, ConfigValue]
    metrics: Metrics
    segments: Mapping[str, Segment] = field(default_factory=dict)
    failures: tuple[str, ...] = ()


def by_segment(rows: Sequence[Row], segments: Sequence[str]) -> dict[str, list[Row]]:
    """Return the rows of each segment, by name, "" as `other`; {} if there are not two segments.

    The same place in both is the same row. Raises: `ValueError` if the lengths differ.
    """
    parts: dict[str, list[Row]] = {name: [] for name in sorted(set(segments))}
    for row, name in zip(rows, segments, strict=True):
        parts[name].append(row)
    return {name or "other": part for name, part in parts.items()} if len(parts) > 1 else {}


def as_json(report: Report) -> str:
    """Return the report as one line of JSON: the pinned keys, then `segments` and `failures` where there are any."""
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
    return json.dumps(fields, ensure_ascii=False)


def json_metrics(metrics: Metrics) -> dict[str, dict[str, float]]:
    """Return the metrics as `{name: {"value", "low", "high"}}`, rounded to 6 digits after the point."""
    return {
        name: {key: round(getattr(interval, key), 6) for key in ("value", "low", "high")}
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
