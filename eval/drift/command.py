"""`python -m eval drift`: seven weeks of a growing support assistant, the baseline's bill beside ours. A simulation.

Real are the questions, the passages that the serving pipeline packs for them, those that a vendor's default would send,
the tier that our router gives each, recorded outcomes of a weak and a strong model, and the prices. Simulated is the
traffic, pinned in `eval.drift.scenario`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.datasets import read_dataset
from eval.drift.correctness import sample
from eval.drift.lineup import LINEUPS, rates_of
from eval.drift.recording import recorded_of
from eval.drift.replay import STEPS, Recorded, Sizes, Weeks, replayed
from eval.drift.scenario import REPEATED_SHARES, WEEKLY_USERS, asks
from eval.intervals import Interval, bootstrap, paired_difference
from eval.plot import Chart, Curve
from eval.report import Report
from eval.routing.sets import read_routing_set
from ragopt.domain import TIER_RANK
from ragopt.prompt import SYSTEM
from ragopt.settings.history import HistorySettings
from ragopt.tokens import count_tokens

# Runs of the traffic, each with dice of its own: their spread is the interval.
RUNS = 20


@dataclass(frozen=True, slots=True)
class DriftJob:
    """outcomes: a folder of recorded outcomes of two models. limit: questions asked at most, None for all."""

    outcomes: Path
    limit: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Drift:
    """The report, and the weekly bills of each lineup at the middle share of repeats, for the picture."""

    report: Report
    chart: Chart


async def measure(folder: Path, job: DriftJob) -> Drift:
    """Return the replay over the questions of a set with reference spans.

    Raises: `DatasetError`, `EvaluationError`, `ModelUnavailable`.
    """
    dataset, outcomes = read_dataset(folder), sample(read_routing_set(job.outcomes), seed=job.seed)
    recorded = await recorded_of(dataset, outcomes, limit=job.limit)
    sizes = Sizes(rules=count_tokens(SYSTEM), history_budget=HistorySettings().budget_tokens)
    metrics = quality_of(recorded, seed=job.seed)
    curves: list[Curve] = []
    for name, lineup in LINEUPS.items():
        rates = rates_of(lineup)
        for share in REPEATED_SHARES:
            runs = [
                replayed(asks(len(recorded), repeated=share, seed=job.seed + run), recorded, rates, sizes=sizes)
                for run in range(RUNS)
            ]
            metrics |= metrics_of(runs, f"{name}.{round(100 * share)}")
            if share == REPEATED_SHARES[1]:
                curves += curves_of(runs, name)
    tiers = {tier: sum(item.tier == tier for item in recorded) / len(recorded) for tier in TIER_RANK}
    report = Report(
        job="drift",
        set=dataset.name,
        n=len(recorded),
        seed=job.seed,
        config={"simulation": True, "runs": RUNS, **{f"tier.{name}": round(part, 3) for name, part in tiers.items()}},
        metrics=metrics,
    )
    chart = Chart("Weekly bill of a support assistant (simulation)", "weekly users", "USD a week", curves)
    return Drift(report, chart)


def quality_of(recorded: Sequence[Recorded], *, seed: int) -> dict[str, Interval]:
    """Return the mean quality of ours and of the baseline, and their paired difference."""
    ours, theirs = [item.quality_ours for item in recorded], [item.quality_theirs for item in recorded]
    return {
        "quality.ours": bootstrap(ours, seed=seed),
        "quality.baseline": bootstrap(theirs, seed=seed),
        "quality.ours-baseline": paired_difference(ours, theirs, seed=seed),
    }


def metrics_of(runs: Sequence[Weeks], name: str) -> dict[str, Interval]:
    """Return the share saved, both bills in USD, and the share that each step saved; intervals over the runs."""
    columns = {
        "saved": [run.saved for run in runs],
        "baseline_usd": [run.baseline for run in runs],
        "ours_usd": [run.ours for run in runs],
        **{f"part.{step}": [run.parts()[step] for run in runs] for step in STEPS},
    }
    return {f"{column}@{name}": spread(values) for column, values in columns.items()}


def spread(values: Sequence[float]) -> Interval:
    """Return the mean of the runs between their 2.5th and 97.5th percentile."""
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(np.mean(values)), float(low), float(high))


def curves_of(runs: Sequence[Weeks], name: str) -> list[Curve]:
    """Return the mean weekly bills of the baseline and of ours against the weekly users."""
    weekly = np.mean([run.costs[[0, -1]] for run in runs], axis=0)
    sides = {"baseline": weekly[0], "ragopt": weekly[1]}
    return [
        Curve(f"{side}, {name}", [(users, float(cost)) for users, cost in zip(WEEKLY_USERS, costs, strict=True)])
        for side, costs in sides.items()
    ]
