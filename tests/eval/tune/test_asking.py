"""Asking through the real pipeline: what is shared between candidates changes nothing but the time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from eval.corpus import TENANT
from eval.datasets import Dataset, Query, Reference
from eval.tune.asking import IndexedAsk, LastWeighed, Remembered, quality_of, row_of
from eval.tune.meter import Meter
from eval.tune.questions import Workload
from eval.tune.trials import Trial
from indexes.errors import StoreUnavailable
from indexes.records import Document
from ragopt.config import Settings, load_settings
from ragopt.domain import Context, QueryKnobs, Question
from ragopt.pipeline import Pipeline
from ragopt.stages.pack import pack
from ragopt.telemetry import Trace
from ragopt.tokens import count_tokens
from ragopt.wiring import open_library
from tests import fakes
from tests.environment import environment
from tests.eval.tune.rows import candidate, space, workload

TEXTS = {
    "tides": "Tides rise and fall twice a day. The moon pulls the water. Spring tides come at full moon.",
    "bread": "Sourdough rises because yeast makes gas. A baker feeds the starter daily. Rye dough is sticky.",
    "bees": "A worker bee lives six weeks. The queen lays two thousand eggs a day. Bees dance to tell of flowers.",
}
QUESTIONS = {"When do spring tides come?": "tides", "Why does sourdough rise?": "bread", "How many eggs?": "bees"}
CANDIDATES = [candidate(top_k=20, context_tokens=budget) for budget in (15, 30, 200)]


def asked_of() -> Workload:
    documents = tuple(Document(name, text) for name, text in TEXTS.items())
    queries = tuple(Query(f"q{at}", text, "") for at, text in enumerate(QUESTIONS))
    qrels = {query.id: {QUESTIONS[query.text]: 1} for query in queries}
    return Workload(Dataset("topics", documents, queries, qrels, {}), derived=False)


def settings_in(folder: Path) -> Settings:
    with environment():
        return load_settings(data_dir=folder)


async def trials_in(folder: Path, settings: Settings) -> list[Trial]:
    found = asked_of()
    with Meter(corpus_chars=1000) as meter:
        async with IndexedAsk(found, settings, space=space(), folder=folder, meter=meter) as ask:
            first = await ask(CANDIDATES[:1], found.dataset.queries[:1], start=0)
            return [*first, *await ask(CANDIDATES, found.dataset.queries, start=1)]


async def contexts_of(pipeline: Pipeline, settings: Settings) -> list[list[Context]]:
    """Return what the service would pack, candidate by candidate."""
    return [
        [
            await pipeline.context_for(
                Question(query.text, TENANT, "topics", knobs=item.knobs(settings)), trace=Trace("r")
            )
            for query in asked_of().dataset.queries
        ]
        for item in CANDIDATES
    ]


def test_trials_hold_what_the_serving_pipeline_packs(tmp_path: Path) -> None:
    """Tokens and quality of each candidate are those of contexts that were asked for one by one."""
    settings = settings_in(tmp_path / "plain")

    async def run() -> tuple[list[Trial], list[list[Context]]]:
        trials = await trials_in(tmp_path / "index", settings)
        async with open_library(settings) as (library, pipeline):
            await library.ingest(TENANT, "topics", asked_of().dataset.documents)
            return trials, await contexts_of(pipeline, settings)

    trials, contexts = asyncio.run(run())
    queries = asked_of().dataset.queries
    assert [(trial.candidate, trial.start) for trial in trials] == [(CANDIDATES[0], 0), *((c, 1) for c in CANDIDATES)]
    for trial, found in zip(trials[1:], contexts, strict=True):
        assert trial.tokens == tuple(context.tokens for context in found)
        assert trial.quality == tuple(quality_of(*pair, asked_of()) for pair in zip(found, queries, strict=True))
        assert all(ms > 0 for ms in trial.ms)
        assert all(count > 0 for count in trial.vectors)
        assert trial.problems == ()
    assert trials[3].quality == (1.0, 1.0, 1.0)
    assert trials[1].vectors == trials[2].vectors == trials[3].vectors


class Down:
    """An index that does not answer."""

    async def context_for(self, question: Question, *, search: object) -> tuple[Context, float, int]:
        """Fail."""
        raise StoreUnavailable("the index is down")


def test_a_question_that_fails_scores_zero_and_costs_its_budget() -> None:
    """A crash is a row that counts as 0 and is said, never a missing row or a cheap one."""
    question = Question("q", TENANT, knobs=QueryKnobs(context_tokens=30))
    query = Query("q9", "q", "")
    row = asyncio.run(row_of(Down(), question, search=None, query=query, workload=asked_of()))
    assert (row.quality, row.tokens) == (0.0, 30)
    assert row.problem is not None
    assert row.problem.startswith("question 'q9' with ")
    assert row.problem.endswith("the index is down")


def test_a_remembered_stage_runs_once_for_each_key() -> None:
    """The same key returns what it returned; a new key forgets it unless everything is kept."""
    runs: list[int] = []

    async def stage(number: int, *, plus: int) -> int:
        runs.append(number)
        return number + plus

    async def run(remembered: Remembered[..., int]) -> list[int]:
        found = []
        for key in ("a", "a", "b", "a"):
            remembered.key = key
            found.append(await remembered(len(runs), plus=10))
        return found

    assert asyncio.run(run(Remembered(stage))) == [10, 10, 11, 12]
    runs.clear()
    assert asyncio.run(run(Remembered(stage, keeps_all=True))) == [10, 10, 11, 10]


def test_what_packing_makes_of_hits_is_made_once_for_each_key() -> None:
    """Packing over it is what packing alone gives; of a key that never got there, nothing was spent."""
    kept, ranked = LastWeighed(), [fakes.ranked_hit("The late fee is five dollars.")]
    kept.key = "a"
    first = kept("What is the late fee?", ranked)
    assert kept("What is the late fee?", ranked) is first
    knobs = QueryKnobs(context_tokens=20)
    alone = pack("What is the late fee?", ranked, knobs=knobs, count_tokens=count_tokens)
    assert pack("What is the late fee?", ranked, knobs=knobs, count_tokens=count_tokens, weigh=kept) == alone
    assert alone.passages
    assert kept.ms() == kept.spent_ms > 0
    kept.key = "b"
    assert kept.ms() == 0
    assert kept("What is the fee?", ranked) is not first


def test_a_stage_that_fails_is_not_remembered() -> None:
    """The error comes through, nothing is held, and the next call runs it again."""

    async def stage() -> int:
        raise StoreUnavailable("down")

    remembered = Remembered(stage)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            asyncio.run(remembered())
    assert remembered.result() is None
    assert remembered.ms() == 0


def test_quality_is_recall_of_spans_else_of_documents() -> None:
    """Half of the reference characters; one of two relevant documents."""
    found = workload(1)
    packed = replace(fakes.passage("ea is", n=1, start=1), document_id="tea")
    context = fakes.context_of(packed)
    query = found.dataset.queries[0]
    assert quality_of(context, query, found) == pytest.approx(2 / 3)
    by_document = replace(found.dataset, references={}, qrels={query.id: {"tea": 1, "ice": 2, "milk": 0}})
    assert quality_of(context, query, replace(found, dataset=by_document)) == 0.5
    twice = {query.id: (Reference("tea", 0, 3), Reference("tea", 1, 3))}
    assert quality_of(context, query, replace(found, dataset=replace(found.dataset, references=twice))) == 2 / 3
