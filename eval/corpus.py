"""A data set in an index of its own, behind the same pipeline that serves."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from eval.configuration import AS_CONFIGURED, Overrides, configured, index_digest
from eval.datasets import Dataset
from eval.errors import EvaluationError
from indexes.ingest import IngestProgress
from indexes.library import Library
from ragopt.config import Settings
from ragopt.pipeline import Pipeline
from ragopt.wiring import open_library

TENANT = "eval"


@dataclass(frozen=True, slots=True)
class Corpus:
    """An ingested set, its documents in the collection named after it, and the settings it was ingested with."""

    library: Library
    pipeline: Pipeline
    settings: Settings


@asynccontextmanager
async def ingested(
    dataset: Dataset, *, overrides: Overrides = AS_CONFIGURED, root: Path | None = None
) -> AsyncIterator[Corpus]:
    """Yield the set in an index of its own, below `root` or in a temporary folder that is gone afterwards.

    Below one `root`, two configurations that shape an index alike share it: the second ingests nothing.
    Raises: `EvaluationError` if a document is not ingested, `ConfigurationError` for a wrong override.
    """
    with folder_for(dataset, overrides=overrides, root=root) as folder:
        settings = configured(folder, overrides)
        async with open_library(settings) as (library, pipeline):
            await ingest(library, dataset)
            yield Corpus(library, pipeline, settings)


@contextmanager
def folder_for(dataset: Dataset, *, overrides: Overrides, root: Path | None) -> Iterator[Path]:
    """Yield the folder of an index: below `root` one per set and index settings, without it a temporary one."""
    if root is None:
        with tempfile.TemporaryDirectory(prefix="ragopt-eval-") as folder:
            yield Path(folder)
    else:
        yield root / f"{dataset.name}-{index_digest(configured(root, overrides))}"


async def ingest(library: Library, dataset: Dataset) -> None:
    """Ingest every document, with a progress bar. Raises: `EvaluationError` naming the first that failed."""
    with tqdm(desc=f"ingest {dataset.name}", unit="chunk") as bar:

        def show(progress: IngestProgress) -> None:
            bar.total = progress.chunks_total
            bar.update(progress.chunks_done - bar.n)

        results = await library.ingest(TENANT, dataset.name, dataset.documents, progress=show)
    for result in results:
        if result.error is not None:
            raise EvaluationError(f"{dataset.name}: document {result.id!r} was not ingested: {result.error.detail}")
