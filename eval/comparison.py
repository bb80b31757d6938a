"""Two measurements of the same cases side by side: the paired difference of each metric, and whether it is chance."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from eval.direction import direction
from eval.errors import EvaluationError
from eval.intervals import Interval, paired_difference
from eval.report import DIGITS, Cases, ConfigValue, Report, digits
from eval.significance import sign_flip_p

ENDING = "-difference"
# Below it a difference is marked: the level of the intervals.
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of both: its mean in the first and the second, first - second over the cases as pairs, and p."""

    first: float
    second: float
    interval: Interval
    p: float


Differences: TypeAlias = Mapping[str, Difference]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two reports of one job on one set. config: of the first. against: of the second. segments: n and metrics."""

    job: str
    set: str
    n: int
    seed: int
    config: Mapping[str, ConfigValue]
    against: Mapping[str, ConfigValue]
    metrics: Differences
    segments: Mapping[str, tuple[int, Differences]] = field(default_factory=dict)
    command: str = ""


def compare(first: Report, second: Report) -> Comparison:
    """Return the paired differences of the metrics that both have and that can be better or worse.

    Raises: `EvaluationError` if a report has no cases, or they are not the same cases.
    """
    ours, theirs = cases_of(first), cases_of(second)
    if ours.ids != theirs.ids:
        raise EvaluationError(f"{first.set}: the two measurements are not of the same questions")
    parts = theirs.by_segment()
    return Comparison(
        job=first.job,
        set=first.set,
        n=first.n,
        seed=first.seed,
        config=first.config,
        against=second.config,
        metrics=differences(ours, theirs, seed=first.seed),
        segments={
            name: (len(part.ids), differences(part, parts[name], seed=first.seed))
            for name, part in ours.by_segment().items()
        },
        command=first.origin.command if first.origin else "",
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
    return Difference(
        first=sum(ours) / len(ours),
        second=sum(theirs) / len(theirs),
        interval=paired_difference(ours, theirs, seed=seed),
        p=sign_flip_p([a - b for a, b in zip(ours, theirs, strict=True)], seed=seed),
    )


def comparison_json(comparison: Comparison) -> str:
    """Return the comparison as one line of JSON; its `job` ends in `-difference`, its metrics have `p` and both means."""
    fields: dict[str, object] = {
        "job": comparison.job + ENDING,
        "set": comparison.set,
        "n": comparison.n,
        "seed": comparison.seed,
        "config": dict(comparison.config),
        "against": dict(comparison.against),
        "metrics": json_differences(comparison.metrics),
    }
    if comparison.segments:
        fields["segments"] = {
            name: {"n": n, "metrics": json_differences(metrics)} for name, (n, metrics) in comparison.segments.items()
        }
    if comparison.command:
        fields["origin"] = {"command": comparison.command}
    return json.dumps(fields, ensure_ascii=False)


def json_differences(metrics: Differences) -> dict[str, dict[str, float]]:
    """Return the differences as `{name: {"value", "low", "high", "p", "first", "second"}}`, rounded to 6 digits."""
    return {
        name: {
            key: round(number, DIGITS)
            for key, number in (
                ("value", item.interval.value),
                ("low", item.interval.low),
                ("high", item.interval.high),
                ("p", item.p),
                ("first", item.first),
                ("second", item.second),
            )
        }
        for name, item in metrics.items()
    }


def comparison_table(comparison: Comparison) -> str:
    """Return the comparison as lines of text: what differs in the settings, then one row per metric and segment."""
    lines = [
        f"{comparison.job} on {comparison.set}, first - second: n={comparison.n}, seed={comparison.seed}",
        *(f"  {text}" for text in settings_that_differ(comparison)),
        *difference_lines(comparison.metrics),
    ]
    for name, (n, metrics) in comparison.segments.items():
        lines += [f"  {name}: n={n}", *difference_lines(metrics)]
    return "\n".join(lines)


def settings_that_differ(comparison: Comparison) -> list[str]:
    """Return one line for the first and one for the second: only the settings that are not the same in both."""
    names = dict.fromkeys([*comparison.config, *comparison.against])
    apart = [name for name in names if comparison.config.get(name) != comparison.against.get(name)]
    if not apart:
        return ["both measured with the same settings"]
    return [
        f"{which:<7} " + ", ".join(f"{name}={config.get(name)}" for name in apart)
        for which, config in (("first:", comparison.config), ("second:", comparison.against))
    ]


def difference_lines(metrics: Differences) -> list[str]:
    """Return an aligned heading and one line per metric; `*` where p is below 0.05."""
    width = max((len(name) for name in metrics), default=0)
    head = f"  {'':<{width}}  {'first':>10}  {'second':>10}  {'difference':>10}  {'[low, high]':^24}  p"
    return [head] + [
        f"  {name:<{width}}  {digits(item.first)}  {digits(item.second)}  {digits(item.interval.value)}"
        f"  [{digits(item.interval.low)}, {digits(item.interval.high)}]  {item.p:.4f}{' *' * (item.p < ALPHA)}"
        for name, item in metrics.items()
    ]
