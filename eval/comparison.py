"""Two measurements of the same cases side by side: the paired difference of each metric, and whether it is chance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TypeAlias

from eval.direction import direction
from eval.errors import EvaluationError
from eval.intervals import paired_difference
from eval.report import DIGITS, Cases, ConfigValue, Origin, Report, digits
from eval.significance import sign_flip_p

ENDING = "-difference"
# Below it a difference is marked: the level of the intervals.
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of two measurements: first - second with its 95 % interval, and the mean of each.

    p: of the paired test; None where values per case are missing and the interval is that of two samples.
    """

    value: float
    low: float
    high: float
    p: float | None
    first: float
    second: float


Differences: TypeAlias = Mapping[str, Difference]


@dataclass(frozen=True, slots=True)
class ComparedSegment:
    """The differences in one part of a set; `n` counts its cases."""

    n: int
    metrics: Differences


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two reports of one job on one set. config: of the first. against: of the second."""

    job: str
    set: str
    n: int
    seed: int
    config: Mapping[str, ConfigValue]
    against: Mapping[str, ConfigValue]
    metrics: Differences
    segments: Mapping[str, ComparedSegment] = field(default_factory=dict)
    origin: Origin | None = None


def compare(first: Report, second: Report) -> Comparison:
    """Return the paired differences of the metrics that both have and that can be better or worse.

    Raises: `EvaluationError` if a report has no cases, or they are not the same cases.
    """
    ours, theirs = cases_of(first), cases_of(second)
    if ours.ids != theirs.ids:
        raise EvaluationError(f"{first.set}: the two measurements are not of the same questions")
    parts = theirs.by_segment()
    return Comparison(
        job=first.job + ENDING,
        set=first.set,
        n=first.n,
        seed=first.seed,
        config=first.config,
        against=second.config,
        metrics=differences(ours, theirs, seed=first.seed),
        segments={
            name: ComparedSegment(len(part.ids), differences(part, parts[name], seed=first.seed))
            for name, part in ours.by_segment().items()
        },
        origin=first.origin,
    )


def cases_of(report: Report) -> Cases:
    """Return the cases of a report. Raises: `EvaluationError` if it has none."""
    if report.cases is None:
        raise EvaluationError(f"{report.set}: the job {report.job!r} has no values per question to compare")
    return report.cases


def differences(ours: Cases, theirs: Cases, *, seed: int) -> Differences:
    """Return the difference of each metric that both have and that can be better or worse."""
    names = [name for name in ours.values if name in theirs.values and direction(name) != "neither"]
    return {name: difference(ours.values[name], theirs.values[name], seed=seed) for name in names}


def difference(ours: Sequence[float], theirs: Sequence[float], *, seed: int) -> Difference:
    """Return the paired difference of two columns. Raises: `ValueError` if the lengths differ or are 0."""
    interval = paired_difference(ours, theirs, seed=seed)
    return Difference(
        value=interval.value,
        low=interval.low,
        high=interval.high,
        p=sign_flip_p([a - b for a, b in zip(ours, theirs, strict=True)], seed=seed),
        first=sum(ours) / len(ours),
        second=sum(theirs) / len(theirs),
    )


def comparison_json(comparison: Comparison) -> str:
    """Return the comparison as one line of JSON: the pinned keys, `against`, then `segments` and `origin` if any."""
    fields: dict[str, object] = {
        "job": comparison.job,
        "set": comparison.set,
        "n": comparison.n,
        "seed": comparison.seed,
        "config": dict(comparison.config),
        "against": dict(comparison.against),
        "metrics": json_differences(comparison.metrics),
    }
    if comparison.segments:
        fields["segments"] = {
            name: {"n": part.n, "metrics": json_differences(part.metrics)} for name, part in comparison.segments.items()
        }
    if comparison.origin:
        fields["origin"] = asdict(comparison.origin)
    return json.dumps(fields, ensure_ascii=False)


def json_differences(metrics: Differences) -> dict[str, dict[str, float | None]]:
    """Return the differences as `{name: {"value", "low", "high", "p", "first", "second"}}`, rounded to 6 digits."""
    return {
        name: {key: None if number is None else round(number, DIGITS) for key, number in asdict(item).items()}
        for name, item in metrics.items()
    }


def comparison_table(comparison: Comparison, *, names: tuple[str, str] = ("first", "second")) -> str:
    """Return the comparison as lines of text: what differs in the settings, then one row per metric and segment."""
    job = comparison.job.rpartition("-")[0]
    lines = [
        f"{job} on {comparison.set}, {names[0]} - {names[1]}: n={comparison.n}, seed={comparison.seed}",
        *(f"  {text}" for text in settings_apart(comparison, names)),
        *difference_lines(comparison.metrics, names),
    ]
    for name, part in comparison.segments.items():
        lines += [f"  {name}: n={part.n}", *difference_lines(part.metrics, names)]
    return "\n".join(lines)


def settings_apart(comparison: Comparison, names: tuple[str, str]) -> list[str]:
    """Return one line for each side with the settings that are not the same on both, or one that says so."""
    settings = dict.fromkeys([*comparison.config, *comparison.against])
    apart = [name for name in settings if comparison.config.get(name) != comparison.against.get(name)]
    if not apart:
        return ["the settings are the same"]
    width = max(len(name) for name in names)
    return [
        f"{side:<{width}}  " + ", ".join(f"{name}={config.get(name)}" for name in apart)
        for side, config in zip(names, (comparison.config, comparison.against), strict=True)
    ]


def difference_lines(metrics: Differences, names: tuple[str, str]) -> list[str]:
    """Return an aligned heading and one line per metric; `*` where p is below 0.05, no p where it is not paired."""
    width = max((len(name) for name in metrics), default=0)
    head = f"  {'':<{width}}  {names[0]:>10}  {names[1]:>10}  {'difference':>10}  {'95 % interval':^24}  p"
    return [head] + [
        f"  {name:<{width}}  {digits(item.first)}  {digits(item.second)}  {digits(item.value)}"
        f"  [{digits(item.low)}, {digits(item.high)}]  {p_text(item.p)}"
        for name, item in metrics.items()
    ]


def p_text(p: float | None) -> str:
    """Return a p-value with four digits, marked with `*` below 0.05; `not paired` for None."""
    if p is None:
        return "not paired"
    return f"{p:.4f} *" if p < ALPHA else f"{p:.4f}"
