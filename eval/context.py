"""`python -m eval context`: how much of what answers a question is in its packed context.

Builds its own index in a temporary folder and asks the same pipeline that serves `/context`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tqdm import tqdm

from eval.context_checks import context_problems
from eval.corpus import TENANT, index_config, ingested
from eval.datasets import Dataset, Query, Reference
from eval.errors import DatasetError
from eval.intervals import Interval, bootstrap
from eval.metrics import Overlap, overlap
from eval.report import Metrics, Report, Segment, by_segment
from indexes.errors import IndexingError
from indexes.records import Span
from ragopt.config import Settings
from ragopt.domain import Context, Question
from ragopt.errors import RagoptError
from ragopt.pipeline import Pipeline
from ragopt.telemetry import Trace

BUDGETS = (200, 400, 800, 1600)


@dataclass(frozen=True, slots=True)
class ContextJob:
    """What to measure: budgets in o200k_base tokens, ascending; `limit` questions, None for all."""

    budgets: tuple[int, ...] = BUDGETS
    limit: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question at one budget. A question that failed has no context, scores 0 and carries its problems."""

    query: Query
    budget: int
    overlap: Overlap
    tokens: int
    problems: tuple[str, ...]


async def measure(dataset: Dataset, job: ContextJob) -> Report:
    """Return the report of one set, over its questions that have reference spans.

    Raises: `DatasetError` if no question has any, `EvaluationError` if a document is not ingested.
    """
    asked = [query for query in dataset.queries if query.id in dataset.references][: job.limit]
    if not asked:
        raise DatasetError(f"{dataset.name}: no question has reference spans")
    async with ingested(dataset) as corpus:
        texts = {
            document.id: (await corpus.library.document(TENANT, dataset.name, document.id)).text
            for document in dataset.documents
        }
        everything = list(questions(asked, dataset.name, corpus.settings, budgets=job.budgets))
        outcomes = [
            await ask(corpus.pipeline, question, reference=dataset.references[query.id], query=query, texts=texts)
            for query, question in tqdm(everything, desc=f"ask {dataset.name}")
        ]
    return report_of(outcomes, dataset, job=job, settings=corpus.settings)


def questions(
    asked: Sequence[Query], collection: str, settings: Settings, *, budgets: Sequence[int]
) -> Iterator[tuple[Query, Question]]:
    """Yield every question at every budget, the other knobs as configured."""
    for query in asked:
        for budget in budgets:
            knobs = replace(settings.knobs(), context_tokens=budget)
            yield query, Question(text=query.text, tenant=TENANT, collection=collection, knobs=knobs)


async def ask(
    pipeline: Pipeline,
    question: Question,
    *,
    query: Query,
    reference: Sequence[Reference],
    texts: Mapping[str, str],
) -> Outcome:
    """Return what came of one question; an error of ours is a problem that scores 0, never a missing row."""
    budget = question.knobs.context_tokens
    wanted = spans_of((part.document_id, (part.start, part.end)) for part in reference)
    where = f"question {query.id!r} at {budget} tokens"
    try:
        context = await pipeline.context_for(question, trace=Trace(request_id=query.id))
    except (RagoptError, IndexingError) as error:
        return Outcome(query, budget, overlap({}, wanted), tokens=0, problems=(f"{where}: {error}",))
    problems = tuple(f"{where}: {problem}" for problem in context_problems(context, texts))
    return Outcome(query, budget, overlap(sent_spans(context), wanted), tokens=context.tokens, problems=problems)


def sent_spans(context: Context) -> dict[str, list[Span]]:
    """Return the spans of the passages by document, in passage order."""
    return spans_of((passage.document_id, span) for passage in context.passages for span in passage.spans)


def spans_of(placed: Iterator[tuple[str, Span]]) -> dict[str, list[Span]]:
    """Return spans grouped by document id."""
    grouped: dict[str, list[Span]] = {}
    for document_id, span in placed:
        grouped.setdefault(document_id, []).append(span)
    return grouped


def report_of(outcomes: Sequence[Outcome], dataset: Dataset, *, job: ContextJob, settings: Settings) -> Report:
    """Return the report of one set, with a segment for each part of it if it has more than one."""
    parts = by_segment(outcomes, [outcome.query.segment for outcome in outcomes])
    return Report(
        job="context",
        set=dataset.name,
        n=len(outcomes) // len(job.budgets),
        seed=job.seed,
        config={**index_config(settings), "top_k": settings.top_k},
        metrics=metrics_of(outcomes, job=job),
        segments={
            name: Segment(len(part) // len(job.budgets), metrics_of(part, job=job)) for name, part in parts.items()
        },
        failures=tuple(problem for outcome in outcomes for problem in outcome.problems),
    )


def metrics_of(outcomes: Sequence[Outcome], *, job: ContextJob) -> Metrics:
    """Return `recall@B`, `precision@B`, `iou@B` and `tokens@B` for each budget B: means over questions."""
    metrics: dict[str, Interval] = {}
    for budget in job.budgets:
        rows = [outcome for outcome in outcomes if outcome.budget == budget]
        columns = {
            "recall": [row.overlap.recall() for row in rows],
            "precision": [row.overlap.precision() for row in rows],
            "iou": [row.overlap.iou() for row in rows],
            "tokens": [float(row.tokens) for row in rows],
        }
        metrics |= {f"{name}@{budget}": bootstrap(column, seed=job.seed) for name, column in columns.items()}
    return metrics
