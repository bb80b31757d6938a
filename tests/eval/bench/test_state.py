"""What an answer costs Redis, between two looks at it."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from eval.bench.state import ANSWERS, StateCost, cost_between, report_of
from eval.bench.texts import BenchTexts
from ragopt.state.load import RedisLoad, redis_load
from tests.ragopt.state.scenarios import with_redis


def test_a_cost_is_what_was_added_for_each_answer() -> None:
    """Milliseconds, commands and kilobytes of one answer; the report is the mean of the rounds."""
    later = RedisLoad(1.0 + 0.001 * ANSWERS, 100 + 7 * ANSWERS, 1_000 + 2_000 * ANSWERS)
    cost = cost_between(RedisLoad(1.0, 100, 1_000), later)
    assert cost == StateCost(pytest.approx(1.0), 7.0, 2.0)
    report = report_of([cost, StateCost(3.0, 9.0, 4.0)], BenchTexts.of(None, chunks=10, seed=0))
    assert (report.n, report.metrics["processor_ms"].value) == (2, pytest.approx(2.0))
    assert report.metrics["commands"].value == 8.0


def test_redis_tells_what_it_has_done(redis_url: str) -> None:
    """Ten commands more are at least ten more, a larger value is more memory, and time only grows."""

    async def scenario(redis: Redis) -> None:
        before = await redis_load(redis)
        for n in range(10):
            await redis.set(f"load-{n}", b"x" * 100_000)
        after = await redis_load(redis)
        assert after.commands - before.commands >= 10
        assert after.used_bytes - before.used_bytes > 900_000
        assert after.processor_s >= before.processor_s
        await redis.delete(*(f"load-{n}" for n in range(10)))

    with_redis(redis_url, scenario)
