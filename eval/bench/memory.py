"""How much memory the service takes: after its start, after an ingest, after questions."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from eval.bench.answer import QUESTIONS_A_ROUND, TIMEOUT_S, ask_all, fill, taken
from eval.bench.service import RunningService, running_service
from eval.bench.texts import BenchTexts
from eval.intervals import Interval, bootstrap
from eval.report import Report
from eval.resident import Resident, resident

ROUNDS = 3
CONCURRENCY = 8


@dataclass(frozen=True, slots=True)
class Footprint:
    """The memory of one service process over its life, and how many chunks it held at the end."""

    started: Resident
    filled: Resident
    asked: Resident
    chunks: int


def bench_memory(texts: BenchTexts) -> Report:
    """Return the resident MiB of the service process, over `ROUNDS` new ones.

    The private Redis is a process of its own and not counted. Raises: `BenchError`.
    """
    return report_of([footprint(texts) for _ in range(ROUNDS)], texts)


def footprint(texts: BenchTexts) -> Footprint:
    """Return the memory of a new service: ready, with its chunks, and after its first questions."""
    with tempfile.TemporaryDirectory(prefix="ragopt-bench-") as name:
        folder = Path(name)
        with running_service(folder, data_dir=folder / "data") as service:
            return asyncio.run(watched(service, texts))


async def watched(service: RunningService, texts: BenchTexts) -> Footprint:
    """Return the memory of a running service that holds nothing yet, while it is filled and asked."""
    started = resident(service.pid)
    async with httpx.AsyncClient(base_url=service.url, headers=service.headers(), timeout=TIMEOUT_S) as client:
        chunks = await fill(client, texts)
        filled = resident(service.pid)
        questions = taken(texts.questions(), QUESTIONS_A_ROUND)
        await ask_all(client, "answer", questions, concurrency=CONCURRENCY)
    return Footprint(started, filled, resident(service.pid), chunks)


def report_of(rounds: Sequence[Footprint], texts: BenchTexts) -> Report:
    """Return `rss_mib.<when>` and `anonymous_mib.<when>`: all that is resident, and without mapped files."""
    metrics: dict[str, Interval] = {}
    for when in ("started", "filled", "asked"):
        seen: list[Resident] = [getattr(one, when) for one in rounds]
        metrics[f"rss_mib.{when}"] = bootstrap([one.mib() for one in seen], seed=texts.seed)
        metrics[f"anonymous_mib.{when}"] = bootstrap([one.anonymous_mib() for one in seen], seed=texts.seed)
    config = {"chunks": rounds[0].chunks, "questions": QUESTIONS_A_ROUND}
    return Report("bench.memory", texts.name, len(rounds), texts.seed, config, metrics)
