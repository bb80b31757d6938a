"""How long a question takes that the response cache answers, in the same words and in others, of 10,000 kept."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from eval.bench.index import Encoders, configured_encoder
from eval.bench.texts import BenchTexts
from eval.cache.world import COLLECTION, PATIENCE_S, TENANT, Judged, World, opened_world
from eval.errors import BenchError
from eval.intervals import Interval, bootstrap, percentile_of
from eval.report import Report
from indexes.ingest import TextEncoder
from ragopt.config import cache_dir
from ragopt.domain import Answer, CacheKind, CacheMode, Question
from ragopt.results import NO_HISTORY, Prepared
from ragopt.stages.cache.acceptance import Acceptance, wrong_share
from ragopt.stages.cache.answer_cache import ResponseCache, is_worth_keeping
from ragopt.stages.cache.entries import EntryLimits, RedisEntries
from ragopt.stages.cache.guard import LATE_IN_A_ROW
from ragopt.stages.cache.protocol import SameQuestion
from ragopt.stages.cache.similar import CANDIDATES
from ragopt.stages.cache.verifier import SHIPPED, Verifier
from ragopt.state.client import connect
from ragopt.state.labels import Label
from ragopt.telemetry import Trace

ENTRIES = 10_000
# Documents that the kept answers rest on, and answers that are really made; the other entries repeat them.
DOCUMENTS, MADE = 30, 40
QUESTIONS = 200
WARM_UP = 10
PAUSES = 20
AT_ONCE = 16
# The same question with a word more: near enough for the index, not the same for the exact cache.
OTHER_WORDS = "{} Please tell me."


def everything(labels: Sequence[Label], *, max_wrong: float) -> Acceptance | None:  # noqa: ARG001
    """Return a level that every score is above: what is timed is the way to a hit, not how often there is one."""
    return Acceptance(-1.0, wrong_share(0, 0), 0)


def bench_cache(texts: BenchTexts, *, encoders: Encoders = configured_encoder, entries: int = ENTRIES) -> Report:
    """Return milliseconds of hits on the whole path, of embedding and verifying alone, and of a Redis that hangs.

    Semantic hits only where the verifier ships. Raises: `BenchError` if a hit is missing.
    """

    async def run() -> dict[str, list[float]]:
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ragopt-bench-")))
            encoder = stack.enter_context(encoders())
            judge = Verifier.load(cache_folder=cache_dir()) if SHIPPED.is_dir() else None
            if judge is not None:
                stack.push_async_callback(judge.close)
            judged = Judged(judge, everything) if judge else None
            limits = EntryLimits(entries=entries, timeout_s=PATIENCE_S)
            world = await stack.enter_async_context(opened_world(folder, encoder, limits=limits, judged=judged))
            return await timed(world, texts, entries=entries, judge=judge)

    times = asyncio.run(run())
    metrics: dict[str, Interval] = {}
    for name, milliseconds in times.items():
        for percent in (50, 95):
            metrics[f"{name}.p{percent}_ms"] = bootstrap(
                milliseconds, seed=texts.seed, statistic=percentile_of(percent)
            )
    config = {"entries": entries, "candidates": CANDIDATES, "verifier": "ships" if SHIPPED.is_dir() else None}
    return Report("bench.cache", texts.name, len(times["exact_hit"]), texts.seed, config, metrics)


async def timed(world: World, texts: BenchTexts, *, entries: int, judge: SameQuestion | None) -> dict[str, list[float]]:
    """Return the milliseconds of each thing that is timed."""
    await world.library.ingest(TENANT, COLLECTION, list(islice(texts.documents(), DOCUMENTS)))
    questions = list(islice(texts.questions(), entries))
    await filled(world, questions)
    if world.cache.similar is not None:
        # The last compaction would take one of the cores.
        await world.cache.similar.index.idle()
    asked = questions[:: max(1, entries // (QUESTIONS + WARM_UP))][: QUESTIONS + WARM_UP]
    other = [OTHER_WORDS.format(text) for text in asked]
    times = {
        "exact_hit": await each(asked, lambda text: hit(world, text, kind="exact")),
        "embed": await each(other, lambda text: world.encoder.encode_question(text)),
    }
    times |= await without_redis(world, asked[0])
    if judge is not None:
        times["semantic_hit"] = await each(other, lambda text: hit(world, text, kind="semantic"))
        times["verify"] = await each(other, lambda text: judge.scores(text, asked[:CANDIDATES]))
    return times


async def without_redis(world: World, text: str) -> dict[str, list[float]]:
    """Return what a request waits for a Redis that hangs, in all, and what it waits once that is known."""
    first: list[float] = []
    later: list[float] = []
    os.kill(world.server.pid, signal.SIGSTOP)
    try:
        for _ in range(PAUSES):
            redis = connect(world.server.url, timeout_s=PATIENCE_S)
            cache = replace(world.cache, entries=RedisEntries(redis, limits=EntryLimits()))
            first += await each([text] * LATE_IN_A_ROW, partial(look, cache, world.encoder), warm_up=0)
            later += await each([text], partial(look, cache, world.encoder), warm_up=0)
            await redis.aclose()
    finally:
        os.kill(world.server.pid, signal.SIGCONT)
    return {"redis_hangs.waited_for": first, "redis_hangs.left_alone": later}


async def look(cache: ResponseCache, encoder: TextEncoder, text: str) -> None:
    """Look for an answer, as a request does before it goes on."""
    encoding = asyncio.ensure_future(encoder.encode_question(text))
    await cache.look(question_of(text), text, encoding=encoding, trace=Trace("bench"))
    await encoding


async def filled(world: World, questions: Sequence[str]) -> None:
    """Keep an answer for every question: a few that are made, and the same ones again for the others.

    Raises: `BenchError` if no answer is worth keeping.
    """
    made = [await world.asked(question_of(text, cache="off")) for text in questions[:MADE]]
    answers = [answer for answer in made if is_worth_keeping(answer)]
    if not answers:
        raise BenchError("no question found anything to answer from")
    waiting = list(enumerate(questions))
    with tqdm(total=len(questions), desc="keep", unit="answer") as bar:

        async def work() -> None:
            while waiting:
                number, text = waiting.pop()
                await keep(world, text, answers[number % len(answers)])
                bar.update()

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))


async def keep(world: World, text: str, answer: Answer) -> None:
    """Keep an answer as the answer to a question, and return once it is kept."""
    context = replace(answer.context, question=text, standalone_question=text)
    prompt = world.pipeline.prompt(context, NO_HISTORY, instructions="", examples="")
    prepared = Prepared(question_of(text), context, prompt, await world.encoder.encode_question(text), keeps=True)
    await world.cache.put(prepared, replace(answer, context=context))
    await world.cache.keeping.idle()


def question_of(text: str, *, cache: CacheMode = "on") -> Question:
    """Return a question of the collection."""
    return Question(text, TENANT, COLLECTION, cache=cache)


async def hit(world: World, text: str, *, kind: CacheKind) -> None:
    """Ask a question that must be a hit of this kind. Raises: `BenchError` if it is not."""
    answer = await world.asked(question_of(text), trace=Trace("bench"))
    if answer.cache.kind != kind:
        raise BenchError(f"{text!r} was no {kind} hit: {answer.cache}")


async def each(
    texts: Sequence[str], work: Callable[[str], Awaitable[object]], *, warm_up: int = WARM_UP
) -> list[float]:
    """Return how many milliseconds each took, one after the other, without the first `warm_up`."""
    times: list[float] = []
    for text in texts:
        started = time.perf_counter()
        await work(text)
        times.append(1000 * (time.perf_counter() - started))
    return times[warm_up:]
