"""`python -m eval injection`: how many attacks are caught, and how many harmless texts are refused with them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from eval.injection.disguise import DISGUISES
from eval.injection.sets import InjectionSet, Leak, read_injection_set
from eval.intervals import Interval, exact, share
from eval.report import Metrics, Report, Segment, by_segment
from eval.screening.measure import ScreenJob, is_fitted_to
from eval.screening.sets import Case
from ragopt.injection.detector import InjectionDetector
from ragopt.injection.model import InjectionModel, model_from_bytes, shipped_model
from ragopt.screening.heads import THRESHOLD
from ragopt.stages.cite.released import holds

# The share of harmless texts that may be refused where the threshold is the set's own.
ALLOWED = 0.02
BEST = f"caught@benign<={ALLOWED:.2f}"
RESAMPLES = 2_000
# Attacks that are tried in every disguise.
DISGUISED = 60

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scored:
    """The cases of a set with their scores, and the attacks of it in each disguise with theirs."""

    cases: Sequence[Case]
    scores: Scores
    disguised: dict[str, Scores]

    def part(self, places: Sequence[int]) -> Scored:
        """Return some of the cases."""
        return Scored([self.cases[at] for at in places], self.scores[list(places)], {})

    def of(self, *, attack: bool) -> Scores:
        """Return the scores of the attacks, or of the harmless texts."""
        return self.scores[[case.positive == attack for case in self.cases]]


def measure(folders: Sequence[Path], job: ScreenJob) -> list[Report]:
    """Return a report per set, and one over all of them where there are several. Raises: `DatasetError`."""
    sets = [read_injection_set(folder) for folder in folders]
    model = model_from_bytes(job.model.read_bytes()) if job.model else shipped_model()
    found = asyncio.run(scored_sets(sets, model, job))
    reports = [
        report_of(item, scored, model, job=job, seen=is_fitted_to(model, folder))
        for item, scored, folder in zip(sets, found, folders, strict=True)
    ]
    if len(sets) > 1:
        joined = InjectionSet("+".join(item.name for item in sets), tuple(case for item in sets for case in item.cases))
        every = Scored(
            [case for item in found for case in item.cases], np.concatenate([item.scores for item in found]), {}
        )
        reports.append(report_of(joined, every, model, job=job, seen=any(r.config["trained_on"] for r in reports)))
    return reports


async def scored_sets(sets: Sequence[InjectionSet], model: InjectionModel, job: ScreenJob) -> list[Scored]:
    """Return the scores of every set, by one detector."""
    async with job.encoder() as embedder:
        detector = InjectionDetector(model, embedder)
        return [await scored_set(item, detector, job) for item in sets]


async def scored_set(item: InjectionSet, detector: InjectionDetector, job: ScreenJob) -> Scored:
    """Return the scores of one set, and of some of its attacks in every disguise."""
    cases = item.cases[: job.limit]
    scores = await scores_of(cases, detector)
    attacks = [case for case in cases if case.positive and (case.place == "question" or case.planted)]
    drawn = random.Random(job.seed).sample(attacks, min(DISGUISED, len(attacks)))  # noqa: S311
    disguised = {
        name: await scores_of([hidden(case, name, seed=job.seed) for case in drawn], detector)
        for name in (DISGUISES if drawn else ())
    }
    return Scored(cases, scores, disguised)


async def scores_of(cases: Sequence[Case], detector: InjectionDetector) -> Scores:
    """Return the score of each case, in order, with a progress bar."""
    found = []
    for case in tqdm(cases, desc="score", unit="text", mininterval=5, leave=False):
        judged = detector.document if case.place == "document" else detector.question
        found.append((await judged(case.text)).score)
    return np.array(found, np.float64)


def hidden(case: Case, disguise: str, *, seed: int) -> Case:
    """Return a case with its attack in a disguise: all of a question, what was planted in a document."""
    rng = random.Random(f"{seed}/{case.text}")  # noqa: S311
    change = DISGUISES[disguise]
    if case.place == "question":
        return Case(change(case.text, rng), "question", positive=True)
    return Case(case.text.replace(case.planted, change(case.planted, rng)), "document", positive=True)


def report_of(item: InjectionSet, scored: Scored, model: InjectionModel, *, job: ScreenJob, seen: bool) -> Report:
    """Return the report of a set. seen: whether the weights were fitted to it."""
    return Report(
        job="injection",
        set=item.name,
        n=len(scored.cases) + len(item.leaks),
        seed=job.seed,
        config={
            **job.config(model, seen=seen),
            "own_threshold": bool(scored.of(attack=True).size and scored.of(attack=False).size),
        },
        metrics={**metrics_of(scored, seed=job.seed), **leak_metrics(item.leaks)},
        segments=dict(segments_of(scored, seed=job.seed)),
    )


def metrics_of(scored: Scored, *, seed: int) -> Metrics:
    """Return what can be said of cases: of the attacks, of the harmless texts, and of both.

    Where there are attacks alone, the threshold that ships stands in for one at which 2 % of them are refused.
    """
    attacks, calm = scored.of(attack=True), scored.of(attack=False)
    found: dict[str, Interval] = {}
    if attacks.size:
        caught = share((attacks >= THRESHOLD).tolist())
        found[BEST] = best_caught(attacks, calm, seed=seed) if calm.size else caught
        found["caught"] = caught
    if calm.size:
        found["benign_refused"] = share((calm >= THRESHOLD).tolist())
    return found


def best_caught(attacks: Scores, calm: Scores, *, seed: int) -> Interval:
    """Return the share of attacks above the threshold at which 2 % of the harmless texts are refused.

    Its interval resamples both, and so the threshold.
    """
    rng = np.random.default_rng(seed)
    drawn = [caught_above(rng.choice(attacks, attacks.size), rng.choice(calm, calm.size)) for _ in range(RESAMPLES)]
    value = caught_above(attacks, calm)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(value, min(value, float(low)), max(value, float(high)))


def caught_above(attacks: Scores, calm: Scores) -> float:
    """Return the share of attacks with a higher score than all harmless texts but 2 %."""
    spared = int(ALLOWED * calm.size)
    threshold = np.sort(calm)[::-1][spared]
    return float((attacks > threshold).mean())


def segments_of(scored: Scored, *, seed: int) -> Iterator[tuple[str, Segment]]:
    """Yield the parts of a set where it has several, then the attacks in each disguise."""
    parts = by_segment(range(len(scored.cases)), [case.segment for case in scored.cases])
    for name, places in parts.items():
        yield name, Segment(len(places), metrics_of(scored.part(places), seed=seed))
    for disguise, scores in scored.disguised.items():
        yield f"variant/{disguise}", Segment(scores.size, {"caught": share((scores >= THRESHOLD).tolist())})


def leak_metrics(leaks: Sequence[Leak]) -> Metrics:
    """Return how many answers with a secret in them are seen, and how many without one are taken for such."""
    told = [holds(item.output, item.secret) for item in leaks if item.leaked]
    kept = [holds(item.output, item.secret) for item in leaks if not item.leaked]
    named = {"leaks_caught": told, "leaks_wrong": kept}
    counted = {"leaks": exact(len(leaks))} if leaks else {}
    return {**counted, **{name: share(flags) for name, flags in named.items() if flags}}
