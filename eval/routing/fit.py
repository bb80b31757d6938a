"""`python -m eval fit-routing`: fits the difficulty scorer that ships, `ragopt/data/difficulty.json`.

The general head learns from recorded outcomes of two models on prompts without context, the evidence head from
questions over documents: how far do the packed context and the extractive answer hold the gold answer?
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from eval.datasets import Dataset, Query, digest_of, read_dataset
from eval.errors import DatasetError, EvaluationError
from eval.intervals import Interval, bootstrap, exact
from eval.report import Report
from eval.routing.cases import Gold, Recorded, gold_answers, recorded
from eval.routing.heads import Vector, fit_evidence, fit_general
from eval.routing.questions import self_made
from eval.routing.sets import as_prompts, is_routing_set, read_routing_set, shipped_vectors, vectors_of
from indexes.model import file_sha256, model_files
from ragopt.stages.route.difficulty import Difficulty, EvidenceHead, difficulty_to_json, probability

# A set with more documents than this is asked self-made questions over a sample of them.
MANY_DOCUMENTS = 5_000
SAMPLED_DOCUMENTS = 1_000
SELF_MADE = 600


@dataclass(frozen=True, slots=True)
class FitRoutingJob:
    """What to fit on: folders with outcomes of models, and folders with questions and answers.

    limit: questions of each of the latter, None for all. vectors: a file that keeps the embeddings between runs.
    """

    folders: tuple[Path, ...]
    limit: int | None = None
    seed: int = 0
    vectors: Path | None = None


@dataclass(frozen=True, slots=True)
class Fit:
    """What was fitted, and to what. trained_on: digests of the sets by name. prompts: how many had no context."""

    scorer: Difficulty
    trained_on: Mapping[str, str]
    prompts: int
    cases: Sequence[Recorded]


def run(job: FitRoutingJob, out: Path) -> Report:
    """Fit, write `out`, and return what was fitted to. Raises: `EvaluationError`, `DatasetError`."""
    fitted = asyncio.run(fit(job))
    try:
        out.write_text(difficulty_to_json(fitted.scorer, trained_on=fitted.trained_on) + "\n", encoding="utf-8")
    except OSError as error:
        raise EvaluationError(f"{out}: {error}") from error
    return Report(
        job="fit-routing",
        set="+".join(folder.resolve().name for folder in job.folders),
        n=fitted.prompts + len(fitted.cases),
        seed=job.seed,
        config={"out": str(out), "sha256": file_sha256(out), "embedder": fitted.scorer.embedder},
        metrics={"prompts": exact(fitted.prompts), **shares(fitted.cases, seed=job.seed)},
    )


async def fit(job: FitRoutingJob) -> Fit:
    """Return the scorer fitted to the job's folders. Raises: `EvaluationError`, `DatasetError`."""
    with_models = [folder for folder in job.folders if is_routing_set(folder)]
    if len(with_models) != 1 or len(job.folders) < 2:
        raise EvaluationError("name one folder with `routing.jsonl` and at least one with questions and answers")
    prompts = read_routing_set(with_models[0])
    vectors = await vectors_of(prompts.texts, shipped_vectors, kept=job.vectors)
    general = fit_general(as_prompts(prompts, vectors), seed=job.seed)
    scorer = Difficulty(general, EvidenceHead({}, {}, 0.0), model_files("").sha256[:16])
    trained_on = {prompts.name: prompts.digest}
    cases: list[Recorded] = []
    sets: list[str] = []
    for folder in job.folders:
        if not is_routing_set(folder):
            dataset = read_dataset(folder)
            cases += await recorded_for(folder, dataset, limit=job.limit, seed=job.seed)
            sets += [dataset.name] * (len(cases) - len(sets))
            if not takes_self_made(dataset):
                trained_on[dataset.name] = digest_of(dataset)
    evidence = fit_evidence(rows_of(cases, scorer), small_fails(cases), sets=sets)
    return Fit(replace(scorer, evidence=evidence), trained_on, prompts=len(prompts.texts), cases=cases)


async def recorded_for(folder: Path, dataset: Dataset, *, limit: int | None, seed: int) -> list[Recorded]:
    """Return the outcomes of a set's questions with answers, or of self-made ones over a sample of a large corpus."""
    if not takes_self_made(dataset):
        gold = gold_answers(folder)
        return await recorded(dataset, gold, queries=[query for query in dataset.queries if query.id in gold][:limit])
    sample, made = self_made_set(dataset, seed=seed)
    gold = {query.id: answer for query, answer in made}
    return await recorded(sample, gold, queries=[query for query, _ in made][:limit])


def takes_self_made(dataset: Dataset) -> bool:
    """Return whether self-made questions stand in for the set's own: its documents may be trained on, they may not."""
    return len(dataset.documents) > MANY_DOCUMENTS


def self_made_set(dataset: Dataset, *, seed: int) -> tuple[Dataset, list[tuple[Query, Gold]]]:
    """Return a sample of the documents that no question of the set is about, and questions made from them."""
    judged = {document for grades in dataset.qrels.values() for document in grades}
    free = [document for document in dataset.documents if document.id not in judged]
    drawn = np.random.default_rng(seed).permutation(len(free))[:SAMPLED_DOCUMENTS]
    sample = tuple(free[at] for at in drawn)
    if not sample:
        raise DatasetError(f"{dataset.name}: every document is judged, none is left to make questions from")
    made = list(self_made(sample, count=SELF_MADE, seed=seed))
    return replace(dataset, documents=sample, queries=tuple(query for query, _ in made), qrels={}), made


def rows_of(cases: Sequence[Recorded], scorer: Difficulty) -> list[Mapping[str, float]]:
    """Return the features of each case."""
    return [scorer.features(case.context, (), embedding=case.encoded.dense) for case in cases]


def small_fails(cases: Sequence[Recorded]) -> Vector:
    """Return the simulated chance that a small model fails, float64 [n].

    It is right where the extractive answer already holds the gold answer, wrong where not even the context does, and
    right half of the time in between.
    """
    return np.array([1 - (case.in_context + case.in_extractive) / 2 for case in cases], np.float64)


def difficulty_of(cases: Sequence[Recorded], scorer: Difficulty) -> Vector:
    """Return the difficulty of each case, float64 [n]."""
    return np.array([probability(scorer.evidence.log_odds(row)) for row in rows_of(cases, scorer)], np.float64)


def shares(cases: Sequence[Recorded], *, seed: int) -> dict[str, Interval]:
    """Return how many questions there are and the share of them with the answer in context and extractive answer."""
    if not cases:
        return {"questions": exact(0)}
    return {
        "questions": exact(len(cases)),
        "answer_in_context": bootstrap([float(case.in_context) for case in cases], seed=seed),
        "answer_in_extractive": bootstrap([float(case.in_extractive) for case in cases], seed=seed),
    }
