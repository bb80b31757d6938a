"""`python -m eval gate`: measures again what a file holds, and says what has become worse beyond chance."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from eval.comparison import Comparison, Difference, difference
from eval.configuration import Overrides
from eval.context import ContextJob
from eval.context import measure as measure_context
from eval.datasets import digest_of, read_dataset
from eval.direction import direction
from eval.errors import SavedError
from eval.intervals import Interval
from eval.measuring import measured
from eval.report import Report
from eval.retrieval import RetrievalJob
from eval.retrieval import measure as measure_retrieval
from eval.saved import Result

ENDING = "-gate"


@dataclass(frozen=True, slots=True)
class Present:
    """How the saved jobs are measured now. folders: by the name of the set; one that is not in it is where it was."""

    folders: Mapping[str, Path]
    overrides: Overrides
    command: str


@dataclass(frozen=True, slots=True)
class Gated:
    """What is now against what was. worse: metrics that are worse beyond their interval. failures: of the new run."""

    comparison: Comparison
    worse: tuple[str, ...]
    failures: tuple[str, ...]

    def passed(self) -> bool:
        """Return whether nothing is worse and nothing failed."""
        return not self.worse and not self.failures


# The report that was saved and its folder, to the report of now.
Again: TypeAlias = Callable[[Report, Path, Present], Report]


def context_again(saved: Report, folder: Path, present: Present) -> Report:
    """Return contexts measured as then: the same budgets, questions and seed, the settings of now."""
    budgets = sorted(int(name.removeprefix("recall@")) for name in saved.metrics if is_budget(name))
    job = ContextJob(
        budgets=tuple(budgets),
        limit=limit_of(saved),
        seed=saved.seed,
        overrides=present.overrides,
        baseline="recall@baseline" in saved.metrics,
    )
    return measured(folder, measure_context, [job], command=present.command)[0]


def retrieval_again(saved: Report, folder: Path, present: Present) -> Report:
    """Return rankings measured as then: the same questions and seed, the settings of now."""
    job = RetrievalJob(limit=limit_of(saved), seed=saved.seed, overrides=present.overrides)
    return measured(folder, measure_retrieval, [job], command=present.command)[0]


AGAIN: Mapping[str, Again] = {"context": context_again, "retrieval": retrieval_again}


def is_budget(metric: str) -> bool:
    """Return whether this is the recall at a budget."""
    return metric.startswith("recall@") and metric.removeprefix("recall@").isdecimal()


def limit_of(saved: Report) -> int | None:
    """Return how many questions were asked at most: where it was not written down, as many as were."""
    return saved.origin.limit if saved.origin else saved.n


def baselines(results: Sequence[Result]) -> list[Report]:
    """Return the reports among saved results, in order.

    Raises: `SavedError` if there are none, if a job and set are there twice, or if a job cannot be measured again.
    """
    reports = [result for result in results if isinstance(result, Report)]
    seen: set[tuple[str, str]] = set()
    for report in reports:
        if report.job not in AGAIN:
            raise SavedError(f"{report.job} on {report.set}: `gate` measures {' and '.join(AGAIN)} again, nothing else")
        if (report.job, report.set) in seen:
            raise SavedError(f"{report.job} on {report.set} is there twice: a baseline holds each once")
        seen.add((report.job, report.set))
    if not reports:
        raise SavedError("the baseline holds differences only; save the measurements themselves")
    return reports


def gate(saved: Report, present: Present) -> Gated:
    """Return what is worse now than it was saved.

    Raises: `SavedError` if the set is not the one that was measured, or a metric is gone;
    `EvaluationError` as the job itself.
    """
    folder = folder_of(saved, present)
    refuse_changed_set(saved, folder)
    now = AGAIN[saved.job](saved, folder, present)
    refuse_other_questions(now, saved)
    found = {name: changed(name, now, saved) for name in saved.metrics if direction(name) != "neither"}
    comparison = Comparison(
        job=saved.job + ENDING,
        set=saved.set,
        n=now.n,
        seed=saved.seed,
        config=now.config,
        against=saved.config,
        metrics=found,
        origin=now.origin,
    )
    return Gated(comparison, tuple(name for name, item in found.items() if is_worse(name, item)), now.failures)


def folder_of(saved: Report, present: Present) -> Path:
    """Return the folder of a saved set: the one given now, else where it was. Raises: `SavedError`."""
    if saved.set in present.folders:
        return present.folders[saved.set]
    if saved.origin is None or not Path(saved.origin.data).is_dir():
        raise SavedError(f"{saved.job} on {saved.set}: where is the set? Name its folder with --data")
    return Path(saved.origin.data)


def refuse_changed_set(saved: Report, folder: Path) -> None:
    """Raise `SavedError` if the set in `folder` has other documents, questions or judgements than then."""
    if saved.origin is not None and saved.origin.digest != digest_of(read_dataset(folder)):
        raise SavedError(
            f"{saved.job} on {saved.set}: its documents, questions or judgements have changed since the baseline "
            "was measured; measure a new one"
        )


def refuse_other_questions(now: Report, saved: Report) -> None:
    """Raise `SavedError` if the questions are not those of the baseline."""
    same = now.n == saved.n and (saved.cases is None or now.cases is None or now.cases.ids == saved.cases.ids)
    if not same:
        raise SavedError(f"{saved.job} on {saved.set}: {now.n} questions now, {saved.n} then, or not the same ones")


def changed(name: str, now: Report, saved: Report) -> Difference:
    """Return now - then of one metric: paired where both have a value per case. Raises: `SavedError` if it is gone."""
    if name not in now.metrics:
        raise SavedError(f"{saved.job} on {saved.set}: the metric {name} of the baseline is gone")
    if now.cases and saved.cases and name in now.cases.values and name in saved.cases.values:
        return difference(now.cases.values[name], saved.cases.values[name], seed=saved.seed)
    return unpaired(now.metrics[name], saved.metrics[name])


def unpaired(now: Interval, was: Interval) -> Difference:
    """Return now - was as of two independent samples, from their intervals: wider than a paired one.

    Source: Zou and Donner, "Construction of confidence limits about effect measures: a general approach",
    Statistics in Medicine 27(10), 2008: the method of variance estimates recovery.
    """
    value = now.value - was.value
    low = value - math.hypot(now.value - now.low, was.high - was.value)
    high = value + math.hypot(now.high - now.value, was.value - was.low)
    return Difference(value=value, low=low, high=high, p=None, first=now.value, second=was.value)


def is_worse(name: str, item: Difference) -> bool:
    """Return whether the interval of now - then lies on the bad side of 0."""
    return item.low > 0 if direction(name) == "lower" else item.high < 0
