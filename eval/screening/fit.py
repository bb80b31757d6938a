"""What fits of detectors have in common: their folders, the vectors of texts, rows to learn from, and the report."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from eval.errors import EvaluationError
from eval.intervals import exact
from eval.report import ConfigValue, Report, Segment
from eval.routing.sets import shipped_vectors, vectors_of
from eval.screening.examples import Example
from eval.screening.learning import Material
from eval.screening.sets import digest_of_folder
from indexes.records import FloatVector
from ragopt.screening.readings import plain

# A text to its vector.
Vectors: TypeAlias = Mapping[str, FloatVector]


@dataclass(frozen=True, slots=True)
class FitJob:
    """What to fit on: folders of sets. vectors: a file that keeps the embeddings between runs."""

    folders: tuple[Path, ...]
    vectors: Path | None = None
    seed: int = 0

    def trained_on(self) -> dict[str, str]:
        """Return the digests of the sets by name."""
        return {folder.resolve().name: digest_of_folder(folder) for folder in self.folders}

    def embedded(self, texts: Iterable[str]) -> Vectors:
        """Return the vectors of texts by the embedding model that ships. Raises: as `vectors_of`."""
        distinct = list(dict.fromkeys(texts))
        rows = asyncio.run(vectors_of(distinct, shipped_vectors, kept=self.vectors))
        return dict(zip(distinct, rows.astype(np.float32), strict=True))


def material_of(examples: Sequence[Example], row_of: Callable[[Example], FloatVector]) -> Material:
    """Return examples as rows to learn from; `row_of` makes of each what `Meaning` reads."""
    return Material(
        [plain(item.text) for item in examples],
        np.stack([row_of(item) for item in examples]),
        np.array([bool(item.label) for item in examples]),
        [item.source for item in examples],
        [item.group for item in examples],
    )


def written(
    name: str,
    job: FitJob,
    out: Path,
    *,
    data: bytes,
    examples: Sequence[Example],
    labelled: str,
    segments: Mapping[str, Segment],
    **more: ConfigValue,
) -> Report:
    """Write weights and return the report of their fit. name: of the command. labelled: what is not harmless is called.

    Raises: `EvaluationError` if the file cannot be written.
    """
    try:
        out.write_bytes(data)
    except OSError as error:
        raise EvaluationError(f"{out}: {error}") from error
    return Report(
        job=name,
        set="+".join(sorted({folder.resolve().name for folder in job.folders})),
        n=len(examples),
        seed=job.seed,
        config={"out": str(out), "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), **more},
        metrics={labelled: exact(sum(bool(item.label) for item in examples)), "texts": exact(len(examples))},
        segments=segments,
    )
