"""How long an answer takes over HTTP, from the real service, stage by stage."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, TypeAlias

import httpx
from tqdm import tqdm

from eval.bench.service import RunningService, running_service
from eval.bench.texts import BenchTexts
from eval.errors import BenchError
from eval.intervals import Interval, bootstrap, exact, percentile_of
from eval.report import ConfigValue, Report
from indexes.records import Document

Endpoint: TypeAlias = Literal["context", "answer"]
ENDPOINTS: tuple[Endpoint, ...] = ("context", "answer")

WARM_UP = 10
ROUNDS = 5
QUESTIONS_A_ROUND = 40
CONCURRENCY = (1, 8)
TIMEOUT_S = 600.0
BATCH_CHARS = 500_000
# About what fills a chunk of 100 tokens.
CHUNK_CHARS = 400
# Not stages: how the stages add up to the whole.
SUMS = ("overlap", "other", "total")


@dataclass(frozen=True, slots=True)
class Timed:
    """One request: milliseconds as the client saw them, the tokens it packed, and the service's own timings."""

    ms: float
    context_tokens: int
    timings_ms: dict[str, float]

    def gap_ms(self) -> float:
        """Return by how much stages - overlap + other misses total."""
        stages = sum(ms for name, ms in self.timings_ms.items() if name not in SUMS)
        explained = stages - self.timings_ms["overlap"] + self.timings_ms["other"]
        return abs(explained - self.timings_ms["total"])


def bench_answer(texts: BenchTexts) -> Report:
    """Return milliseconds and requests per second of /context and of extractive /answer, nothing cached.

    The index holds at least `texts.chunks` chunks. Raises: `BenchError` if the service fails.
    """
    with tempfile.TemporaryDirectory(prefix="ragopt-bench-") as name:
        folder = Path(name)
        with running_service(folder, data_dir=folder / "data") as service:
            return asyncio.run(measured(service, texts))


async def measured(service: RunningService, texts: BenchTexts) -> Report:
    """Return the report of a running service: fill it, warm it, then ask every question once."""
    limits = httpx.Limits(max_connections=max(CONCURRENCY), max_keepalive_connections=max(CONCURRENCY))
    async with httpx.AsyncClient(
        base_url=service.url, headers=service.headers(), timeout=TIMEOUT_S, limits=limits
    ) as client:
        chunks = await fill(client, texts)
        questions = texts.questions()
        metrics: dict[str, Interval] = {}
        for endpoint in ENDPOINTS:
            await ask_all(client, endpoint, taken(questions, WARM_UP), concurrency=1)
            for concurrency in CONCURRENCY:
                metrics |= await timed(client, endpoint, questions, concurrency=concurrency, seed=texts.seed)
    config: dict[str, ConfigValue] = {"chunks": chunks, "model": "extractive", "cache": "off"}
    return Report("bench.answer", texts.name, ROUNDS * QUESTIONS_A_ROUND, texts.seed, config, metrics)


async def fill(client: httpx.AsyncClient, texts: BenchTexts) -> int:
    """Ingest documents until the service has enough chunks; return how many it has. Raises: `BenchError`."""
    chunks = 0
    documents = texts.documents()
    with tqdm(desc="ingest", unit="chunk", total=texts.chunks) as bar:
        while chunks < texts.chunks:
            batch = batch_of(documents, chunks=texts.chunks - chunks)
            made = chunks_made(checked(await client.post("/ingest", json={"documents": batch, "wait": True})))
            chunks += made
            bar.update(made)
    return chunks


def chunks_made(response: httpx.Response) -> int:
    """Return how many chunks an ingest made. Raises: `BenchError` naming the first document that failed."""
    documents = response.json()["documents"]
    for document in documents:
        if document["error"] is not None:
            raise BenchError(f"document {document['id']!r} was not ingested: {document['error']}")
    return sum(int(document["chunks"]) for document in documents)


def batch_of(documents: Iterator[Document], *, chunks: int) -> list[dict[str, str]]:
    """Return the next documents in wire form: about `chunks` chunks, and about half a megabyte at most."""
    wanted = min(chunks * CHUNK_CHARS, BATCH_CHARS)
    batch: list[dict[str, str]] = []
    filled = 0
    while filled < wanted:
        document = next(documents)
        batch.append({"id": document.id, "title": document.title, "text": document.text})
        filled += len(document.text)
    return batch


async def timed(
    client: httpx.AsyncClient, endpoint: Endpoint, questions: Iterator[str], *, concurrency: int, seed: int
) -> dict[str, Interval]:
    """Return the metrics of one endpoint at one concurrency, over questions that were not asked before.

    Stages are timed at concurrency 1 only, where no request waits for another.
    """
    requests: list[Timed] = []
    rates: list[float] = []
    for _ in tqdm(range(ROUNDS), desc=f"{endpoint}, {concurrency} at once"):
        asked = taken(questions, QUESTIONS_A_ROUND)
        started = time.perf_counter()
        requests += await ask_all(client, endpoint, asked, concurrency=concurrency)
        rates.append(len(asked) / (time.perf_counter() - started))
    milliseconds = [request.ms for request in requests]
    at = f"{endpoint}@{concurrency}"
    metrics = {
        f"{at}.p50_ms": bootstrap(milliseconds, seed=seed, statistic=percentile_of(50)),
        f"{at}.p95_ms": bootstrap(milliseconds, seed=seed, statistic=percentile_of(95)),
        f"{at}.per_s": bootstrap(rates, seed=seed),
        f"{at}.context_tokens": bootstrap([float(request.context_tokens) for request in requests], seed=seed),
        f"{at}.sum_gap_ms": exact(max(request.gap_ms() for request in requests)),
    }
    return metrics | (stage_metrics(requests, endpoint, seed=seed) if concurrency == 1 else {})


def stage_metrics(requests: Sequence[Timed], endpoint: Endpoint, *, seed: int) -> dict[str, Interval]:
    """Return the median milliseconds of each stage as the service reports them, in path order."""
    names = dict.fromkeys(name for request in requests for name in request.timings_ms)
    return {
        f"{endpoint}.stage_ms.{name}": bootstrap(
            [request.timings_ms.get(name, 0.0) for request in requests], seed=seed, statistic=percentile_of(50)
        )
        for name in names
    }


def taken(questions: Iterator[str], count: int) -> list[str]:
    """Return the next `count` questions."""
    return list(islice(questions, count))


async def ask_all(
    client: httpx.AsyncClient, endpoint: Endpoint, questions: Sequence[str], *, concurrency: int
) -> list[Timed]:
    """Return one `Timed` per question, `concurrency` of them under way at any time."""
    waiting = list(questions)
    done: list[Timed] = []

    async def work() -> None:
        while waiting:
            done.append(await ask(client, endpoint, waiting.pop()))

    await asyncio.gather(*(work() for _ in range(concurrency)))
    return done


async def ask(client: httpx.AsyncClient, endpoint: Endpoint, question: str) -> Timed:
    """Return how one request went. Raises: `BenchError` unless it is answered with 200."""
    body = {"question": question} | ({"cache": "off"} if endpoint == "answer" else {})
    started = time.perf_counter()
    response = checked(await client.post(f"/{endpoint}", json=body))
    seconds = time.perf_counter() - started
    fields = response.json()
    context = fields["context"] if endpoint == "answer" else fields
    return Timed(1000 * seconds, context["tokens"], fields["timings_ms"])


def checked(response: httpx.Response) -> httpx.Response:
    """Return the response. Raises: `BenchError` with what it says if its status is not 200."""
    if response.status_code != httpx.codes.OK:
        raise BenchError(f"{response.request.url.path}: {response.status_code}: {response.text[:200]}")
    return response
