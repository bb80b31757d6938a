"""`python -m eval retrieval`: how well each stage of the search ranks the documents that answer a question.

Builds its own index in a temporary folder. One search of the serving pipeline gives all four rankings
where it is configured to fuse as `rrf` does, two where it is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from tqdm import tqdm

from eval.configuration import Overrides, config_of
from eval.corpus import TENANT, Corpus, ingested
from eval.datasets import Dataset, Query
from eval.errors import DatasetError, told
from eval.metrics import ndcg_at, recall_at, reciprocal_rank_at
from eval.report import Cases, Metrics, Report, rounded, segments_of
from indexes.fusion import settled
from indexes.records import Hit
from ragopt.config import Settings
from ragopt.domain import Question
from ragopt.pipeline import Pipeline
from ragopt.results import RankedHit
from ragopt.telemetry import Trace

# System to document ids, best first, each once.
Rankings: TypeAlias = Mapping[str, Sequence[str]]

SYSTEMS = ("bm25", "dense", "rrf", "full")
DIFFERENCES = (("full", "rrf"), ("full", "bm25"), ("full", "dense"))
NDCG_DEPTH = 10
RANK_DEPTH = 10
RECALL_DEPTHS = (5, 10, 20)
# More than the service keeps: 20 documents need more than 50 chunks.
TOP_K = 200


@dataclass(frozen=True, slots=True)
class RetrievalJob:
    """What to measure: `limit` questions, None for all; `top_k` fused hits of each, unless `overrides` say how many.

    overrides: settings that are not as configured.
    """

    limit: int | None = None
    top_k: int = TOP_K
    seed: int = 0
    overrides: Overrides = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question, its scores by metric. A question that failed scores 0 and carries its problem."""

    query: Query
    scores: Mapping[str, float]
    problem: str | None = None


async def measure(dataset: Dataset, job: RetrievalJob, *, root: Path | None = None) -> Report:
    """Return the report of one set, over its questions that have a relevant document. `root`: as in `ingested`.

    Raises: `DatasetError` if no question has one, `EvaluationError` if a document is not ingested.
    """
    asked = answerable(dataset)[: job.limit]
    if not asked:
        raise DatasetError(f"{dataset.name}: no question has a relevant document: `qrels.tsv` is missing or names none")
    async with ingested(dataset, overrides=job.overrides, root=root) as corpus:
        outcomes = [
            await ask(corpus.pipeline, question_of(query, dataset, job=job, corpus=corpus), query=query, grades=grades)
            for query, grades in tqdm(asked, desc=f"ask {dataset.name}")
        ]
    return report_of(outcomes, dataset, job=job, settings=corpus.settings)


def answerable(dataset: Dataset) -> list[tuple[Query, Mapping[str, int]]]:
    """Return the questions with a document graded above 0, in order, each with its grades."""
    graded = [(query, dataset.qrels.get(query.id, {})) for query in dataset.queries]
    return [(query, grades) for query, grades in graded if max(grades.values(), default=0) > 0]


def question_of(query: Query, dataset: Dataset, *, job: RetrievalJob, corpus: Corpus) -> Question:
    """Return what is asked: `top_k` of the job unless it is overridden, the other knobs as configured."""
    knobs = corpus.settings.knobs()
    knobs = knobs if "top_k" in job.overrides else replace(knobs, top_k=job.top_k)
    return Question(text=query.text, tenant=TENANT, collection=dataset.name, knobs=knobs)


async def ask(pipeline: Pipeline, question: Question, *, query: Query, grades: Mapping[str, int]) -> Outcome:
    """Return what came of one question; an error is a problem that scores 0, never a missing row."""
    try:
        rankings, problem = await searched(pipeline, question, trace=Trace(request_id=query.id)), None
    except Exception as error:  # noqa: BLE001 - told in the report: a run goes on, and ends with exit code 1
        rankings, problem = dict.fromkeys(SYSTEMS, ()), f"question {query.id!r}: {told(error)}"
    return Outcome(query, scores_of(rankings, grades), problem)


def scores_of(rankings: Rankings, grades: Mapping[str, int]) -> dict[str, float]:
    """Return `ndcg@10.S`, `mrr@10.S` and `recall@5|10|20.S` of one question for each system S."""
    scores = {f"ndcg@{NDCG_DEPTH}.{name}": ndcg_at(rankings[name], grades, k=NDCG_DEPTH) for name in SYSTEMS}
    scores |= {f"mrr@{RANK_DEPTH}.{name}": reciprocal_rank_at(rankings[name], grades, k=RANK_DEPTH) for name in SYSTEMS}
    for depth in RECALL_DEPTHS:
        scores |= {f"recall@{depth}.{name}": recall_at(rankings[name], grades, k=depth) for name in SYSTEMS}
    return scores


async def searched(pipeline: Pipeline, question: Question, *, trace: Trace) -> Rankings:
    """Return the four rankings of one question. Raises: `CollectionNotFound`, `StoreUnavailable`."""
    encoded = await pipeline.embed(question.text)
    retrieved = await pipeline.retrieve(question.text, question, encoded=encoded, trace=trace)
    ranked = await pipeline.rerank(question.text, retrieved, knobs=question.knobs, trace=trace)
    plain = replace(question, knobs=replace(question.knobs, fusion="rrf", dense_weight=0.5))
    if plain != question:
        retrieved = await pipeline.retrieve(plain.text, plain, encoded=encoded, trace=trace)
    return rankings_of(retrieved.hits, ranked)


def rankings_of(hits: Sequence[Hit], ranked: Sequence[RankedHit]) -> Rankings:
    """Return the documents by system, each at the place of its best chunk.

    `hits` are in the order of plain RRF, `ranked` is what the reranker made of the configured fusion.
    `bm25` and `dense` leave out what has no such score; their ties are in the order of ids.
    """
    return {
        "bm25": by_best_chunk((hit.chunk.document_id, hit.bm25) for hit in hits),
        "dense": by_best_chunk((hit.chunk.document_id, hit.dense) for hit in hits),
        "rrf": list(dict.fromkeys(hit.chunk.document_id for hit in hits)),
        "full": list(dict.fromkeys(item.hit.chunk.document_id for item in ranked)),
    }


def by_best_chunk(scored: Iterable[tuple[str, float | None]]) -> list[str]:
    """Return document ids by the highest score of their chunks, best first; a chunk without a score is left out."""
    best: dict[str, float] = {}
    for document_id, score in scored:
        if score is not None:
            best[document_id] = max(score, best.get(document_id, score))
    return settled(list(best.items()), limit=len(best))


def report_of(outcomes: Sequence[Outcome], dataset: Dataset, *, job: RetrievalJob, settings: Settings) -> Report:
    """Return the report of one set, with a segment for each part of it if it has more than one."""
    cases = cases_of(outcomes)
    config = config_of(settings, job.overrides)
    if "top_k" not in job.overrides:
        config["top_k"] = job.top_k
    return Report(
        job="retrieval",
        set=dataset.name,
        n=len(outcomes),
        seed=job.seed,
        config={**config, "indexed": "title, headings, text"},
        metrics=cases.metrics(seed=job.seed),
        segments=segments_of(cases, seed=job.seed),
        failures=tuple(outcome.problem for outcome in outcomes if outcome.problem is not None),
        cases=cases,
    )


def cases_of(outcomes: Sequence[Outcome]) -> Cases:
    """Return the scores of every question, and `ndcg@10.S-T`: S - T, question by question.

    The mean of the last has an interval over questions as pairs: without 0 in it, S and T differ.
    """
    names = outcomes[0].scores if outcomes else ()
    columns = {name: rounded([outcome.scores[name] for outcome in outcomes]) for name in names}
    for ours, theirs in DIFFERENCES:
        pairs = zip(columns[f"ndcg@{NDCG_DEPTH}.{ours}"], columns[f"ndcg@{NDCG_DEPTH}.{theirs}"], strict=True)
        columns[f"ndcg@{NDCG_DEPTH}.{ours}-{theirs}"] = rounded([a - b for a, b in pairs])
    asked = [outcome.query for outcome in outcomes]
    return Cases(tuple(query.id for query in asked), tuple(query.segment for query in asked), columns)


def metrics_of(outcomes: Sequence[Outcome], *, seed: int) -> Metrics:
    """Return the means over questions of all that `cases_of` gives. Raises: `ValueError` for none."""
    return cases_of(outcomes).metrics(seed=seed)
