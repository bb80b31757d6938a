"""The experiments one after the other: each leaves a file, so that what was interrupted goes on where it stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.campaign.experiment import Experiment, Size, Verdict, verdict
from eval.errors import BenchError, SavedError
from eval.intervals import Interval
from eval.report import Report, as_json


@dataclass(frozen=True, slots=True)
class CampaignJob:
    """Which experiments to run, for how long at most in all, and where their results are kept.

    only: names, all for (). minutes: None for the full size. resume: take over what `out` holds of the same size.
    """

    out: Path
    only: tuple[str, ...] = ()
    minutes: float | None = None
    resume: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """What an experiment came to. took_s: seconds; kept: whether it was run before and taken over."""

    experiment: Experiment
    report: Report
    verdict: Verdict
    took_s: float
    kept: bool = False


def chosen(experiments: Sequence[Experiment], only: Sequence[str]) -> list[Experiment]:
    """Return the named experiments in their own order, all for none named. Raises: `BenchError`."""
    known = [experiment.name for experiment in experiments]
    for name in only:
        if name not in known:
            raise BenchError(f"{name!r} is no experiment; there are {', '.join(known)}")
    return [experiment for experiment in experiments if not only or experiment.name in only]


def size_of(experiments: Sequence[Experiment], job: CampaignJob) -> Size:
    """Return the share of the full size that fits the minutes, about."""
    whole = sum(experiment.minutes for experiment in experiments)
    share = 1.0 if job.minutes is None else min(1.0, job.minutes / whole)
    return Size(share, job.seed)


def campaign(
    experiments: Sequence[Experiment], job: CampaignJob, *, began: Callable[[str], None] = lambda _: None
) -> Iterator[Row]:
    """Yield the row of each experiment as it ends, and write its file; `began` hears the line of each before it runs.

    An experiment that breaks off is a failed row. Raises: `BenchError`, `SavedError`.
    """
    picked = chosen(experiments, job.only)
    size = size_of(picked, job)
    made_folder(job.out)
    for experiment in picked:
        row = kept_row(experiment, size, job.out) if job.resume else None
        if row is None:
            began(f"{experiment.name}: {experiment.what}")
            row = measured(experiment, size)
            write_row(row, size, job.out)
        yield row


def made_folder(folder: Path) -> None:
    """Make the folder of the results. Raises: `SavedError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SavedError(f"{folder}: {error.strerror}") from error


def measured(experiment: Experiment, size: Size) -> Row:
    """Return the row of an experiment that is run now."""
    started = time.perf_counter()
    try:
        report = experiment.measure(size)
        found = verdict(report, experiment.figures)
    except Exception as error:  # noqa: BLE001 - the other experiments go on
        report = Report(
            experiment.name, "generated", 0, size.seed, {}, {}, failures=(f"{type(error).__name__}: {error}",)
        )
        found = "failed"
    return Row(experiment, report, found, time.perf_counter() - started)


def write_row(row: Row, size: Size, folder: Path) -> None:
    """Write what an experiment came to, and at which size. Raises: `SavedError`."""
    fields = {
        "experiment": row.experiment.name,
        "share": size.share,
        "seed": size.seed,
        "verdict": row.verdict,
        "took_s": round(row.took_s, 1),
        "figures": [figure.text() for figure in row.experiment.figures],
        "report": json.loads(as_json(row.report)),
    }
    try:
        file_of(row.experiment, folder).write_text(json.dumps(fields, indent=1, ensure_ascii=False), encoding="utf-8")
    except OSError as error:
        raise SavedError(f"{folder}: {error.strerror}") from error


def kept_row(experiment: Experiment, size: Size, folder: Path) -> Row | None:
    """Return the row that a file holds, None if it is not there, failed, or was run at another size or seed."""
    try:
        fields = json.loads(file_of(experiment, folder).read_text(encoding="utf-8"))
        held = fields["report"]
        metrics = {name: Interval(**interval) for name, interval in held["metrics"].items()}
        report = Report(held["job"], held["set"], held["n"], held["seed"], held["config"], metrics)
        if fields["verdict"] == "failed" or (fields["share"], fields["seed"]) != (size.share, size.seed):
            return None
        return Row(experiment, report, verdict(report, experiment.figures), fields["took_s"], kept=True)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def file_of(experiment: Experiment, folder: Path) -> Path:
    """Return where the result of an experiment is kept."""
    return folder / f"{experiment.name}.json"
