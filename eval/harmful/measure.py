"""`python -m eval harmful`: how much of what is harmful is caught, and how much of what is not is refused with it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from eval.harmful.examples import is_held_out
from eval.harmful.sets import read_harmful_set
from eval.intervals import exact, share
from eval.report import Metrics, Report, Segment, by_segment
from eval.screening.measure import ScreenJob, is_fitted_to
from eval.screening.sets import Case, LabelledSet
from indexes.embedding import Embedder
from ragopt.harmful.detector import HARMLESS, Harm, HarmfulDetector
from ragopt.harmful.model import HarmfulModel, Place, model_from_bytes, shipped_model
from ragopt.markers import without_markers
from ragopt.reading import AnswerReader
from ragopt.screening.judging import Once, read

# What the share of texts above the threshold is called, by place and by whether they are harmful.
NAMES: dict[tuple[Place, bool], str] = {
    ("question", True): "caught",
    ("question", False): "benign_refused",
    ("answer", True): "answers_caught",
    ("answer", False): "benign_withheld",
}


@dataclass(frozen=True, slots=True)
class Scored:
    """A case with the worst of its sentences (a question is one), how many it has and how many are harmful.

    seen: whether weights were fitted to the set that it is of, and it is none of what that held out. embedded: whether
    a vector was needed.
    """

    case: Case
    worst: Harm
    sentences: int
    harmful: int
    seen: bool
    embedded: bool = False


def measure(folders: Sequence[Path], job: ScreenJob) -> list[Report]:
    """Return a report per set. Raises: `DatasetError`."""
    sets = [read_harmful_set(folder, seed=job.seed) for folder in folders]
    model = model_from_bytes(job.model.read_bytes()) if job.model else shipped_model()
    seen = [is_fitted_to(model.weights, folder) for folder in folders]
    found = asyncio.run(scored_sets(sets, model, job, seen=seen))
    return [report_of(item, scored, model, job) for item, scored in zip(sets, found, strict=True)]


async def scored_sets(
    sets: Sequence[LabelledSet], model: HarmfulModel, job: ScreenJob, *, seen: Sequence[bool]
) -> list[list[Scored]]:
    """Return the scores of every set, by one detector."""
    async with job.encoder() as embedder:
        detector = HarmfulDetector(model, embedder)
        return [
            [
                await scored(case, detector, embedder, seen=trained and not is_held_out(group_of(case)))
                for case in tqdm(item.cases[: job.limit], desc="score", unit="text", mininterval=5, leave=False)
            ]
            for item, trained in zip(sets, seen, strict=True)
        ]


def group_of(case: Case) -> str:
    """Return what decides whether a text of a set is held out, as `eval.harmful.examples` has it."""
    return case.text if case.place == "question" else case.text[:80]


async def scored(case: Case, detector: HarmfulDetector, embedder: Embedder | None, *, seen: bool) -> Scored:
    """Return a case as the service judges it: a question as a whole, an answer sentence by sentence."""
    if case.place == "question":
        encode = Once(embedder.encode_question) if embedder else None
        harm = await detector.judged(read(case.text), encode)
        return Scored(case, harm, 1, int(bool(harm)), seen, embedded=bool(encode and encode.known))
    reader = AnswerReader()
    found = [
        await detector.sentence(without_markers(piece.text)) for piece in [*reader.feed(case.text), *reader.finish()]
    ]
    worst = max(found, key=lambda harm: harm.score, default=HARMLESS)
    return Scored(case, worst, len(found), sum(map(bool, found)), seen)


def report_of(item: LabelledSet, scored: Sequence[Scored], model: HarmfulModel, job: ScreenJob) -> Report:
    """Return the report of a set."""
    return Report(
        job="harmful",
        set=item.name,
        n=len(scored),
        seed=job.seed,
        config=job.config(model.weights, seen=any(one.seen for one in scored)),
        metrics=metrics_of(scored),
        segments=dict(segments_of(scored)),
    )


def metrics_of(scored: Sequence[Scored]) -> Metrics:
    """Return the share of texts above the threshold, by place and label; of harmless answers that of sentences too."""
    found = {}
    for (place, harmful), name in NAMES.items():
        here = [one for one in scored if (one.case.place, one.case.positive) == (place, harmful)]
        if here:
            found[name] = share([bool(one.worst) for one in here])
        if here and name == "benign_withheld":
            total, wrong = sum(one.sentences for one in here), sum(one.harmful for one in here)
            found["benign_sentences_withheld"] = share([True] * wrong + [False] * (total - wrong))
    asked = [one for one in scored if one.case.place == "question" and not one.case.positive]
    if asked:
        found["benign_embedded"] = share([one.embedded for one in asked])
    return found


def segments_of(scored: Sequence[Scored]) -> Iterator[tuple[str, Segment]]:
    """Yield what was learned from and what was held out, the parts of the set, and what was found by its category."""
    if any(one.seen for one in scored):
        for name, seen in (("trained on", True), ("held out", False)):
            part = [one for one in scored if one.seen == seen]
            yield name, Segment(len(part), metrics_of(part))
    for name, part in by_segment(scored, [one.case.segment for one in scored]).items():
        yield name, Segment(len(part), metrics_of(part))
    found = Counter(one.worst.category for one in scored if one.worst.category)
    for category, count in sorted(found.items()):
        yield f"found/{category}", Segment(count, {"found": exact(count)})
