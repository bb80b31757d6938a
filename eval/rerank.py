"""`python -m eval rerank`: what a cross-encoder adds to late interaction, and what its deadline costs.

Builds its own index in a temporary folder and asks the serving pipeline, once per system.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tqdm import tqdm

from eval.configuration import index_config
from eval.context import sent_spans, spans_of
from eval.corpus import TENANT, ingested
from eval.datasets import Dataset, Query
from eval.errors import DatasetError, told
from eval.intervals import Interval, bootstrap, paired_difference, percentile_of
from eval.metrics import Spans, ndcg_at, overlap
from eval.report import Metrics, Report, Segment, by_segment
from eval.retrieval import answerable
from ragopt.config import Settings, hub_cache_dir
from ragopt.domain import QueryKnobs, Question
from ragopt.pipeline import Pipeline
from ragopt.ports import Rerank
from ragopt.results import RankedHit, Retrieved
from ragopt.stages.rerank.choice import LATE_INTERACTION, chosen_model
from ragopt.stages.rerank.late_interaction import rerank as late_interaction
from ragopt.telemetry import Trace

# Late interaction alone; the configured deadline; no deadline; no deadline, and no end when the budget is settled.
SYSTEMS = ("late", "deadline", "settled", "all")
DIFFERENCES = (("deadline", "late"), ("deadline", "all"), ("settled", "all"), ("all", "late"))
NDCG_DEPTH = 10
UNLIMITED_MS = 3_600_000
NEVER_FULL_TOKENS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class RerankJob:
    """What to measure: `limit` questions, None for all; `model` instead of the configured cross-encoder."""

    limit: int | None = None
    model: str | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """One question, and what it is scored by: the spans or the grades of the set."""

    query: Query
    spans: Spans
    grades: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Judged:
    """One question under one system: its quality in [0, 1], milliseconds of reranking, and hits that were judged."""

    quality: float
    ms: float
    judged: int
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """One question under every system."""

    query: Query
    by_system: Mapping[str, Judged]


@dataclass(slots=True)
class Watched:
    """A reranker under the knobs of a system; it keeps the order it returned last."""

    inner: Rerank
    system: str
    ranked: Sequence[RankedHit] = ()

    async def __call__(
        self, standalone: str, retrieved: Retrieved, *, knobs: QueryKnobs, trace: Trace
    ) -> Sequence[RankedHit]:
        """Return the hits as the system orders them."""
        if self.system in ("settled", "all"):
            knobs = replace(knobs, rerank_deadline_ms=UNLIMITED_MS)
        if self.system == "all":
            knobs = replace(knobs, context_tokens=NEVER_FULL_TOKENS)
        self.ranked = await self.inner(standalone, retrieved, knobs=knobs, trace=trace)
        return self.ranked


async def measure(dataset: Dataset, job: RerankJob) -> Report:
    """Return the report of one set; without a cross-encoder it has late interaction alone.

    Quality is `recall` of the context at the configured budget where the set has spans, else
    `ndcg@10` of the documents. Raises: `DatasetError` if no question has either, `EvaluationError` if
    a document is not ingested, `ModelUnavailable`.
    """
    asked = cases(dataset)[: job.limit]
    if not asked:
        raise DatasetError(f"{dataset.name}: no question has reference spans or a relevant document")
    overrides = {} if job.model is None else {"rerank_model": job.model}
    async with ingested(dataset, overrides=overrides) as corpus:
        settings = corpus.settings
        watched = [
            Watched(late_interaction if name == "late" else corpus.pipeline.rerank, name)
            for name in systems_of(settings)
        ]
        outcomes = [
            Outcome(
                case.query,
                {
                    item.system: await ask(
                        corpus.pipeline, item, case=case, question=question_of(case, dataset, settings)
                    )
                    for item in watched
                },
            )
            for case in tqdm(asked, desc=f"ask {dataset.name}")
        ]
    return report_of(outcomes, dataset, job=job, settings=settings)


def cases(dataset: Dataset) -> list[Case]:
    """Return the questions that can be scored, in order: by spans if the set has any, else by grades."""
    if dataset.references:
        referred = [(query, dataset.references.get(query.id, ())) for query in dataset.queries]
        return [
            Case(query, spans_of((part.document_id, (part.start, part.end)) for part in parts), {})
            for query, parts in referred
            if parts
        ]
    return [Case(query, {}, grades) for query, grades in answerable(dataset)]


def systems_of(settings: Settings) -> tuple[str, ...]:
    """Return the systems there are: late interaction alone if there is no cross-encoder."""
    return SYSTEMS[:1] if reranker(settings) == LATE_INTERACTION else SYSTEMS


def reranker(settings: Settings) -> str:
    """Return which reranker the settings and this machine make."""
    return chosen_model(settings.rerank_model, hub_cache_dir())


def question_of(case: Case, dataset: Dataset, settings: Settings) -> Question:
    """Return what is asked, the knobs as configured."""
    return Question(text=case.query.text, tenant=TENANT, collection=dataset.name, knobs=settings.knobs())


async def ask(pipeline: Pipeline, watched: Watched, *, case: Case, question: Question) -> Judged:
    """Return what came of one question under one system.

    An error, or a cross-encoder that failed, is a problem; without a context the quality is 0.
    """
    trace, where = Trace(case.query.id), f"question {case.query.id!r}, {watched.system}"
    try:
        context = await replace(pipeline, rerank=watched).context_for(question, trace=trace)
    except Exception as error:  # noqa: BLE001 - told in the report: a run goes on, and ends with exit code 1
        return Judged(0.0, 0.0, 0, f"{where}: {told(error)}")
    if case.spans:
        quality = overlap(sent_spans(context), case.spans).recall()
    else:
        documents = list(dict.fromkeys(item.hit.chunk.document_id for item in watched.ranked))
        quality = ndcg_at(documents, case.grades, k=NDCG_DEPTH)
    failed = trace.facts.get("rerank_stopped") == "failed"
    problem = f"{where}: {trace.fallbacks['rerank']}" if failed else None
    return Judged(quality, trace.timings_ms()["rerank"], int(trace.facts.get("rerank_judged", 0)), problem)


def report_of(outcomes: Sequence[Outcome], dataset: Dataset, *, job: RerankJob, settings: Settings) -> Report:
    """Return the report of one set, with a segment for each part of it if it has more than one."""
    quality = f"recall@{settings.context_tokens}" if dataset.references else f"ndcg@{NDCG_DEPTH}"
    parts = by_segment(outcomes, [outcome.query.segment for outcome in outcomes])
    judged = [item for outcome in outcomes for item in outcome.by_system.values()]
    return Report(
        job="rerank",
        set=dataset.name,
        n=len(outcomes),
        seed=job.seed,
        config={
            **index_config(settings),
            "rerank_model": reranker(settings),
            "rerank_depth": settings.rerank_depth,
            "rerank_deadline_ms": settings.rerank_deadline_ms,
            "top_k": settings.top_k,
        },
        metrics=metrics_of(outcomes, quality=quality, seed=job.seed),
        segments={
            name: Segment(len(part), metrics_of(part, quality=quality, seed=job.seed)) for name, part in parts.items()
        },
        failures=tuple(item.problem for item in judged if item.problem is not None),
    )


def metrics_of(outcomes: Sequence[Outcome], *, quality: str, seed: int) -> Metrics:
    """Return for each system S the mean `<quality>.S` and `judged.S`, and `rerank_ms.S.p50` and `.p95`.

    `<quality>.S-T` is the mean of S - T over questions as pairs: without 0 in it, S and T differ.
    """
    metrics: dict[str, Interval] = {}
    systems = tuple(outcomes[0].by_system)
    columns = {name: [outcome.by_system[name] for outcome in outcomes] for name in systems}
    for name, column in columns.items():
        metrics[f"{quality}.{name}"] = bootstrap([item.quality for item in column], seed=seed)
    for ours, theirs in DIFFERENCES if len(systems) > 1 else ():
        pairs = [[item.quality for item in columns[name]] for name in (ours, theirs)]
        metrics[f"{quality}.{ours}-{theirs}"] = paired_difference(*pairs, seed=seed)
    for name, column in columns.items():
        if name != "late":
            metrics[f"judged.{name}"] = bootstrap([float(item.judged) for item in column], seed=seed)
        for percent in (50, 95):
            metrics[f"rerank_ms.{name}.p{percent}"] = bootstrap(
                [item.ms for item in column], seed=seed, statistic=percentile_of(percent)
            )
    return metrics
