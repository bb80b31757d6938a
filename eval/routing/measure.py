"""`python -m eval routing`: cost against quality of the difficulty scorer, on questions it has not seen.

On recorded outcomes of two models the order is that of the general head; on sets with documents that of the evidence
head, the extractive answer against a strong model simulated as right wherever the packed context holds the gold
answer. A set that the shipped scorer was trained on is scored by heads fitted afresh, each part by one that never saw
it: whole domains are held out of the first kind of set, questions of the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from eval.datasets import Dataset, digest_of, read_dataset
from eval.errors import DatasetError
from eval.intervals import Interval, exact
from eval.report import Report, Segment
from eval.routing.cases import Recorded, gold_answers, recorded
from eval.routing.curve import Outcomes, Vector, order_metrics
from eval.routing.fit import difficulty_of, rows_of, small_fails
from eval.routing.heads import fit_evidence, folds, unseen_difficulty
from eval.routing.sets import (
    Encode,
    RoutingSet,
    as_prompts,
    is_routing_set,
    read_routing_set,
    shipped_vectors,
    vectors_of,
)
from ragopt.stages.route.difficulty import Difficulty, probability, shipped_difficulty, trained_sets
from ragopt.stages.route.features import question_features

SEEN, UNSEEN = "cross-fitted: every part scored by heads that never saw it", "shipped"
CURVE_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
MIN_SEGMENT = 20
DEMANDS = ("comparison", "amount", "reason", "yes_or_no", "manner", "fact")


@dataclass(frozen=True, slots=True)
class RoutingJob:
    """What to measure: `limit` questions of a set with documents, None for all; `vectors` keeps embeddings.

    documents: those that a question is about and this many others, drawn; None for all.
    """

    limit: int | None = None
    documents: int | None = None
    seed: int = 0
    vectors: Path | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """The questions of a set with their outcomes and the difficulty we gave them."""

    name: str
    texts: Sequence[str]
    segments: Sequence[str]
    outcomes: Outcomes
    difficulty: Vector
    described: Mapping[str, str]


async def measure(folder: Path, job: RoutingJob, *, encode: Encode = shipped_vectors) -> Report:
    """Return the report of one folder. Raises: `DatasetError`, `EvaluationError`."""
    scorer = shipped_difficulty()
    if is_routing_set(folder):
        if job.limit is not None:
            raise DatasetError(f"{folder.name}: recorded outcomes are measured whole: leave out --limit")
        dataset = read_routing_set(folder)
        vectors = await vectors_of(dataset.texts, encode, kept=job.vectors)
        return report_of(scored_prompts(dataset, vectors, scorer=scorer, seed=job.seed), job)
    return report_of(await scored_cases(folder, job, scorer=scorer), job)


def scored_prompts(dataset: RoutingSet, vectors: Vector, *, scorer: Difficulty, seed: int) -> Scored:
    """Return the prompts of a set with recorded outcomes, scored by the general head."""
    seen = dataset.digest in trained_sets().values()
    if seen:
        unseen = unseen_difficulty(as_prompts(dataset, vectors), seed=seed)
        log_odds = scorer.general.slope * unseen + scorer.general.intercept
    else:
        pairs = zip(dataset.texts, vectors.astype(np.float32), strict=True)
        log_odds = np.array([scorer.general.log_odds(text, vector) for text, vector in pairs])
    return Scored(
        dataset.name,
        dataset.texts,
        dataset.domains,
        dataset.outcomes,
        difficulty=np.array([probability(value) for value in log_odds]),
        described={"weak": dataset.weak, "strong": dataset.strong, "scorer": SEEN if seen else UNSEEN},
    )


async def scored_cases(folder: Path, job: RoutingJob, *, scorer: Difficulty) -> Scored:
    """Return the questions of a set with documents, scored by the evidence head."""
    whole, gold = read_dataset(folder), gold_answers(folder)
    dataset = whole if job.documents is None else with_fewer(whole, others=job.documents, seed=job.seed)
    queries = [query for query in dataset.queries if query.id in gold][: job.limit]
    if len(queries) < 2:
        raise DatasetError(f"{dataset.name}: fewer than two questions have a gold answer")
    cases = await recorded(dataset, gold, queries=queries)
    seen = digest_of(whole) in trained_sets().values()
    return Scored(
        dataset.name,
        [case.question for case in cases],
        [case.segment or demand_of(case.question) for case in cases],
        Outcomes(
            np.array([case.in_extractive for case in cases], np.float64),
            np.array([case.in_context for case in cases], np.float64),
        ),
        difficulty=unseen_cases(cases, scorer, seed=job.seed) if seen else difficulty_of(cases, scorer),
        described={
            "weak": "extractive answer, recorded",
            "strong": "simulated: right where the packed context holds the gold answer",
            "scorer": SEEN if seen else UNSEEN,
        },
    )


def demand_of(question: str) -> str:
    """Return what a question asks for: the segment of a set that has none."""
    features = question_features(question)
    return next((name for name in DEMANDS if features[name] > 0), "other")


def with_fewer(dataset: Dataset, *, others: int, seed: int) -> Dataset:
    """Return the set with its judged documents and at most `others` more, drawn at random."""
    judged = {document for grades in dataset.qrels.values() for document in grades}
    rest = [document for document in dataset.documents if document.id not in judged]
    drawn = {rest[at].id for at in np.random.default_rng(seed).permutation(len(rest))[:others].tolist()}
    kept = tuple(document for document in dataset.documents if document.id in judged | drawn)
    return replace(dataset, documents=kept)


def unseen_cases(cases: Sequence[Recorded], scorer: Difficulty, *, seed: int) -> Vector:
    """Return the difficulty of each case by an evidence head that was fitted to the other folds of this set alone."""
    rows, fails = rows_of(cases, scorer), small_fails(cases)
    found = np.zeros(len(cases))
    for test in folds([case.id for case in cases], seed=seed):
        train = [row for row, held in zip(rows, test, strict=True) if not held]
        head = fit_evidence(train, fails[~test], sets=[""] * len(train))
        for at in np.flatnonzero(test):
            found[at] = probability(head.log_odds(rows[at]))
    return found


def report_of(scored: Scored, job: RoutingJob) -> Report:
    """Return the report: our order beside random, length, the segments' gaps and the oracle; per segment as well."""
    outcomes = scored.outcomes
    failures = () if outcomes.gap.sum() > 0 else ("the strong model is not better than the weak one: nothing to route",)
    metrics = {
        **order_metrics(orders(scored, seed=job.seed), outcomes, seed=job.seed),
        **curve(scored),
        "quality.weak": exact(float(outcomes.weak.mean())),
        "quality.strong": exact(float(outcomes.strong.mean())),
        **tier_shares(scored),
    }
    return Report(
        job="routing",
        set=scored.name,
        n=len(scored.texts),
        seed=job.seed,
        config=scored.described,
        metrics={name: value for name, value in metrics.items() if np.isfinite(value.value)},
        segments=segments_of(scored, seed=job.seed),
        failures=failures,
    )


def orders(scored: Scored, *, seed: int) -> dict[str, Vector]:
    """Return what each system sorts by, highest first to the strong model."""
    gaps = scored.outcomes.gap
    places = {name: [at for at, other in enumerate(scored.segments) if other == name] for name in set(scored.segments)}
    gap_of = {name: float(gaps[found].mean()) for name, found in places.items()}
    return {
        "ragopt": scored.difficulty,
        "random": np.random.default_rng(seed).random(len(scored.texts)),
        "length": np.array([len(text) for text in scored.texts], np.float64),
        "domain": np.array([gap_of[name] for name in scored.segments], np.float64),
        "oracle": gaps,
    }


def curve(scored: Scored) -> dict[str, Interval]:
    """Return `quality@strong=<share>`: how many are right where that share, the hardest, goes to the strong model."""
    order = np.argsort(-scored.difficulty, kind="stable")
    gained = np.concatenate([[0.0], np.cumsum(scored.outcomes.gap[order])])
    n = len(order)
    return {
        f"quality@strong={share}": exact(float(scored.outcomes.weak.mean() + gained[round(share * n)] / n))
        for share in CURVE_SHARES
    }


def tier_shares(scored: Scored) -> dict[str, Interval]:
    """Return which share of the questions starts in each tier at the default thresholds."""
    medium, high = scored.difficulty >= 0.3, scored.difficulty >= 0.7
    return {
        "share.simple": exact(float((~medium).mean())),
        "share.medium": exact(float((medium & ~high).mean())),
        "share.complex": exact(float(high.mean())),
    }


def segments_of(scored: Scored, *, seed: int) -> dict[str, Segment]:
    """Return APGR and saving of each segment in which the strong model is better, by name; {} for a single one."""
    names = sorted(set(scored.segments))
    if len(names) < 2:
        return {}
    found: dict[str, Segment] = {}
    every = orders(scored, seed=seed)
    for name in names:
        places = np.flatnonzero(np.array([other == name for other in scored.segments]))
        outcomes = Outcomes(scored.outcomes.weak[places], scored.outcomes.strong[places])
        if len(places) < MIN_SEGMENT or outcomes.gap.sum() <= 0:
            continue
        parts = {system: every[system][places] for system in ("ragopt", "length")}
        found[name or "other"] = Segment(len(places), order_metrics(parts, outcomes, seed=seed))
    return found
