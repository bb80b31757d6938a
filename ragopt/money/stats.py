"""What a tenant spent and saved: the sums of its days, as one report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from ragopt.domain import TECHNIQUES, Technique
from ragopt.money.ledger import LATENCY, TOTAL, usd
from ragopt.state.ledger import DaySums


@dataclass(frozen=True, slots=True)
class Sums:
    """What was added up under one name. answers_without_savings: those whose savings are not known.

    calls: that used tokens. failed_calls: attempts that ended with an error; one that used no token is not in `calls`.
    """

    calls: int
    failed_calls: int
    unpriced_calls: int
    answers: int
    answers_without_savings: int
    spent_usd: Decimal
    baseline_usd: Decimal
    saved_usd: Decimal


@dataclass(frozen=True, slots=True)
class Quality:
    """What the answers were worth and how long they took.

    claims: that were judged; supported: of those. rated: answers of which a caller said something; liked: of those.
    timed: answers whose time is known; p50_ms, p95_ms: of those, None without any, at most a tenth too long.
    """

    abstained: int = 0
    claims: int = 0
    supported: int = 0
    rated: int = 0
    liked: int = 0
    timed: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Stats:
    """Sums over some days: in all, by model and by label, what each technique saved, and day by day, oldest first.

    A name "" stands for all names beyond the most that a day keeps.
    """

    total: Sums
    by: Mapping[str, Mapping[str, Sums]]
    by_technique: Mapping[Technique, Decimal]
    by_day: Sequence[tuple[date, Sums]]
    quality: Quality = Quality()


def last_days(today: date, count: int) -> list[date]:
    """Return the last `count` days up to today, oldest first."""
    return [today - timedelta(days=back) for back in reversed(range(count))]


def stats_of(days: Sequence[DaySums]) -> Stats:
    """Return the report of these days, which are in order."""
    added = {dimension: summed(days, dimension) for dimension in (TOTAL, "model", "user", "team", "feature")}
    return Stats(
        total=sums(added.pop(TOTAL).get("", {})),
        by={
            dimension: {name: sums(measures) for name, measures in sorted(names.items())}
            for dimension, names in added.items()
        },
        by_technique=saved_by(days),
        by_day=[(day.day, sums(day.sums.get(TOTAL, {}).get("", {}))) for day in days],
        quality=quality_of(days),
    )


def quality_of(days: Sequence[DaySums]) -> Quality:
    """Return what the answers of these days were worth together."""
    total = summed(days, TOTAL).get("", {})
    steps = sorted((int(bound), step["answers"]) for bound, step in summed(days, LATENCY).items() if bound)
    return Quality(
        abstained=total.get("abstained", 0),
        claims=total.get("claims", 0),
        supported=total.get("supported", 0),
        rated=total.get("rated", 0),
        liked=total.get("liked", 0),
        timed=sum(count for _, count in steps),
        p50_ms=percentile_ms(steps, 0.5),
        p95_ms=percentile_ms(steps, 0.95),
    )


def percentile_ms(steps: Sequence[tuple[int, int]], share: float) -> float | None:
    """Return the upper end of the step within which this share of the answers was given, None for none.

    steps: upper ends in milliseconds, ascending, each with its answers.
    """
    needed = share * sum(count for _, count in steps)
    seen = 0
    for bound_ms, count in steps:
        seen += count
        if seen >= needed:
            return float(bound_ms)
    return None


def saved_by(days: Sequence[DaySums]) -> dict[Technique, Decimal]:
    """Return what each technique saved in USD."""
    added = summed(days, "technique")
    return {name: usd(added.get(name, {}).get("saved", 0)) for name in TECHNIQUES}


def summed(days: Sequence[DaySums], dimension: str) -> dict[str, dict[str, int]]:
    """Return by name and measure what the days hold of one dimension together."""
    total: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for day in days:
        for name, measures in day.sums.get(dimension, {}).items():
            for measure, amount in measures.items():
                total[name][measure] += amount
    return total


def sums(measures: Mapping[str, int]) -> Sums:
    """Return the measures of one name; 0 for what was never added."""
    return Sums(
        calls=measures.get("calls", 0),
        failed_calls=measures.get("failed_calls", 0),
        unpriced_calls=measures.get("unpriced_calls", 0),
        answers=measures.get("answers", 0),
        answers_without_savings=measures.get("answers_without_savings", 0),
        spent_usd=usd(measures.get("spent", 0)),
        baseline_usd=usd(measures.get("baseline", 0)),
        saved_usd=usd(measures.get("saved", 0)),
    )
