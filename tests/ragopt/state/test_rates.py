"""Rate limits of keys: exact over several processes, settled after use, and kept alone while Redis is down."""

from __future__ import annotations

import asyncio
import os
import signal

from redis.asyncio import Redis

from ragopt.state.rates import RateLimit, RateLimiter, Taken
from ragopt.state.redis_server import EmbeddedRedis
from tests.ragopt.state.scenarios import Clock, with_redis

FIVE = RateLimit(rpm=5)
TOKENS = RateLimit(tpm=6_000)


def test_limiters_of_one_redis_let_through_exactly_the_limit(redis_url: str) -> None:
    """Three processes with forty requests at once: as many as the limit allows go on, whoever asked first."""

    async def scenario(redis: Redis) -> None:
        clock = Clock()
        limiters = [RateLimiter(redis, now=clock) for _ in range(3)]
        taken = await asyncio.gather(*(limiters[at % 3].take("k", FIVE) for at in range(40)))
        assert sum(item.allowed for item in taken) == 5
        assert all(item.shared for item in taken)
        refused = next(item for item in taken if not item.allowed)
        assert refused.wait_s() == 12
        assert (await limiters[0].take("other", FIVE)).allowed

    with_redis(redis_url, scenario)


def test_what_is_left_comes_back_steadily(redis_url: str) -> None:
    """After a fifth of a minute one of five requests is there again, after a minute all of them, and never more."""

    async def scenario(redis: Redis) -> None:
        clock = Clock()
        limiter = RateLimiter(redis, now=clock)
        for passed, allowed in ((0, 5), (11.9, 0), (0.1, 1), (60, 5), (3_600, 5)):
            clock.seconds += passed
            taken = [await limiter.take("k", FIVE) for _ in range(6)]
            assert sum(item.allowed for item in taken) == allowed, passed

    with_redis(redis_url, scenario)


def test_tokens_are_taken_before_and_settled_after(redis_url: str) -> None:
    """What a request did not use is there for the next one; what it used more is missing."""

    async def scenario(redis: Redis) -> None:
        limiter = RateLimiter(redis, now=Clock())
        first = await limiter.take("k", TOKENS, tokens=4_000)
        refused = await limiter.take("k", TOKENS, tokens=4_000)
        assert (first.tokens_left, refused.allowed, refused.wait_s()) == (2_000, False, 20)
        limiter.settle("k", taken=first.tokens, used=1_000)
        await limiter.aclose()
        second = await limiter.take("k", TOKENS, tokens=4_000)
        assert (second.allowed, second.tokens_left) == (True, 1_000)
        limiter.settle("k", taken=second.tokens, used=6_000)
        await limiter.aclose()
        assert (await limiter.take("k", TOKENS, tokens=0)).tokens_left == -1_000

    with_redis(redis_url, scenario)


def test_more_tokens_than_the_limit_count_as_the_limit(redis_url: str) -> None:
    """A request that could never go on waits for a full minute's tokens instead."""

    async def scenario(redis: Redis) -> None:
        clock = Clock()
        limiter = RateLimiter(redis, now=clock)
        assert (await limiter.take("k", TOKENS, tokens=50_000)).allowed
        assert (await limiter.take("k", TOKENS, tokens=50_000)).wait_s() == 60
        clock.seconds += 60
        assert (await limiter.take("k", TOKENS, tokens=50_000)).allowed

    with_redis(redis_url, scenario)


def test_a_lower_limit_holds_at_once_and_buckets_are_forgotten(redis_url: str) -> None:
    """What was left under an old limit does not outlive it, and a key that asks no more leaves nothing behind."""

    async def scenario(redis: Redis) -> None:
        limiter = RateLimiter(redis, now=Clock())
        await limiter.take("k", RateLimit(rpm=100))
        assert (await limiter.take("k", RateLimit(rpm=2))).requests_left == 1
        (stored,) = await redis.keys("*")
        assert 0 < await redis.ttl(stored) <= 120

    with_redis(redis_url, scenario)


def test_without_redis_each_process_counts_for_itself(own_redis: EmbeddedRedis) -> None:
    """With Redis killed nobody is refused for it, and the limit still holds; settled tokens count as well."""

    async def scenario(redis: Redis) -> list[Taken]:
        limiter = RateLimiter(redis, now=Clock())
        os.kill(own_redis.pid, signal.SIGKILL)
        taken = [await limiter.take("k", FIVE) for _ in range(6)]
        assert [item.allowed for item in taken] == [True] * 5 + [False]
        assert not any(item.shared for item in taken)
        first = await limiter.take("t", TOKENS, tokens=6_000)
        limiter.settle("t", taken=first.tokens, used=5_000)
        assert (await limiter.take("t", TOKENS, tokens=1_000)).allowed
        await limiter.aclose()
        return taken

    with_redis(own_redis.url, scenario)


def test_redis_counts_again_once_it_answers(redis_url: str) -> None:
    """A limiter whose Redis could not be reached tries it again a second later."""

    async def scenario(redis: Redis) -> None:
        clock = Clock()
        unreachable = Redis.from_url("redis://127.0.0.1:1")
        limiter = RateLimiter(unreachable, now=clock)
        assert not (await limiter.take("k", FIVE)).shared
        unreachable.connection_pool = redis.connection_pool
        assert not (await limiter.take("k", FIVE)).shared
        clock.seconds += 1
        assert (await limiter.take("k", FIVE)).shared

    with_redis(redis_url, scenario)
