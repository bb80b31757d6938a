"""What an answer costs Redis: processor time, commands and memory, with everything switched on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from eval.bench.answer import TIMEOUT_S, fill, taken
from eval.bench.overhead import answered
from eval.bench.service import clients_of
from eval.bench.stubbed import Stubbed, stubbed_service
from eval.bench.texts import BenchTexts
from eval.intervals import Interval, bootstrap
from eval.report import Report
from ragopt.config import load_settings
from ragopt.state.load import RedisLoad
from ragopt.wiring.books import state_load

ROUNDS, ANSWERS, WARM_UP, CONCURRENCY = 5, 60, 60, 4
# Writes that nobody waits for: long enough that the last are in.
SETTLE_S = 2.0
KILO, MILLI = 1_000, 1_000


@dataclass(frozen=True, slots=True)
class StateCost:
    """What one answer cost Redis on average: milliseconds of its processor, commands, kilobytes that stay."""

    processor_ms: float
    commands: float
    kilobytes: float


def bench_state(texts: BenchTexts) -> Report:
    """Return what an answer costs Redis, over `ROUNDS` of `ANSWERS` questions that were not asked before.

    An answer that the documents carry goes into the response cache: without `--data` few do. Raises: `BenchError`.
    """
    with stubbed_service() as stubbed:
        costs = asyncio.run(measured(stubbed, texts))
    return report_of(costs, texts)


async def measured(stubbed: Stubbed, texts: BenchTexts) -> list[StateCost]:
    """Return the cost of each round, after one that warms up."""
    settings = load_settings(data_dir=stubbed.data_dir)
    questions = texts.questions()
    loads: list[RedisLoad] = []
    async with clients_of(stubbed.service, CONCURRENCY, timeout_s=TIMEOUT_S) as clients:
        await fill(clients[0], texts)
        for count in (WARM_UP, *[ANSWERS] * ROUNDS):
            await answered(clients, taken(questions, count))
            await asyncio.sleep(SETTLE_S)
            loads.append(await state_load(settings))
    return [cost_between(before, after) for before, after in pairwise(loads)]


def cost_between(before: RedisLoad, after: RedisLoad) -> StateCost:
    """Return what one of `ANSWERS` answers cost between two looks."""
    return StateCost(
        MILLI * (after.processor_s - before.processor_s) / ANSWERS,
        (after.commands - before.commands) / ANSWERS,
        (after.used_bytes - before.used_bytes) / ANSWERS / KILO,
    )


def report_of(costs: Sequence[StateCost], texts: BenchTexts) -> Report:
    """Return `processor_ms`, `commands` and `kilobytes` of an answer, n the rounds."""
    metrics: dict[str, Interval] = {
        name: bootstrap([getattr(cost, name) for cost in costs], seed=texts.seed)
        for name in ("processor_ms", "commands", "kilobytes")
    }
    config = {"answers_a_round": ANSWERS, "at_once": CONCURRENCY}
    return Report("bench.state", texts.name, len(costs), texts.seed, config, metrics)
