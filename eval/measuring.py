"""A job over a data folder, in one configuration or two: reports that say what they come from."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

from eval.datasets import Dataset, digest_of, read_dataset
from eval.report import Origin, Report


class Job(Protocol):
    """What to measure."""

    @property
    def limit(self) -> int | None:
        """Return how many questions are asked at most, None for all."""


JobT_contra = TypeVar("JobT_contra", bound=Job, contravariant=True)
JobT = TypeVar("JobT", bound=Job)


class Measure(Protocol[JobT_contra]):
    """The measurement of a job on a set."""

    async def __call__(self, dataset: Dataset, job: JobT_contra, *, root: Path | None = None) -> Report:
        """Return the report of one set. `root`: where indexes are kept for the next configuration."""


def measured(folder: Path, measure: Measure[JobT], jobs: Sequence[JobT], *, command: str) -> list[Report]:
    """Return one report per job on the same set, in order; what shapes an index alike is ingested once.

    Raises: `EvaluationError` and what `measure` raises.
    """
    dataset = read_dataset(folder)
    digest = digest_of(dataset)
    with tempfile.TemporaryDirectory(prefix="ragopt-eval-") as root:
        reports = [asyncio.run(measure(dataset, job, root=Path(root))) for job in jobs]
    origins = [Origin(str(folder.resolve()), digest, job.limit, command) for job in jobs]
    return [replace(report, origin=origin) for report, origin in zip(reports, origins, strict=True)]
