"""`python -m eval fit-harmful`: fits the detector of harmful content that ships in `ragopt/data`."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from eval.errors import EvaluationError
from eval.harmful.examples import Example, made_examples, set_examples
from eval.harmful.naming import learn_categories, unseen_categories
from eval.injection.examples import SOURCES
from eval.intervals import exact, share
from eval.report import Report, Segment
from eval.routing_sets import shipped_vectors, vectors_of
from eval.screening.folds import digest_of_folder, measured, unseen_odds
from eval.screening.learning import Flags, Material, Odds, learn
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
MADE = "made/"


@dataclass(frozen=True, slots=True)
class FitHarmfulJob:
    """What to fit on: folders of sets with harmless texts. vectors: a file that keeps the embeddings between runs.

    each_category: whether weights are fitted without each category as well, to see what they make of it.
    """

    folders: tuple[Path, ...]
    vectors: Path | None = None
    each_category: bool = False
    seed: int = 0


def run(job: FitHarmfulJob, out: Path) -> Report:
    """Fit, write `out`, and return what was fitted and how it does on what it was not fitted to.

    Raises: `EvaluationError`, `DatasetError`.
    """
    examples = gathered(job)
    texts = list(dict.fromkeys(plain(item.text) for item in examples))
    rows = asyncio.run(vectors_of(texts, shipped_vectors, kept=job.vectors)).astype(np.float32)
    vectors = dict(zip(texts, rows, strict=True))
    heads: dict[Place, Head] = {}
    segments: dict[str, Segment] = {}
    for place in PLACES:
        here = [item for item in examples if item.place == place]
        material = material_of(here, vectors)
        heads[place], segments[place] = fitted(material, place, seed=job.seed)
        if job.each_category and place == "question":
            segments |= without_categories(here, material, heads[place], seed=job.seed)
    harmful = [item for item in examples if item.category]
    named = material_of(harmful, vectors)
    kinds = [item.category for item in harmful]
    segments["category"] = Segment(len(kinds), {"right": share(unseen_categories(named, kinds, seed=job.seed))})
    trained_on = {folder.resolve().name: digest_of_folder(folder) for folder in job.folders}
    weights = Weights(heads, model_files("").sha256[:16], "", trained_on)
    data = model_to_bytes(HarmfulModel(weights, learn_categories(named, kinds)))
    try:
        out.write_bytes(data)
    except OSError as error:
        raise EvaluationError(f"{out}: {error}") from error
    return Report(
        job="fit-harmful",
        set="+".join(sorted(trained_on)),
        n=len(examples),
        seed=job.seed,
        config={"out": str(out), "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)},
        metrics={"harmful": exact(len(harmful)), "texts": exact(len(examples))},
        segments=segments,
    )


def gathered(job: FitHarmfulJob) -> list[Example]:
    """Return everything that may be learned from. Raises: `EvaluationError` for a set that is not known."""
    for folder in job.folders:
        if folder.resolve().name not in SOURCES:
            raise EvaluationError(f"{folder}: none of {', '.join(SOURCES)}")
    found = [item for folder in job.folders for item in set_examples(folder, seed=job.seed)]
    if {item.place for item in found} != set(PLACES):
        raise EvaluationError("sets with harmless questions and with harmless documents are needed")
    return [*found, *made_examples(seed=job.seed)]


def material_of(examples: Sequence[Example], vectors: Mapping[str, FloatVector]) -> Material:
    """Return the rows of examples."""
    texts = [plain(item.text) for item in examples]
    return Material(
        texts,
        np.stack([scaled(vectors[text]) for text in texts]),
        np.array([bool(item.category) for item in examples]),
        [item.source for item in examples],
        [item.group for item in examples],
    )


def fitted(material: Material, place: Place, *, seed: int) -> tuple[Head, Segment]:
    """Return the head fitted to all rows, its thresholds and the measurement from rows that were left out."""
    joint, alone = unseen_odds(material, seed=seed)
    threshold, by_signs = (threshold_of(odds, material, REFUSED[place]) for odds in (joint, alone))
    gate = min(by_signs, float(np.quantile(alone[material.positive], CLEARED[place])))
    learned = learn(material, seed=seed)
    head = Head(learned.signs, learned.meaning, threshold=threshold, alone=by_signs, gate=gate)
    metrics = measured(material, (joint > threshold) & (alone >= gate), seed=seed)
    real = ~material.positive & is_real(material)
    more = {"caught_by_signs": share((alone > by_signs)[material.positive].tolist())}
    more["embedded.harmless"] = share((alone >= gate)[real].tolist())
    return head, Segment(len(material.texts), {**metrics, **more})


def threshold_of(odds: Odds, material: Material, refused: float) -> float:
    """Return the log-odds that so many of the harmless texts of every real set are above at most."""
    sources = np.array(material.sources)
    real = ~material.positive & is_real(material)
    return max(float(np.quantile(odds[real & (sources == name)], 1 - refused)) for name in set(sources[real]))


def is_real(material: Material) -> Flags:
    """Return which rows are of sets."""
    return np.array([not source.startswith(MADE) for source in material.sources])


def without_categories(
    examples: Sequence[Example], material: Material, head: Head, *, seed: int
) -> Iterator[tuple[str, Segment]]:
    """Yield for each category how many of its harmful texts are caught by weights that never saw a text about it."""
    families = np.array([item.family for item in examples])
    for category in tqdm(CATEGORIES, desc="without", unit="category", leave=False):
        theirs = families == category
        learned = learn(material.part(~theirs), seed=seed)
        signs, meaning = learned.odds(material.part(theirs & material.positive))
        caught = (signs + meaning > head.threshold) & (signs >= head.gate)
        yield f"unseen/{category}", Segment(len(caught), {"caught": share(caught.tolist())})
