"""What many callers at once get from the service, and what it does with more than it admits."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from tqdm import tqdm

from eval.bench.answer import TIMEOUT_S, fill, taken
from eval.bench.service import RunningService, clients_of, running_service
from eval.bench.texts import BenchTexts
from eval.intervals import Interval, bootstrap, exact, percentile_of
from eval.report import ConfigValue, Report

CALLERS = (1, 4, 16, 32, 64)
# The service's own defaults, given to it so that no variable of this machine changes what is measured.
PERMITS, QUEUE_WAIT_S = 64, 1
REQUESTS = 200
REQUESTS_A_CALLER = 8
WARM_UP = 20
# The rate of each part of a run is one sample of the throughput.
PARTS = 10
OVERLOAD_S = 15.0
# Over when so many requests in a row take at most so many times the median of one caller alone.
CALM_REQUESTS = 5
CALM_FACTOR = 2.0
RECOVERY_LIMIT_S = 60.0
OK, SHED, BROKEN = httpx.codes.OK, httpx.codes.SERVICE_UNAVAILABLE, 0


@dataclass(frozen=True, slots=True)
class Load:
    """How hard to press: callers at once, requests of a level, and for how long twice the permits."""

    callers: tuple[int, ...] = CALLERS
    requests: int = REQUESTS
    permits: int = PERMITS
    overload_s: float = OVERLOAD_S
    calm_factor: float = CALM_FACTOR


@dataclass(frozen=True, slots=True)
class Reply:
    """One request: its status (0 if the connection broke), milliseconds, and when it ended, by the clock of `time`."""

    status: int
    ms: float
    ended: float


def bench_concurrency(texts: BenchTexts) -> Report:
    """Return throughput and latency of extractive `/answer` at each concurrency, and of twice what is admitted.

    Client and service share the machine. Nothing is cached. Raises: `BenchError` if the service fails.
    """
    settings = {"RAGOPT_MAX_CONCURRENT_REQUESTS": str(PERMITS), "RAGOPT_QUEUE_WAIT_S": str(QUEUE_WAIT_S)}
    with tempfile.TemporaryDirectory(prefix="ragopt-bench-") as name:
        folder = Path(name)
        with running_service(folder, data_dir=folder / "data", settings=settings) as service:
            return asyncio.run(measured(service, texts, Load()))


async def measured(service: RunningService, texts: BenchTexts, load: Load) -> Report:
    """Return the report of a running service: fill it, warm it, press harder and harder, then too hard."""
    async with clients_of(service, 2 * load.permits, timeout_s=TIMEOUT_S) as clients:
        chunks = await fill(clients[0], texts)
        questions = texts.questions()
        await pressed(clients[:1], taken(questions, WARM_UP))
        metrics: dict[str, Interval] = {}
        for callers in load.callers:
            count = max(load.requests, REQUESTS_A_CALLER * callers)
            replies = await pressed(clients[:callers], taken(questions, count))
            metrics |= level_metrics(replies, callers=callers, seed=texts.seed)
        calm_ms = load.calm_factor * metrics[f"answer@{load.callers[0]}.p50_ms"].value
        metrics |= await overload_metrics(clients, questions, load, calm_ms=calm_ms)
    config: dict[str, ConfigValue] = {
        "chunks": chunks,
        "model": "extractive",
        "cache": "off",
        "permits": load.permits,
        "queue_wait_s": QUEUE_WAIT_S,
    }
    return Report("bench.concurrency", texts.name, load.requests, texts.seed, config, metrics)


async def pressed(clients: Sequence[httpx.AsyncClient], questions: Sequence[str]) -> list[Reply]:
    """Return the replies in the order they came; each client has one request under way at any time."""
    waiting = iter(tqdm(questions, desc=f"answer, {len(clients)} at once"))
    return await called(clients, waiting, until=float("inf"))


async def called(clients: Sequence[httpx.AsyncClient], questions: Iterator[str], *, until: float) -> list[Reply]:
    """Return the replies to all questions, or to those that were begun before `until`, in the order they came."""
    replies: list[Reply] = []

    async def call(client: httpx.AsyncClient) -> None:
        while time.perf_counter() < until and (question := next(questions, None)) is not None:
            replies.append(await attempt(client, question))

    await asyncio.gather(*map(call, clients))
    return replies


async def attempt(client: httpx.AsyncClient, question: str) -> Reply:
    """Return how one `/answer` went, whatever its status."""
    started = time.perf_counter()
    try:
        response = await client.post("/answer", json={"question": question, "cache": "off"})
        status = response.status_code
    except httpx.HTTPError:
        status = BROKEN
    ended = time.perf_counter()
    return Reply(status, 1000 * (ended - started), ended)


def level_metrics(replies: Sequence[Reply], *, callers: int, seed: int) -> dict[str, Interval]:
    """Return requests per second, percentiles of milliseconds, and counts of 503 and of other failures.

    Milliseconds are of the answered requests; without any they are left out.
    """
    at = f"answer@{callers}"
    answered = [reply.ms for reply in replies if reply.status == OK]
    metrics: dict[str, Interval] = {}
    if answered:
        metrics[f"{at}.per_s"] = bootstrap(rates(replies), seed=seed)
    for percent in (50, 95, 99) if answered else ():
        metrics[f"{at}.p{percent}_ms"] = bootstrap(answered, seed=seed, statistic=percentile_of(percent))
    counts = Counter(reply.status for reply in replies)
    metrics[f"{at}.shed"] = exact(counts[SHED])
    metrics[f"{at}.errors"] = exact(len(replies) - counts[OK] - counts[SHED])
    return metrics


def rates(replies: Sequence[Reply]) -> list[float]:
    """Return answers per second in each of `PARTS` parts of about as many replies; fewer parts for few replies."""
    parts = np.array_split(np.arange(len(replies)), min(PARTS, len(replies)))
    began = replies[0].ended - replies[0].ms / 1000
    result: list[float] = []
    for part in parts:
        ended = replies[int(part[-1])].ended
        answered = sum(replies[int(at)].status == OK for at in part)
        result.append(answered / max(ended - began, 1e-9))
        began = ended
    return result


async def overload_metrics(
    clients: Sequence[httpx.AsyncClient], questions: Iterator[str], load: Load, *, calm_ms: float
) -> dict[str, Interval]:
    """Return what became of the requests of twice as many callers as are admitted, and how soon it was over.

    A caller that is refused asks again at once. recovery_s: from the last reply of the overload until
    `CALM_REQUESTS` in a row took at most `calm_ms`, those included; `RECOVERY_LIMIT_S` if they never did.
    """
    until = time.perf_counter() + load.overload_s
    replies = await called(clients, questions, until=until)
    counts = Counter(reply.status for reply in replies)
    answered = [reply.ms for reply in replies if reply.status == OK]
    metrics = {
        "overload.callers": exact(len(clients)),
        "overload.requests": exact(len(replies)),
        "overload.answered": exact(counts[OK]),
        "overload.shed": exact(counts[SHED]),
        "overload.errors": exact(len(replies) - counts[OK] - counts[SHED]),
    }
    refused = [reply.ms for reply in replies if reply.status == SHED]
    for name, milliseconds in (("", answered), ("refusal_", refused)):
        for percent in (50, 95) if milliseconds else ():
            interval = bootstrap(milliseconds, seed=0, statistic=percentile_of(percent))
            metrics[f"overload.{name}p{percent}_ms"] = interval
    return metrics | {"overload.recovery_s": exact(await recovery_s(clients[0], questions, calm_ms=calm_ms))}


async def recovery_s(client: httpx.AsyncClient, questions: Iterator[str], *, calm_ms: float) -> float:
    """Return the seconds until one caller alone is served as fast as before."""
    started = time.perf_counter()
    calm = 0
    while calm < CALM_REQUESTS and time.perf_counter() - started < RECOVERY_LIMIT_S:
        reply = await attempt(client, next(questions))
        calm = calm + 1 if reply.status == OK and reply.ms <= calm_ms else 0
    return min(time.perf_counter() - started, RECOVERY_LIMIT_S)
