"""`python -m eval fit-harmful`: fits the detector of harmful content that ships in `ragopt/data`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from eval.errors import EvaluationError
from eval.harmful.examples import family_of, made_examples, set_examples
from eval.harmful.naming import learn_categories, unseen_categories
from eval.intervals import share
from eval.report import Report, Segment
from eval.screening.examples import SOURCES, Example
from eval.screening.fit import FitJob, material_of, written
from eval.screening.folds import measured, unseen_odds
from eval.screening.learning import Material, Odds, learn
from indexes.model import model_files
from indexes.records import FloatVector
from ragopt.harmful.categories import CATEGORIES
from ragopt.harmful.model import PLACES, HarmfulModel, Place, model_to_bytes
from ragopt.screening.heads import Head, scaled
from ragopt.screening.readings import plain
from ragopt.screening.weights import Weights

# Of the harmless texts of the set that has most of them, each judged by weights that did not learn from it, the share
# above the threshold. Made ones do not count: no real set is as near to what is harmful.
REFUSED: Mapping[Place, float] = {"question": 0.02, "answer": 0.003}
# Of what is harmful, the share that signs which did not learn from it may clear before the meaning is asked.
CLEARED: Mapping[Place, float] = {"question": 0.01, "answer": 0.01}


@dataclass(frozen=True, slots=True)
class FitHarmfulJob(FitJob):
    """What a `FitJob` says, and each_category: whether weights are fitted without each category as well.

    That shows what they make of a category they never saw.
    """

    each_category: bool = False


def run(job: FitHarmfulJob, out: Path) -> Report:
    """Fit, write `out`, and return what was fitted and how it does on what it was not fitted to.

    Raises: `EvaluationError`, `DatasetError`.
    """
    examples = gathered(job)
    vectors = job.embedded(plain(item.text) for item in examples)

    def row_of(example: Example) -> FloatVector:
        return scaled(vectors[plain(example.text)])

    heads: dict[Place, Head] = {}
    segments: dict[str, Segment] = {}
    for place in PLACES:
        here = [item for item in examples if item.place == place]
        material = material_of(here, row_of)
        heads[place], segments[place] = fitted(material, place, seed=job.seed)
        if job.each_category and place == "question":
            segments |= without_categories(here, material, heads[place], seed=job.seed)
    harmful = [item for item in examples if item.label]
    named, kinds = material_of(harmful, row_of), [item.label for item in harmful]
    segments["category"] = Segment(len(kinds), {"right": share(unseen_categories(named, kinds, seed=job.seed))})
    weights = Weights(heads, model_files("").sha256[:16], "", job.trained_on())
    data = model_to_bytes(HarmfulModel(weights, learn_categories(named, kinds)))
    return written("fit-harmful", job, out, data=data, examples=examples, labelled="harmful", segments=segments)


def gathered(job: FitHarmfulJob) -> list[Example]:
    """Return everything that may be learned from. Raises: `EvaluationError` for a set that is not known."""
    for folder in job.folders:
        if folder.resolve().name not in SOURCES:
            raise EvaluationError(f"{folder}: none of {', '.join(SOURCES)}")
    found = [item for folder in job.folders for item in set_examples(folder, seed=job.seed)]
    if {item.place for item in found} != set(PLACES):
        raise EvaluationError("sets with harmless questions and with harmless documents are needed")
    return [*found, *made_examples(seed=job.seed)]


def fitted(material: Material, place: Place, *, seed: int) -> tuple[Head, Segment]:
    """Return the head fitted to all rows, its thresholds and the measurement from rows that were left out."""
    joint, alone = unseen_odds(material, seed=seed)
    threshold, by_signs = (threshold_of(odds, material, REFUSED[place]) for odds in (joint, alone))
    gate = min(by_signs, float(np.quantile(alone[material.positive], CLEARED[place])))
    head = learn(material, seed=seed).head(threshold=threshold, alone=by_signs, gate=gate)
    metrics = measured(material, (joint > threshold) & (alone >= gate), seed=seed)
    more = {"caught_by_signs": share((alone > by_signs)[material.positive].tolist())}
    more["embedded.harmless"] = share((alone >= gate)[material.real].tolist())
    return head, Segment(len(material.texts), {**metrics, **more})


def threshold_of(odds: Odds, material: Material, refused: float) -> float:
    """Return the log-odds that so many of the harmless texts of every real set are above at most."""
    sources, real = np.array(material.sources), material.real
    return max(float(np.quantile(odds[real & (sources == name)], 1 - refused)) for name in set(sources[real]))


def without_categories(
    examples: Sequence[Example], material: Material, head: Head, *, seed: int
) -> Iterator[tuple[str, Segment]]:
    """Yield for each category how many of its harmful texts are caught by weights that never saw a text about it."""
    families = np.array([family_of(item) for item in examples])
    for category in tqdm(CATEGORIES, desc="without", unit="category", leave=False):
        theirs = families == category
        learned = learn(material.part(~theirs), seed=seed)
        signs, meaning = learned.odds(material.part(theirs & material.positive))
        caught = (signs + meaning > head.threshold) & (signs >= head.gate)
        yield f"unseen/{category}", Segment(len(caught), {"caught": share(caught.tolist())})
