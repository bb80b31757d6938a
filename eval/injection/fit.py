"""`python -m eval fit-injection`: fits the detector of injected instructions that ships in `ragopt/data`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.errors import EvaluationError
from eval.injection.examples import injected_examples, made_examples, manual_examples
from eval.report import Report, Segment
from eval.screening.examples import SOURCES, Example, harmless_examples
from eval.screening.fit import FitJob, material_of, written
from eval.screening.folds import measured, unseen_odds
from eval.screening.learning import Material, learn
from indexes.model import model_files
from indexes.records import FloatVector
from ragopt.injection.model import PLACES, Place, document_row, model_to_bytes
from ragopt.screening.heads import Head, scaled
from ragopt.screening.readings import plain

# Of the harmless texts of sets, each judged by weights that did not learn from it, the share above the threshold. Made
# ones do not count: what is left out of them is a whole template, which no set of real texts is.
REFUSED: Mapping[Place, float] = {"question": 0.015, "document": 0.01}
# Of the attacks, those that signs which did not learn from them may clear before the meaning is asked. In a document
# every piece that is not cleared costs two vectors.
CLEARED: Mapping[Place, float] = {"question": 0.05, "document": 0.1}


@dataclass(frozen=True, slots=True)
class FitInjectionJob(FitJob):
    """What a `FitJob` says, and manuals: a list of packages, as pip reads it, whose descriptions are manuals.

    without: sources or groups of attacks, by the beginning of their names, that nothing is learned from.
    """

    manuals: Path | None = None
    without: tuple[str, ...] = ()


def run(job: FitInjectionJob, out: Path) -> Report:
    """Fit, write `out`, and return what was fitted and how it does on what it was not fitted to.

    Raises: `EvaluationError`, `DatasetError`.
    """
    examples = [item for item in gathered(job) if not left_out(item, job.without)]
    vectors = job.embedded(text for item in examples for text in (plain(item.text), item.around))

    def row_of(example: Example) -> FloatVector:
        vector = vectors[plain(example.text)]
        return scaled(vector) if example.place == "question" else document_row(vector, vectors[example.around])

    heads: dict[Place, Head] = {}
    segments: dict[str, Segment] = {}
    for place in PLACES:
        material = material_of([item for item in examples if item.place == place], row_of)
        heads[place], segments[place] = fitted(material, place, seed=job.seed)
    data = model_to_bytes(heads, embedder=model_files("").sha256[:16], trained_on=job.trained_on())
    without = ",".join(job.without) or None
    return written(
        "fit-injection", job, out, data=data, examples=examples, labelled="attacks", segments=segments, without=without
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


def fitted(material: Material, place: Place, *, seed: int) -> tuple[Head, Segment]:
    """Return the head fitted to all rows, its thresholds and the measurement from rows that were left out."""
    joint, alone = unseen_odds(material, seed=seed)
    threshold, by_signs = (float(np.quantile(odds[material.real], 1 - REFUSED[place])) for odds in (joint, alone))
    gate = float(np.quantile(alone[material.positive], CLEARED[place]))
    head = learn(material, seed=seed).head(threshold=threshold, alone=by_signs, gate=gate)
    return head, Segment(len(material.texts), measured(material, joint > threshold, seed=seed))
