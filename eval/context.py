"""`python -m eval context`: how much of what answers a question is in its packed context.

Builds its own index in a temporary folder and asks the same pipeline that serves `/context`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tqdm import tqdm

from eval.baseline import Asked, Sent, sent_by_baseline
from eval.configuration import Overrides, config_of
from eval.context_checks import context_problems
from eval.corpus import TENANT, Corpus, ingested
from eval.datasets import Dataset, Query, Reference
from eval.equal_recall import equal_metrics, search
from eval.errors import ConfigurationError, DatasetError, told
from eval.metrics import Overlap, overlap
from eval.report import Cases, Report, rounded, segments_of, with_columns
from indexes.records import Span
from ragopt.config import Settings
from ragopt.domain import Context, Question
from ragopt.pipeline import Pipeline
from ragopt.telemetry import Trace

BUDGETS = (200, 400, 800, 1600)


@dataclass(frozen=True, slots=True)
class ContextJob:
    """What to measure: budgets in o200k_base tokens, ascending; `limit` questions, None for all.

    overrides: settings that are not as configured. baseline: whether a vendor's default is measured beside
    ours. Raises: `ConfigurationError` if the overrides name the budget.
    """

    budgets: tuple[int, ...] = BUDGETS
    limit: int | None = None
    seed: int = 0
    overrides: Overrides = field(default_factory=dict)
    baseline: bool = False

    def __post_init__(self) -> None:
        if "context_tokens" in self.overrides:
            raise ConfigurationError("context_tokens: `context` measures at the budgets of `--budgets`")


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question at one budget. A question that failed has no context, scores 0 and carries its problems."""

    query: Query
    budget: int
    overlap: Overlap
    tokens: int
    problems: tuple[str, ...]


async def measure(dataset: Dataset, job: ContextJob, *, root: Path | None = None) -> Report:
    """Return the report of one set, over its questions that have reference spans. `root`: as in `ingested`.

    Raises: `DatasetError` if no question has any, `EvaluationError` if a document is not ingested.
    """
    asked = [query for query in dataset.queries if query.id in dataset.references][: job.limit]
    if not asked:
        raise DatasetError(f"{dataset.name}: no question has reference spans")
    async with ingested(dataset, overrides=job.overrides, root=root) as corpus:
        texts = {
            document.id: (await corpus.library.document(TENANT, dataset.name, document.id)).text
            for document in dataset.documents
        }
        asking = Asking(corpus, dataset, asked, texts)
        outcomes = await asking.at(job.budgets)
        report = report_of(outcomes, dataset, job=job, settings=corpus.settings)
        return await beside_baseline(report, asking) if job.baseline else report


@dataclass(frozen=True, slots=True)
class Asking:
    """The questions of a set and the pipeline that is asked; `texts` are the stored documents by id."""

    corpus: Corpus
    dataset: Dataset
    queries: Sequence[Query]
    texts: Mapping[str, str]

    async def at(self, budgets: Sequence[int]) -> list[Outcome]:
        """Return what came of every question at every budget, with a progress bar."""
        everything = list(questions(self.queries, self.dataset.name, self.corpus.settings, budgets=budgets))
        return [
            await ask(
                self.corpus.pipeline,
                question,
                reference=self.dataset.references[query.id],
                query=query,
                texts=self.texts,
            )
            for query, question in tqdm(everything, desc=f"ask {self.dataset.name}")
        ]

    async def recall_at(self, budget: int) -> tuple[float, ...]:
        """Return the recall of every question at one budget."""
        return overlap_columns(await self.at((budget,)))["recall"]


async def beside_baseline(report: Report, asking: Asking) -> Report:
    """Return the report with the vendor's default on the same questions, and the tokens for equal recall."""
    asked = [Asked(query.text, wanted_spans(asking.dataset.references[query.id])) for query in asking.queries]
    rows = await sent_by_baseline(asking.texts, asked, settings=asking.corpus.settings)
    columns = {name: overlap_columns(row) for name, row in rows.items()}
    better = max(columns, key=lambda name: sum(columns[name]["recall"]))
    equal = await search(asking.recall_at, columns[better]["recall"], seed=report.seed)
    added = {f"{name}@baseline": column for name, column in columns[better].items()}
    added |= {f"recall@baseline.{name}": columns[name]["recall"] for name in columns}
    with_rows = with_columns(report, added)
    found = equal_metrics(equal, columns[better]["recall"], columns[better]["tokens"], seed=report.seed)
    reach = {} if found else {"equal_recall": f"not reached up to {max(equal.recalls)} tokens"}
    described = {"baseline": f"800-token chunks, 400 overlap, top 5, dense, {better}"}
    return replace(with_rows, config={**report.config, **described, **reach}, metrics={**with_rows.metrics, **found})


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
    """Return what came of one question; an error is a problem that scores 0, never a missing row."""
    budget = question.knobs.context_tokens
    wanted = wanted_spans(reference)
    where = f"question {query.id!r} at {budget} tokens"
    try:
        context = await pipeline.context_for(question, trace=Trace(request_id=query.id))
    except Exception as error:  # noqa: BLE001 - told in the report: a run goes on, and ends with exit code 1
        return Outcome(query, budget, overlap({}, wanted), tokens=0, problems=(f"{where}: {told(error)}",))
    problems = tuple(f"{where}: {problem}" for problem in context_problems(context, texts))
    return Outcome(query, budget, overlap(sent_spans(context), wanted), tokens=context.tokens, problems=problems)


def sent_spans(context: Context) -> dict[str, list[Span]]:
    """Return the spans of the passages by document, in passage order."""
    return spans_of((passage.document_id, span) for passage in context.passages for span in passage.spans)


def wanted_spans(reference: Sequence[Reference]) -> dict[str, list[Span]]:
    """Return the spans that answer a question by document, in the order of the set."""
    return spans_of((part.document_id, (part.start, part.end)) for part in reference)


def spans_of(placed: Iterator[tuple[str, Span]]) -> dict[str, list[Span]]:
    """Return spans grouped by document id."""
    grouped: dict[str, list[Span]] = {}
    for document_id, span in placed:
        grouped.setdefault(document_id, []).append(span)
    return grouped


def report_of(outcomes: Sequence[Outcome], dataset: Dataset, *, job: ContextJob, settings: Settings) -> Report:
    """Return the report of one set, with a segment for each part of it if it has more than one."""
    cases = cases_of(outcomes, budgets=job.budgets)
    return Report(
        job="context",
        set=dataset.name,
        n=len(cases.ids),
        seed=job.seed,
        config=config_of(settings, job.overrides),
        metrics=cases.metrics(seed=job.seed),
        segments=segments_of(cases, seed=job.seed),
        failures=tuple(problem for outcome in outcomes for problem in outcome.problems),
        cases=cases,
    )


def cases_of(outcomes: Sequence[Outcome], *, budgets: Sequence[int]) -> Cases:
    """Return `recall@B`, `precision@B`, `iou@B` and `tokens@B` of every question for each budget B."""
    columns: dict[str, tuple[float, ...]] = {}
    asked: list[Query] = []
    for budget in budgets:
        rows = [outcome for outcome in outcomes if outcome.budget == budget]
        asked = [row.query for row in rows]
        columns |= {f"{name}@{budget}": column for name, column in overlap_columns(rows).items()}
    return Cases(tuple(query.id for query in asked), tuple(query.segment for query in asked), columns)


def overlap_columns(rows: Sequence[Outcome | Sent]) -> dict[str, tuple[float, ...]]:
    """Return recall, precision, IoU and tokens of each question, by name."""
    return {
        "recall": rounded([row.overlap.recall() for row in rows]),
        "precision": rounded([row.overlap.precision() for row in rows]),
        "iou": rounded([row.overlap.iou() for row in rows]),
        "tokens": rounded([row.tokens for row in rows]),
    }
