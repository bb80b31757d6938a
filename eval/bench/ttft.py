"""How long a caller who reads along waits for the first word, and whose part of it is whose."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import httpx
from tqdm import tqdm

from eval.bench.answer import TIMEOUT_S, fill, taken
from eval.bench.overhead import percentile
from eval.bench.stubbed import LABELS, Stubbed, StubCall, stubbed_service
from eval.bench.texts import BenchTexts
from eval.errors import BenchError
from eval.intervals import Interval
from eval.report import ConfigValue, Report

REQUESTS = 400
WARM_UP = 40
PERCENTS = (50, 95, 99)


def bench_ttft(texts: BenchTexts) -> Report:
    """Return the milliseconds to the first text of streamed answers: ours, and the provider's.

    One caller, everything switched on as for `overhead`, at least `texts.chunks` chunks. Raises: `BenchError`.
    """
    with stubbed_service() as stubbed:
        return asyncio.run(measured(stubbed, texts))


async def measured(stubbed: Stubbed, texts: BenchTexts) -> Report:
    """Return the report of a running service: fill it, warm it, then ask."""
    service = stubbed.service
    async with httpx.AsyncClient(base_url=service.url, headers=service.headers(), timeout=TIMEOUT_S) as client:
        chunks = await fill(client, texts)
        questions = texts.questions()
        await first_texts(client, taken(questions, WARM_UP))
        asked = taken(questions, REQUESTS)
        waited = await first_texts(client, asked)
    calls = await asyncio.to_thread(stubbed.calls)
    pairs = [(ms, calls.get(question, [])) for question, ms in zip(asked, waited, strict=True)]
    config: dict[str, ConfigValue] = {"chunks": chunks, "model": "stub", "cache": "on", "workers": 1}
    return Report("bench.ttft", texts.name, REQUESTS, texts.seed, config, shares(pairs, seed=texts.seed))


def shares(pairs: Sequence[tuple[float, Sequence[StubCall]]], *, seed: int) -> dict[str, Interval]:
    """Return percentiles of both shares, given the milliseconds of each answer and the model calls it took."""
    provider = [provider_ms(calls) for _, calls in pairs]
    ours = [ms - theirs for (ms, _), theirs in zip(pairs, provider, strict=True)]
    named = (("ours", ours), ("provider", provider))
    return {
        f"ttft.{name}.p{percent}_ms": percentile(values, percent, seed=seed)
        for name, values in named
        for percent in PERCENTS
    }


def provider_ms(calls: Sequence[StubCall]) -> float:
    """Return the provider's part: earlier calls to their end, the one that answered to its first byte."""
    if not calls:
        return 0.0
    return sum(call.ended_ms for call in calls[:-1]) + calls[-1].first_byte_ms


async def first_texts(client: httpx.AsyncClient, questions: Sequence[str]) -> list[float]:
    """Return the milliseconds to the first text of each answer. Raises: `BenchError` if there is none."""
    return [await first_text_ms(client, question) for question in tqdm(questions, desc="first text")]


async def first_text_ms(client: httpx.AsyncClient, question: str) -> float:
    """Return the milliseconds to the first text; the rest of the stream is read as well."""
    started, first_ms = time.perf_counter(), 0.0
    async with client.stream(
        "POST", "/answer", json={"question": question, "labels": LABELS, "stream": True}
    ) as response:
        async for line in response.aiter_lines():
            if line == "event: delta" and not first_ms:
                first_ms = 1000 * (time.perf_counter() - started)
            if line == "event: error":
                raise BenchError(f"the stream of {question!r} ended with an error")
    if not first_ms:
        raise BenchError(f"{question!r} was answered without a text")
    return first_ms
