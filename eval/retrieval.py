"""`python -m eval retrieval`: how well each stage of the search ranks the documents that answer a question.

Builds its own index in a temporary folder. One search of the serving pipeline gives all four rankings
where it is configured to fuse as `rrf` does, two where it is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from tqdm import tqdm

from eval.corpus import TENANT, Corpus, index_config, ingested
from eval.datasets import Dataset, Query
from eval.errors import DatasetError
from eval.intervals import Interval, bootstrap, paired_difference
from eval.metrics import ndcg_at, recall_at
from eval.report import Metrics, Report, Segment, by_segment
from indexes.errors import IndexingError
from indexes.fusion import settled
from indexes.records import Hit
from ragopt.config import Settings
from ragopt.domain import Question
from ragopt.errors import RagoptError
from ragopt.pipeline import Pipeline, RankedHit
from ragopt.telemetry import Trace

# System to document ids, best first, each once.
Rankings: TypeAlias = Mapping[str, Sequence[str]]

SYSTEMS = ("bm25", "dense", "rrf", "full")
DIFFERENCES = (("full", "rrf"), ("full", "bm25"))
NDCG_DEPTH = 10
RECALL_DEPTH = 20
# More than the service keeps: 20 documents need more than 50 chunks.
TOP_K = 200


@dataclass(frozen=True, slots=True)
class RetrievalJob:
    """What to measure: `limit` questions, None for all; `top_k` fused hits of each."""

    limit: int | None = None
    top_k: int = TOP_K
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question, its scores by system. A question that failed scores 0 and carries its problem."""

    query: Query
    ndcg: Mapping[str, float]
    recall: Mapping[str, float]
    problem: str | None = None


async def measure(dataset: Dataset, job: RetrievalJob) -> Report:
    """Return the report of one set, over its questions that have a relevant document.

    Raises: `DatasetError` if no question has one, `EvaluationError` if a document is not ingested.
    """
    asked = answerable(dataset)[: job.limit]
    if not asked:
        raise DatasetError(f"{dataset.name}: no question has a relevant document: `qrels.tsv` is missing or names none")
    async with ingested(dataset) as corpus:
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
    """Return what is asked: `top_k` of the job, the other knobs as configured."""
    knobs = replace(corpus.settings.knobs(), top_k=job.top_k)
    return Question(text=query.text, tenant=TENANT, collection=dataset.name, knobs=knobs)


async def ask(pipeline: Pipeline, question: Question, *, query: Query, grades: Mapping[str, int]) -> Outcome:
    """Return what came of one question; an error of ours is a problem that scores 0, never a missing row."""
    try:
        rankings, problem = await searched(pipeline, question, trace=Trace(request_id=query.id)), None
    except (RagoptError, IndexingError) as error:
        rankings, problem = dict.fromkeys(SYSTEMS, ()), f"question {query.id!r}: {error}"
    return Outcome(
        query,
        ndcg={name: ndcg_at(rankings[name], grades, k=NDCG_DEPTH) for name in SYSTEMS},
        recall={name: recall_at(rankings[name], grades, k=RECALL_DEPTH) for name in SYSTEMS},
        problem=problem,
    )


async def searched(pipeline: Pipeline, question: Question, *, trace: Trace) -> Rankings:
    """Return the four rankings of one question. Raises: `CollectionNotFound`, `StoreUnavailable`."""
    encoded = await pipeline.embed(question.text)
    retrieved = await pipeline.retrieve(question.text, question, encoded=encoded, trace=trace)
    ranked = await pipeline.rerank(retrieved)
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
    parts = by_segment(outcomes, [outcome.query.segment for outcome in outcomes])
    return Report(
        job="retrieval",
        set=dataset.name,
        n=len(outcomes),
        seed=job.seed,
        config={
            **index_config(settings),
            "top_k": job.top_k,
            "fusion": settings.fusion,
            "dense_weight": settings.dense_weight,
            "indexed": "title, headings, text",
        },
        metrics=metrics_of(outcomes, seed=job.seed),
        segments={name: Segment(len(part), metrics_of(part, seed=job.seed)) for name, part in parts.items()},
        failures=tuple(outcome.problem for outcome in outcomes if outcome.problem is not None),
    )


def metrics_of(outcomes: Sequence[Outcome], *, seed: int) -> Metrics:
    """Return `ndcg@10.S` and `recall@20.S` for each system S, means over questions, and `ndcg@10.S-T`.

    The last is the mean of S - T, its interval over questions as pairs: without 0 in it, S and T differ.
    """
    ndcg = {name: [outcome.ndcg[name] for outcome in outcomes] for name in SYSTEMS}
    recall = {name: [outcome.recall[name] for outcome in outcomes] for name in SYSTEMS}
    metrics: dict[str, Interval] = {f"ndcg@{NDCG_DEPTH}.{name}": bootstrap(ndcg[name], seed=seed) for name in SYSTEMS}
    metrics |= {f"recall@{RECALL_DEPTH}.{name}": bootstrap(recall[name], seed=seed) for name in SYSTEMS}
    for ours, theirs in DIFFERENCES:
        metrics[f"ndcg@{NDCG_DEPTH}.{ours}-{theirs}"] = paired_difference(ndcg[ours], ndcg[theirs], seed=seed)
    return metrics
