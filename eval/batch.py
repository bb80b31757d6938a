"""`python -m eval batch`: the same questions live and in a batch, and what each of the two cost.

Everything is the service's own: Redis, the index, the path, the batch lane. The provider is the stub on a socket.
"""

from __future__ import annotations

import asyncio
import math
import random
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import numpy as np

from eval.configuration import AS_CONFIGURED, configured
from eval.corpus import TENANT, ingest
from eval.datasets import Dataset, read_dataset
from eval.errors import BenchError
from eval.intervals import RESAMPLES, Interval, exact
from eval.report import ConfigValue, Report
from eval.stub import StubOptions, StubServer, serve_in_thread
from ragopt.batches.runner import BatchRunner
from ragopt.config import Settings
from ragopt.domain import Answer, Question
from ragopt.events import Finished
from ragopt.money.ledger import nano_above, usd
from ragopt.pipeline import answer_id
from ragopt.settings.batch import BatchSettings
from ragopt.settings.models import ModelSettings
from ragopt.settings.money import BudgetSettings
from ragopt.state.batch_records import BatchInfo, BatchItem, BatchResult, Terms
from ragopt.telemetry import Trace
from ragopt.wiring import Service, open_service

AT_ONCE = 8
WAIT_S = 1_800.0
# Large enough that it never refuses, so that what it counted is what was spent.
BUDGET_USD = Decimal(1_000)
# The stub takes as long as it is told to; providers take up to a day.
NEVER_S = 100_000.0
DEADLINE_QUESTIONS = 100
WRITTEN_S = 10.0
RULES = BatchSettings(poll_s=0.2, poll_max_s=2, live_s=1)


@dataclass(frozen=True, slots=True)
class BatchJob:
    """What to ask: `limit` questions of the set, a share `repeats` of them once more, and how long a deadline is."""

    limit: int | None = 1_000
    repeats: float = 0.1
    deadline_s: float = 30.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Ran:
    """One batch that has ended, and its results in the order of the requests; how many came before its deadline."""

    info: BatchInfo
    results: Sequence[BatchResult]
    in_time: int


@dataclass(frozen=True, slots=True)
class Compared:
    """The same questions asked both ways. first: the places of those that repeat no earlier one."""

    live: Sequence[Answer]
    batch: Ran
    first: Sequence[int]
    asked: int
    facts: Mapping[str, float] = field(default_factory=dict)


async def measure(folder: Path, job: BatchJob) -> Report:
    """Return the report of one set. Raises: `DatasetError`, `BenchError`."""
    dataset = read_dataset(folder)
    with serve_in_thread(StubOptions(batch_s=1)) as stub:
        async with opened(dataset, stub) as service:
            questions, first = drawn(dataset, service, job)
            compared = await both_ways(service, stub, questions, first=first)
            missed = await missed_deadline(service, stub, questions[:DEADLINE_QUESTIONS], deadline_s=job.deadline_s)
    return report_of(dataset, job, compared, missed=missed)


@asynccontextmanager
async def opened(dataset: Dataset, stub: StubServer) -> AsyncIterator[Service]:
    """Yield a service with the set ingested, whose models are at the stub."""
    with tempfile.TemporaryDirectory(prefix="ragopt-batch-") as folder:
        settings = at_stub(configured(Path(folder), AS_CONFIGURED), stub)
        async with open_service(settings) as service:
            await ingest(service.library, dataset)
            yield service


def at_stub(settings: Settings, stub: StubServer) -> Settings:
    """Return the settings with a cheap and a strong model of both providers at the stub, and a budget that counts."""
    models = (
        ModelSettings(name="cheap", provider="openai", model="gpt-4o-mini", base_url=stub.openai_url),
        ModelSettings(
            name="strong",
            provider="anthropic",
            model="claude-sonnet-4-5",
            tier="complex",
            base_url=stub.anthropic_url,
        ),
    )
    budget = BudgetSettings(scope="tenant", usd_per_month=BUDGET_USD)
    changed = {"models": models, "budgets": (budget,), "batch": RULES, "redis_url": None}
    return settings.model_copy(update=changed)


def drawn(dataset: Dataset, service: Service, job: BatchJob) -> tuple[list[Question], list[int]]:
    """Return the questions, some of them twice, in an order drawn at random; and the places of the first of each."""
    texts = list(dict.fromkeys(query.text for query in dataset.queries))[: job.limit]
    draw = random.Random(job.seed)  # noqa: S311
    asked = texts + draw.sample(texts, round(job.repeats * len(texts)))
    draw.shuffle(asked)
    seen: dict[str, int] = {}
    for place, text in enumerate(asked):
        seen.setdefault(text, place)
    return [question(text, dataset.name, service) for text in asked], sorted(seen.values())


def question(text: str, collection: str, service: Service) -> Question:
    """Return a question that leaves the response cache alone: both ways ask everything."""
    return Question(text, TENANT, collection, knobs=service.settings.knobs(), cache="off", answer_id=answer_id())


async def both_ways(service: Service, stub: StubServer, questions: Sequence[Question], *, first: list[int]) -> Compared:
    """Return the answers of both ways, live first, and what the books say of the batch."""
    live = await answered_live(service, questions)
    before = await books(service, questions[0])
    asked = len(stub.state.asked_in_batches)
    ran = await run_batch(service, [replace(item, answer_id=answer_id()) for item in questions])
    after = await books(service, questions[0])
    facts = {
        "spent": float(usd(after.spent_nano - before.spent_nano)),
        "held": float(usd(after.held_nano)),
        "billed": float(usd(after.billed_nano - before.billed_nano)),
    }
    return Compared(live, ran, first, len(stub.state.asked_in_batches) - asked, facts)


@dataclass(frozen=True, slots=True)
class Books:
    """What the budgets of a question count as spent and hold, and what all calls in the ledger cost; nano-USD."""

    spent_nano: int
    held_nano: int
    billed_nano: int


async def books(service: Service, asked: Question) -> Books:
    """Return the books once all that was spent is written down. Raises: `BenchError` if Redis does not take it."""
    if not await service.accounts.outbox.flush(within_s=WRITTEN_S):
        raise BenchError("Redis has not taken what was spent")
    standing = await service.accounts.meter.standing(asked)
    rows = await service.accounts.ledger.rows(limit=100_000)
    return Books(
        sum(item.spent_nano for item in standing),
        sum(item.held_nano for item in standing),
        sum(nano_above(Decimal(str(row["cost_usd"]))) for row in rows),
    )


async def answered_live(service: Service, questions: Sequence[Question]) -> list[Answer]:
    """Return the answers of live questions, several at once. Raises: `BenchError` if one does not end."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(asked: Question) -> Answer:
        async with places:
            async for event in service.pipeline.answer(asked, trace=Trace(asked.answer_id)):
                if isinstance(event, Finished):
                    return event.answer
        raise BenchError("a live answer ended without its end")

    return list(await asyncio.gather(*(one(item) for item in questions)))


async def run_batch(service: Service, questions: Sequence[Question], *, deadline_s: float | None = None) -> Ran:
    """Return a batch of the questions once it is closed. Raises: `BenchError` if it takes too long."""
    store = service.batches.store
    now = store.now()
    deadline_at = None if deadline_s is None else now + deadline_s
    terms = Terms(TENANT, questions[0].collection, now, deadline_at, live=True, total=len(questions))
    batch_id, _ = await store.create(terms, [BatchItem(str(n), item) for n, item in enumerate(questions)])
    in_time = 0
    async with BatchRunner(service.batches):
        while (info := await store.info(batch_id)).ended_at is None:
            in_time = info.finished if deadline_at is None or store.now() <= deadline_at else in_time
            await asyncio.sleep(0.1)
            if store.now() > now + WAIT_S:
                raise BenchError(f"the batch has not ended after {WAIT_S:g} s")
    if info.ended_at <= (deadline_at or math.inf):
        in_time = info.finished
    results = [result async for result in store.results(batch_id, total=len(questions))]
    return Ran(info, results, in_time)


async def missed_deadline(
    service: Service, stub: StubServer, questions: Sequence[Question], *, deadline_s: float
) -> float:
    """Return the share of requests without an answer by a deadline that the provider is far too slow for."""
    stub.state.options = replace(stub.state.options, batch_s=NEVER_S)
    ran = await run_batch(service, [replace(item, answer_id=answer_id()) for item in questions], deadline_s=deadline_s)
    return 1 - ran.in_time / len(questions)


def report_of(dataset: Dataset, job: BatchJob, compared: Compared, *, missed: float) -> Report:
    """Return the report; what must not happen and did is among its failures."""
    batch = compared.batch
    pairs = [(compared.live[at], batch.results[at].answer) for at in compared.first]
    costs = [(cost_of(live), cost_of(late)) for live, late in pairs]
    repeats = len(compared.live) - len(compared.first)
    whole_live = sum(cost_of(answer) for answer in compared.live)
    counts = batch.info.counts
    same = sum(late is not None and late.text == live.text for live, late in pairs)
    facts = compared.facts
    metrics = {
        "cost_ratio": ratio_of(costs, seed=job.seed),
        "cost_ratio_with_repeats": exact(float(usd(batch.info.cost_nano)) / whole_live),
        "cost_live_usd": exact(whole_live),
        "cost_batch_usd": exact(float(usd(batch.info.cost_nano))),
        "budget_checked": exact(facts["spent"] / facts["billed"]),
        "held_at_end_usd": exact(facts["held"]),
        "repeats_collapsed": exact(counts["duplicate"] / repeats if repeats else 1.0),
        "calls_in_batches": exact(compared.asked),
        "served_by_batch": exact(counts["batch"] / len(compared.first)),
        "asked_live": exact(counts["live"]),
        "failed": exact(counts["none"]),
        "same_text_as_live": exact(same / len(pairs)),
        "deadline_missed": exact(missed),
    }
    config: dict[str, ConfigValue] = {
        "repeats": job.repeats,
        "deadline_s": job.deadline_s,
        "provider": "stub",
        "distinct": len(pairs),
    }
    return Report("batch", dataset.name, len(compared.live), job.seed, config, metrics, failures=problems_of(metrics))


def problems_of(metrics: Mapping[str, Interval]) -> tuple[str, ...]:
    """Return what must not happen and did, in sentences."""
    value = {name: interval.value for name, interval in metrics.items()}
    checks = {
        "a batch costs more than 0.52 of the live answers": value["cost_ratio"] > 0.52,
        "what was billed is not what the budget counted": abs(value["budget_checked"] - 1) > 1e-9,
        "money is still held": value["held_at_end_usd"] > 0,
        "repeated questions were asked again": value["repeats_collapsed"] < 1,
        "requests failed": value["failed"] > 0,
        "a deadline was missed": value["deadline_missed"] > 0.001,
    }
    return tuple(problem for problem, happened in checks.items() if happened)


def cost_of(answer: Answer | None) -> float:
    """Return what an answer cost in USD. Raises: `BenchError` where that is not known."""
    if answer is None or answer.usage.cost_usd is None:
        raise BenchError("an answer has no cost")
    return float(answer.usage.cost_usd)


def ratio_of(costs: Sequence[tuple[float, float]], *, seed: int) -> Interval:
    """Return the second sum over the first, with its 95 % percentile interval over resampled pairs."""
    pairs = np.asarray(costs, np.float64)
    draw = np.random.default_rng(seed)
    places = draw.integers(0, len(pairs), (RESAMPLES, len(pairs)))
    sums = pairs[places].sum(axis=1)
    low, high = np.percentile(sums[:, 1] / sums[:, 0], [2.5, 97.5])
    live, late = pairs.sum(axis=0)
    return Interval(float(late / live), float(low), float(high))
