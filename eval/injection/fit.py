"""`python -m eval fit-injection`: fits the detector of injected instructions that ships in `ragopt/data`."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from eval.errors import EvaluationError
from eval.injection.examples import (
    SOURCES,
    Example,
    harmless_examples,
    injected_examples,
    made_examples,
    manual_examples,
)
from eval.intervals import exact
from eval.report import Report, Segment
from eval.routing_sets import shipped_vectors, vectors_of
from eval.screening.folds import digest_of_folder, measured, unseen_odds
from eval.screening.learning import Material, learn
from indexes.model import model_files
from indexes.records import FloatVector
from ragopt.injection.model import PLACES, Place, document_row, model_to_bytes
from ragopt.screening.heads import Head, scaled
from ragopt.screening.readings import plain

Vectors: TypeAlias = Mapping[str, FloatVector]

# Of the harmless texts of sets, each judged by weights that did not learn from it, the share above the threshold. Made
# ones do not count: what is left out of them is a whole template, which no set of real texts is.
REFUSED: Mapping[Place, float] = {"question": 0.015, "document": 0.01}
MADE = "made/"
# Of the attacks, those that signs which did not learn from them may clear before the meaning is asked. In a document
# every piece that is not cleared costs two vectors.
CLEARED: Mapping[Place, float] = {"question": 0.05, "document": 0.1}


@dataclass(frozen=True, slots=True)
class FitInjectionJob:
    """What to fit on: folders of sets. manuals: a list of packages, as pip reads it, whose descriptions are manuals.

    without: sources or groups of attacks, by the beginning of their names, that nothing is learned from.
    vectors: a file that keeps the embeddings between runs.
    """

    folders: tuple[Path, ...]
    manuals: Path | None = None
    without: tuple[str, ...] = ()
    vectors: Path | None = None
    seed: int = 0


def run(job: FitInjectionJob, out: Path) -> Report:
    """Fit, write `out`, and return what was fitted and how it does on what it was not fitted to.

    Raises: `EvaluationError`, `DatasetError`.
    """
    examples = [item for item in gathered(job) if not left_out(item, job.without)]
    vectors = embedded(examples, job)
    heads: dict[Place, Head] = {}
    segments: dict[str, Segment] = {}
    for place in PLACES:
        material = material_of([item for item in examples if item.place == place], vectors)
        heads[place], segments[place] = fitted(material, place, seed=job.seed)
    trained_on = {folder.resolve().name: digest_of_folder(folder) for folder in job.folders}
    data = model_to_bytes(heads, embedder=model_files("").sha256[:16], trained_on=trained_on)
    try:
        out.write_bytes(data)
    except OSError as error:
        raise EvaluationError(f"{out}: {error}") from error
    return Report(
        job="fit-injection",
        set="+".join(sorted(trained_on)),
        n=len(examples),
        seed=job.seed,
        config={
            "out": str(out),
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "without": ",".join(job.without) or None,
        },
        metrics={"attacks": exact(sum(item.attack for item in examples)), "texts": exact(len(examples))},
        segments=segments,
    )


def gathered(job: FitInjectionJob) -> list[Example]:
    """Return everything that may be learned from. Raises: `EvaluationError` for a set that is not known."""
    sets, injected = [folder for folder in job.folders if folder.resolve().name in SOURCES], []
    for folder in job.folders:
        if folder not in sets and not (folder / "attacks.jsonl").is_file():
            raise EvaluationError(f"{folder}: no set with attacks, and none of {', '.join(SOURCES)}")
        injected += [folder] if folder not in sets else []
    found = [item for folder in sets for item in harmless_examples(folder, seed=job.seed)]
    names = re.findall(r"^([\w.-]+)==", job.manuals.read_text("utf-8"), re.MULTILINE) if job.manuals else []
    found += manual_examples(names, seed=job.seed)
    surroundings = [item.around for item in found if item.place == "document" and item.around]
    questions = [item.text for item in found if item.place == "question"]
    if not surroundings or not questions:
        raise EvaluationError("sets with harmless documents and with harmless questions are needed")
    for folder in injected:
        found += injected_examples(folder, surroundings, seed=job.seed)
    return [*found, *made_examples(surroundings, questions, seed=job.seed)]


def left_out(example: Example, without: Sequence[str]) -> bool:
    """Return whether nothing is to be learned from an example."""
    return any(name.startswith(part) for part in without for name in (example.source, example.group))


def embedded(examples: Sequence[Example], job: FitInjectionJob) -> Vectors:
    """Return the vector of each text and of what is around it, by the embedding model that ships."""
    texts = list(dict.fromkeys(text for item in examples for text in (plain(item.text), item.around)))
    rows = asyncio.run(vectors_of(texts, shipped_vectors, kept=job.vectors))
    return dict(zip(texts, rows.astype(np.float32), strict=True))


def material_of(examples: Sequence[Example], vectors: Vectors) -> Material:
    """Return the rows of the examples of one place."""
    texts = [plain(item.text) for item in examples]
    rows = [
        scaled(vectors[text]) if item.place == "question" else document_row(vectors[text], vectors[item.around])
        for text, item in zip(texts, examples, strict=True)
    ]
    return Material(
        texts,
        np.stack(rows),
        np.array([item.attack for item in examples]),
        [item.source for item in examples],
        [item.group for item in examples],
    )


def fitted(material: Material, place: Place, *, seed: int) -> tuple[Head, Segment]:
    """Return the head fitted to all rows, its thresholds and the measurement from rows that were left out."""
    joint, alone = unseen_odds(material, seed=seed)
    real = ~material.positive & np.array([not source.startswith(MADE) for source in material.sources])
    threshold, by_signs = (float(np.quantile(odds[real], 1 - REFUSED[place])) for odds in (joint, alone))
    learned = learn(material, seed=seed)
    gate = float(np.quantile(alone[material.positive], CLEARED[place]))
    head = Head(learned.signs, learned.meaning, threshold=threshold, alone=by_signs, gate=gate)
    return head, Segment(len(material.texts), measured(material, joint > threshold, seed=seed))
