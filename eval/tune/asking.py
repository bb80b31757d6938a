"""Candidates over questions, through the pipeline that serves: one index open at a time, hits shared.

Candidates that differ in packing alone get the same hits: a question is retrieved, reranked and weighed once for
all of them, and packed for each. It is embedded once for as long as an index is open.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Generic, ParamSpec, Protocol, Self, TypeVar

from eval.context import sent_spans, spans_of
from eval.corpus import TENANT
from eval.datasets import Query
from eval.errors import EvaluationError
from eval.metrics import overlap
from eval.tune.meter import Meter
from eval.tune.questions import Workload
from eval.tune.space import Candidate, Space
from eval.tune.trials import Trial
from indexes.errors import IndexingError
from indexes.ingest import IngestProgress
from indexes.library import Library
from ragopt.config import Settings
from ragopt.domain import Context, Question
from ragopt.errors import RagoptError
from ragopt.pipeline import Pipeline
from ragopt.results import RankedHit
from ragopt.stages.pack import Packer, Weighed, weighed
from ragopt.telemetry import Trace
from ragopt.wiring import open_library

Given = ParamSpec("Given")
Result = TypeVar("Result")


class Ask(Protocol):
    """Questions to trials."""

    async def __call__(self, candidates: Sequence[Candidate], queries: Sequence[Query], *, start: int) -> list[Trial]:
        """Return one trial for each candidate over these questions, which begin at place `start`.

        The candidates differ in what decides packing alone.
        """


class Remembered(Generic[Given, Result]):
    """A stage that runs once for each key and returns what it returned then; satisfies the stage's protocol.

    `key` is set by who asks; a new key forgets all others unless `keeps_all`. ms: what the result of
    the key took. spent_ms: what was spent on running the stage since it was last set to 0.
    """

    def __init__(self, stage: Callable[Given, Awaitable[Result]], *, keeps_all: bool = False) -> None:
        self.key: object = None
        self.spent_ms = 0.0
        self._stage = stage
        self._keeps_all = keeps_all
        self._held: dict[object, tuple[Result, float]] = {}

    async def __call__(self, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        """Return what the stage returns for the key, from memory if it did before."""
        if self.key not in self._held:
            if not self._keeps_all:
                self._held.clear()
            started = time.perf_counter()
            result = await self._stage(*args, **kwargs)
            took_ms = 1000 * (time.perf_counter() - started)
            self.spent_ms += took_ms
            self._held[self.key] = (result, took_ms)
        return self._held[self.key][0]

    def result(self) -> Result | None:
        """Return what is held for the key, None if the stage did not get that far."""
        held = self._held.get(self.key)
        return held[0] if held else None

    def ms(self) -> float:
        """Return what the result of the key took, 0 if there is none."""
        held = self._held.get(self.key)
        return held[1] if held else 0.0


class LastWeighed:
    """`weighed` of the latest key: candidates that differ in packing alone have the same hits.

    As in `Remembered`: key is set by who asks, spent_ms is what was spent since it was last set to 0.
    """

    def __init__(self) -> None:
        self.key: object = None
        self.spent_ms = 0.0
        self._held: tuple[object, Weighed, float] | None = None

    def __call__(self, standalone: str, ranked: Sequence[RankedHit]) -> Weighed:
        """Return it for the key, from memory if it was asked for before."""
        if self._held is None or self._held[0] != self.key:
            started = time.perf_counter()
            found = weighed(standalone, ranked)
            took_ms = 1000 * (time.perf_counter() - started)
            self.spent_ms += took_ms
            self._held = self.key, found, took_ms
        return self._held[1]

    def ms(self) -> float:
        """Return what the result of the key took, 0 if there is none: hits that are not relevant are not weighed."""
        return self._held[2] if self._held is not None and self._held[0] == self.key else 0.0


class SharedPipeline:
    """The serving pipeline; what comes before the choice of sentences runs once for a question and its search knobs."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._embed = Remembered(pipeline.embed, keeps_all=True)
        self._retrieve = Remembered(pipeline.retrieve)
        self._rerank = Remembered(pipeline.rerank)
        self._weighed = LastWeighed()
        self._pipeline = replace(
            pipeline,
            embed=self._embed,
            retrieve=self._retrieve,
            rerank=self._rerank,
            pack=Packer(pipeline.count_tokens, weigh=self._weighed),
        )

    async def context_for(self, question: Question, *, search: object) -> tuple[Context, float, int]:
        """Return the context, the ms it takes alone, and how many token vectors were compared.

        `search` stands for the question and every knob that decides its hits. Raises: as `Pipeline.context_for`.
        """
        stages = (self._embed, self._retrieve, self._rerank, self._weighed)
        self._embed.key, self._retrieve.key, self._rerank.key, self._weighed.key = question.text, search, search, search
        for stage in stages:
            stage.spent_ms = 0.0
        started = time.perf_counter()
        context = await self._pipeline.context_for(question, trace=Trace(request_id="tune"))
        took_ms = 1000 * (time.perf_counter() - started)
        retrieved = self._retrieve.result()
        vectors = sum(len(hit.tokens) for hit in retrieved.hits) if retrieved else 0
        return context, took_ms - sum(stage.spent_ms - stage.ms() for stage in stages), vectors


@dataclass(frozen=True, slots=True)
class Row:
    """One question with one candidate."""

    quality: float
    tokens: int
    vectors: int
    ms: float
    problem: str | None = None


class IndexedAsk:
    """Asks over indexes that it builds under `folder`, one for each index setting; the last one used stays open.

    Satisfies `Ask`; used as an async context. What a killed run has ingested is found again.
    """

    def __init__(self, workload: Workload, settings: Settings, *, space: Space, folder: Path, meter: Meter) -> None:
        self._workload = workload
        # Never a configured server: what is measured here must not land among what is served.
        self._settings = settings.model_copy(update={"qdrant_url": None})
        self._search_knobs = space.search_knobs()
        self._folder = folder
        self._meter = meter
        self._index: Candidate | None = None
        self._built: set[Candidate] = set()
        self._pipeline: SharedPipeline | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def __call__(self, candidates: Sequence[Candidate], queries: Sequence[Query], *, start: int) -> list[Trial]:
        """Return one trial for each candidate. Raises: `EvaluationError` if a document is not ingested."""
        pipeline = await self._opened(candidates[0].index())
        # The first decides how many hits a cross-encoder judges: as many as the largest budget needs.
        largest_first = sorted(candidates, key=lambda candidate: -candidate.number("context_tokens"))
        rows: dict[Candidate, list[Row]] = {candidate: [] for candidate in candidates}
        for query in queries:
            for candidate in largest_first:
                rows[candidate].append(await self._ask(pipeline, candidate, query))
            self._meter.asked(len(candidates))
        return [trial_of(candidate, found, start=start) for candidate, found in rows.items()]

    async def _opened(self, index: Candidate) -> SharedPipeline:
        if self._pipeline is None or index != self._index:
            await self._stack.aclose()
            self._pipeline = None
            settings = index.settings(self._settings).model_copy(update={"data_dir": self._folder / index.digest()})
            self._meter.opens(index.label())
            library, pipeline = await self._stack.enter_async_context(open_library(settings))
            if index not in self._built:
                await self._ingest(library, chunk_tokens=settings.chunk_tokens)
                self._built.add(index)
            self._index, self._pipeline = index, SharedPipeline(pipeline)
        return self._pipeline

    async def _ingest(self, library: Library, *, chunk_tokens: int) -> None:
        def show(progress: IngestProgress) -> None:
            self._meter.embedded(progress.chunks_done * chunk_tokens)

        dataset = self._workload.dataset
        for result in await library.ingest(TENANT, dataset.name, dataset.documents, progress=show):
            if result.error is not None:
                raise EvaluationError(f"document {result.id!r} was not ingested: {result.error.detail}")
        self._meter.indexed()

    async def _ask(self, pipeline: SharedPipeline, candidate: Candidate, query: Query) -> Row:
        collection, knobs = self._workload.dataset.name, candidate.knobs(self._settings)
        question = Question(text=query.text, tenant=TENANT, collection=collection, knobs=knobs)
        search = (query.id, candidate.of(self._search_knobs))
        return await row_of(pipeline, question, search=search, query=query, workload=self._workload)


class Contexts(Protocol):
    """What a row is made from: `SharedPipeline`."""

    async def context_for(self, question: Question, *, search: object) -> tuple[Context, float, int]:
        """Return the context, the ms it takes alone, and how many token vectors were compared."""


async def row_of(contexts: Contexts, question: Question, *, search: object, query: Query, workload: Workload) -> Row:
    """Return what came of one question; an error of ours is a problem that scores 0 and costs the whole budget."""
    try:
        context, ms, vectors = await contexts.context_for(question, search=search)
    except (RagoptError, IndexingError) as error:
        problem = f"question {query.id!r} with {question.knobs}: {error}"
        return Row(quality=0.0, tokens=question.knobs.context_tokens, vectors=0, ms=0.0, problem=problem)
    return Row(quality_of(context, query, workload), context.tokens, vectors, ms)


def quality_of(context: Context, query: Query, workload: Workload) -> float:
    """Return how much of what answers the question is in its context, in [0, 1].

    The share of the reference characters where the question has spans, else the share of the relevant
    documents of which anything is there.
    """
    reference = workload.dataset.references.get(query.id)
    if reference:
        wanted = spans_of((part.document_id, (part.start, part.end)) for part in reference)
        return overlap(sent_spans(context), wanted).recall()
    relevant = workload.relevant(query)
    return len({passage.document_id for passage in context.passages}.intersection(relevant)) / len(relevant)


def trial_of(candidate: Candidate, rows: Sequence[Row], *, start: int) -> Trial:
    """Return the rows of one candidate as a trial."""
    return Trial(
        candidate,
        start,
        quality=tuple(row.quality for row in rows),
        tokens=tuple(row.tokens for row in rows),
        vectors=tuple(row.vectors for row in rows),
        ms=tuple(row.ms for row in rows),
        problems=tuple(row.problem for row in rows if row.problem is not None),
    )
