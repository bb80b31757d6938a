"""A data set in an index of its own, behind the same pipeline that serves."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from eval.datasets import Dataset
from eval.errors import EvaluationError
from eval.report import ConfigValue
from indexes.ingest import IngestProgress
from indexes.library import Library
from ragopt.config import Settings, load_settings
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
async def ingested(dataset: Dataset, *, rerank_model: str | None = None) -> AsyncIterator[Corpus]:
    """Yield the set in an index in a temporary folder, which is gone afterwards.

    `rerank_model` replaces the setting. Raises: `EvaluationError` if a document is not ingested.
    """
    with tempfile.TemporaryDirectory(prefix="ragopt-eval-") as folder:
        # Never a configured server: what is measured here must not land among what is served.
        settings = load_settings(data_dir=Path(folder)).model_copy(update={"qdrant_url": None})
        if rerank_model is not None:
            settings = settings.model_copy(update={"rerank_model": rerank_model})
        async with open_library(settings) as (library, pipeline):
            await ingest(library, dataset)
            yield Corpus(library, pipeline, settings)


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


def index_config(settings: Settings) -> dict[str, ConfigValue]:
    """Return what shaped the index, for a report."""
    return {
        "chunk_tokens": settings.chunk_tokens,
        "embedding_model": settings.embedding_model or "all-MiniLM-L6-v2",
    }
