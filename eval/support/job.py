"""`python -m eval citations`: claims of groundedness sets judged as the service judges them.

Of a set that the shipped judge learned from, only the part that it did not learn from is measured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from eval.errors import DatasetError
from eval.intervals import Interval, bootstrap, percentile_of
from eval.report import Metrics, Report, Segment
from eval.support.measured import Labels, Scores, auc, balanced_accuracy, with_interval
from eval.support.parts import held_out
from eval.support.sets import ClaimCase, read_claim_set
from ragopt.config import cache_dir
from ragopt.evidence import overlap
from ragopt.stages.cite.calibration import SHIPPED
from ragopt.stages.cite.evidence import Units
from ragopt.stages.cite.judging import ClaimJudge, Verdict
from ragopt.telemetry import Trace

# Both labels weigh the same in the fit of the score, so it is even here, whatever the set.
EVEN = 0.5
MIN_SEGMENT = 20


@dataclass(frozen=True, slots=True)
class CitationsJob:
    """What to measure: the first `limit` claims, None for all. judge: the folder of model and calibration.

    lexical: without the model, as the service judges where it cannot run.
    """

    limit: int | None = None
    judge: Path = SHIPPED
    lexical: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True)
class JudgedCase:
    """A case with the verdict on its weakest claim, and the milliseconds that one claim took."""

    case: ClaimCase
    verdict: Verdict
    ms: float


def measure(folder: Path, job: CitationsJob) -> Report:
    """Return the report of a folder. Raises: `DatasetError`, `ModelUnavailable`."""
    dataset = read_claim_set(folder)
    cases = [case for case in held_out(dataset) if case.claims][: job.limit]
    judge = opened_judge(job)
    judged = asyncio.run(judged_cases(cases, judge))
    labels = np.array([item.case.supported for item in judged])
    if not labels.any() or labels.all():
        raise DatasetError(f"{dataset.name}: claims of both kinds are needed, supported and not")
    known = sorted({item.case.label for item in judged if item.case.supported})
    return Report(
        job="citations",
        set=dataset.name,
        n=len(judged),
        seed=job.seed,
        config={
            "judge": judge.tag,
            "supported": ", ".join(known),
            "threshold": EVEN,
            "part": "not learned from" if len(cases) < len(dataset.cases) else "all",
        },
        metrics=metrics_of(judged, seed=job.seed),
        segments=segments_of(judged, seed=job.seed),
    )


def opened_judge(job: CitationsJob) -> ClaimJudge:
    """Return the judge that is measured. Raises: `ModelUnavailable`."""
    return ClaimJudge.lexical(job.judge) if job.lexical else ClaimJudge.load(job.judge, cache_folder=cache_dir())


async def judged_cases(cases: Sequence[ClaimCase], judge: ClaimJudge) -> list[JudgedCase]:
    """Return the cases in order, each with the verdict on the claim of it that scores least."""
    found = []
    for case in tqdm(cases, desc="judge", unit="claim", mininterval=5):
        units = Units([case.passage])
        started = time.perf_counter()
        verdicts = await judge([(claim, units) for claim in case.claims], trace=Trace("citations"))
        ms = 1000 * (time.perf_counter() - started) / len(case.claims)
        found.append(JudgedCase(case, min(verdicts, key=lambda verdict: verdict.score), ms))
    await judge.close()
    return found


def metrics_of(judged: Sequence[JudgedCase], *, seed: int) -> Metrics:
    """Return accuracy, the share of each kind that is called wrongly, the baseline's curve, and the time of a claim."""
    scores, labels = arrays(judged)
    coverage = np.array([covered(item.case) for item in judged])
    flagged = {
        label: [item.verdict.support == "unsupported" for item in judged if item.case.supported == label]
        for label in (True, False)
    }
    passed = [item.verdict.support == "supported" for item in judged if not item.case.supported]
    return {
        **accuracy_of(scores, labels, seed=seed),
        "auc.word_coverage": with_interval(coverage, labels, auc, seed=seed),
        "called_unsupported.supported": bootstrap(flagged[True], seed=seed),
        "called_unsupported.other": bootstrap(flagged[False], seed=seed),
        "called_supported.other": bootstrap(passed, seed=seed),
        "ms.p95": bootstrap([item.ms for item in judged], seed=seed, statistic=percentile_of(95)),
    }


def accuracy_of(scores: Scores, labels: Labels, *, seed: int) -> dict[str, Interval]:
    """Return balanced accuracy at the threshold of the fit, and the area under the curve."""
    return {
        "balanced_accuracy": with_interval(
            scores, labels, lambda drawn, kinds: balanced_accuracy(drawn, kinds, threshold=EVEN), seed=seed
        ),
        "auc": with_interval(scores, labels, auc, seed=seed),
    }


def segments_of(judged: Sequence[JudgedCase], *, seed: int) -> dict[str, Segment]:
    """Return the accuracy on each part of a set that has parts with claims of both kinds."""
    found: dict[str, Segment] = {}
    for name in sorted({item.case.segment for item in judged} - {""}):
        scores, labels = arrays([item for item in judged if item.case.segment == name])
        if len(labels) >= MIN_SEGMENT and labels.any() and not labels.all():
            found[name] = Segment(len(labels), accuracy_of(scores, labels, seed=seed))
    return found if len(found) > 1 else {}


def arrays(judged: Sequence[JudgedCase]) -> tuple[Scores, Labels]:
    """Return the scores and the labels, in order."""
    return np.array([item.verdict.score for item in judged]), np.array([item.case.supported for item in judged])


def covered(case: ClaimCase) -> float:
    """Return the least share of a claim's words that stand in the context: the baseline."""
    return min(overlap(claim, case.passage.text) for claim in case.claims)
