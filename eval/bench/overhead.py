"""Our own part of an answer: what a caller waits for beyond retrieval and the model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import httpx
from tqdm import tqdm

from eval.bench.answer import TIMEOUT_S, checked, fill, taken
from eval.bench.service import clients_of
from eval.bench.stubbed import LABELS, Stubbed, StubCall, stubbed_service
from eval.bench.texts import BenchTexts
from eval.errors import BenchError
from eval.intervals import Interval, bootstrap, exact, percentile_of
from eval.report import ConfigValue, Report

CHUNKS = 10
REQUESTS = 800
WARM_UP = 100
PERCENTS = (50, 95, 99)
# Every stage of the search; what they run in parallel inside `retrieve` is a part of it.
RETRIEVAL = ("embed", "retrieve", "rerank", "pack")
# Not stages: how the stages add up to the whole.
SUMS = ("overlap", "other", "total")


@dataclass(frozen=True, slots=True)
class Level:
    """How many callers ask at once, and the milliseconds before the first byte of the stub."""

    concurrency: int
    delay_ms: int = 0

    def __str__(self) -> str:
        """Return the name that its metrics have."""
        return f"{self.concurrency}+{self.delay_ms}ms" if self.delay_ms else str(self.concurrency)


# Callers of a stub that answers at once ask as fast as the service can; a model's first byte takes about half a second.
LEVELS = (Level(1), Level(16), Level(16, delay_ms=500))


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer: milliseconds as the client saw them, the service's timings, and what its model calls took."""

    ms: float
    timings_ms: dict[str, float]
    calls: Sequence[StubCall]

    @property
    def stub_ms(self) -> float:
        """Return the time of the stub alone."""
        return sum(call.ended_ms for call in self.calls)

    @property
    def retrieval_ms(self) -> float:
        """Return the time of the retrieval stages, which run one after another."""
        return sum(self.timings_ms.get(stage, 0.0) for stage in RETRIEVAL)

    @property
    def overhead_ms(self) -> float:
        """Return what is left of the client's time."""
        return self.ms - self.stub_ms - self.retrieval_ms


def bench_overhead(texts: BenchTexts) -> Report:
    """Return our own milliseconds per `/answer` at each concurrency, one worker, on a collection of ten chunks.

    Switched on: key check, limits, budgets, ledger, routing with its cascade, citation checks, the response cache,
    which misses, and savings. Client, service and stub share the machine. Beside the times: what an answer takes of
    the processor, all threads of the service together, and its event loop alone. Over generated text whatever is
    given: the first ten chunks of other documents answer hardly a question, and then no model is called.
    Raises: `BenchError`.
    """
    few = BenchTexts.of(None, chunks=CHUNKS, seed=texts.seed)
    config: dict[str, ConfigValue] = {"model": "stub", "cache": "on", "workers": 1}
    metrics: dict[str, Interval] = {}
    for delay_ms, levels in groupby(LEVELS, key=lambda level: level.delay_ms):
        with stubbed_service(delay_ms=delay_ms) as stubbed:
            config["chunks"], found = asyncio.run(measured(stubbed, few, tuple(levels)))
        metrics |= found
    return Report("bench.overhead", few.name, REQUESTS, few.seed, config, metrics)


async def measured(stubbed: Stubbed, texts: BenchTexts, levels: Sequence[Level]) -> tuple[int, dict[str, Interval]]:
    """Return the chunks of a running service and its metrics: fill it, warm it, then ask."""
    most = max(level.concurrency for level in levels)
    async with clients_of(stubbed.service, most, timeout_s=TIMEOUT_S) as clients:
        chunks = await fill(clients[0], texts)
        questions = texts.questions()
        await answered(clients, taken(questions, WARM_UP))
        metrics: dict[str, Interval] = {}
        for level in levels:
            metrics |= await measured_at(level, clients, questions, stubbed=stubbed, seed=texts.seed)
    return chunks, metrics


async def measured_at(
    level: Level, clients: Sequence[httpx.AsyncClient], questions: Iterator[str], *, stubbed: Stubbed, seed: int
) -> dict[str, Interval]:
    """Return the metrics of one level, over questions that were not asked before."""
    asked = taken(questions, REQUESTS)
    processor_s, loop_s = stubbed.processor_s(), stubbed.loop_s()
    replies = await answered(clients[: level.concurrency], asked)
    processor_ms = 1000 * (stubbed.processor_s() - processor_s) / len(asked)
    loop_ms = 1000 * (stubbed.loop_s() - loop_s) / len(asked)
    calls = await asyncio.to_thread(stubbed.calls)
    missing = [question for question in asked if question not in calls]
    if missing:
        raise BenchError(f"{len(missing)} questions never reached the stub, {missing[0]!r} among them")
    rows = [Answered(ms, timings, calls[question]) for question, ms, timings in replies]
    metrics = {
        f"overhead@{level}.p{percent}_ms": percentile([row.overhead_ms for row in rows], percent, seed=seed)
        for percent in PERCENTS
    }
    metrics |= {
        f"{part}@{level}.p50_ms": percentile([getattr(row, f"{part}_ms") for row in rows], 50, seed=seed)
        for part in ("stub", "retrieval")
    }
    metrics |= {f"processor@{level}.ms": exact(processor_ms), f"loop@{level}.ms": exact(loop_ms)}
    return metrics | (stage_metrics(rows, seed=seed) if level.concurrency == 1 else {})


async def answered(
    clients: Sequence[httpx.AsyncClient], questions: Sequence[str]
) -> list[tuple[str, float, dict[str, float]]]:
    """Return of each question its milliseconds and the service's timings. Raises: `BenchError` if one fails."""
    waiting = iter(tqdm(questions, desc=f"overhead, {len(clients)} at once"))
    rows: list[tuple[str, float, dict[str, float]]] = []

    async def caller(client: httpx.AsyncClient) -> None:
        for question in waiting:
            started = time.perf_counter()
            response = checked(await client.post("/answer", json={"question": question, "labels": LABELS}))
            rows.append((question, 1000 * (time.perf_counter() - started), response.json()["timings_ms"]))

    await asyncio.gather(*map(caller, clients))
    return rows


def stage_metrics(rows: Sequence[Answered], *, seed: int) -> dict[str, Interval]:
    """Return the median milliseconds of each stage as the service reports them, in path order."""
    names = dict.fromkeys(name for row in rows for name in row.timings_ms)
    return {
        f"stage_ms.{name}": percentile([row.timings_ms.get(name, 0.0) for row in rows], 50, seed=seed) for name in names
    }


def percentile(values: Sequence[float], percent: float, *, seed: int) -> Interval:
    """Return a percentile with its interval."""
    return bootstrap(values, seed=seed, statistic=percentile_of(percent))
