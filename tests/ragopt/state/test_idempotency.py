"""Idempotency: one key, one body, one response."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from redis.asyncio import Redis

from ragopt.errors import IdempotencyConflict, StateUnavailable
from ragopt.state.access import redis_key
from ragopt.state.idempotency import LOCK_S, Idempotency
from ragopt.state.redis_server import EmbeddedRedis
from tests.ragopt.state.scenarios import with_redis

RESPONSE = b'{"status": "done", "bytes": "\xff\x00:"}'


def test_a_repeated_request_gets_the_stored_response(redis_url: str) -> None:
    """The same key and body return the bytes of the first response, as often as asked."""

    async def scenario(redis: Redis) -> None:
        idempotency = Idempotency(redis)
        assert await idempotency.begin("acme", "k", "digest") is None
        await idempotency.complete("acme", "k", "digest", response=RESPONSE)
        assert [await idempotency.begin("acme", "k", "digest") for _ in range(2)] == [RESPONSE, RESPONSE]

    with_redis(redis_url, scenario)


def test_another_body_is_a_conflict(redis_url: str) -> None:
    """A key belongs to one body, while its request runs and after."""

    async def scenario(redis: Redis) -> None:
        idempotency = Idempotency(redis)
        await idempotency.begin("acme", "k", "digest")
        with pytest.raises(IdempotencyConflict, match="another request body"):
            await idempotency.begin("acme", "k", "other")
        await idempotency.complete("acme", "k", "digest", response=RESPONSE)
        with pytest.raises(IdempotencyConflict, match="another request body"):
            await idempotency.begin("acme", "k", "other")

    with_redis(redis_url, scenario)


def test_of_requests_at_once_one_goes_on(redis_url: str) -> None:
    """However many send the same key at once, one proceeds and the others are told that it runs."""

    async def scenario(redis: Redis) -> None:
        idempotency = Idempotency(redis)
        began = await asyncio.gather(
            *(idempotency.begin("acme", "k", "digest") for _ in range(8)), return_exceptions=True
        )
        assert began.count(None) == 1
        assert sum(isinstance(outcome, IdempotencyConflict) and "still runs" in str(outcome) for outcome in began) == 7

    with_redis(redis_url, scenario)


def test_an_abandoned_request_can_be_sent_again(redis_url: str) -> None:
    """Giving the lock up frees the key for any body."""

    async def scenario(redis: Redis) -> None:
        idempotency = Idempotency(redis)
        await idempotency.begin("acme", "k", "digest")
        await idempotency.abandon("acme", "k")
        assert await idempotency.begin("acme", "k", "other") is None

    with_redis(redis_url, scenario)


def test_what_a_dead_process_began_can_be_sent_again(redis_url: str) -> None:
    """Where no other process shares the Redis, the next start takes over what the last one left; else it waits."""

    async def scenario(redis: Redis) -> None:
        died = Idempotency(redis, alone=True)
        await died.begin("acme", "k", "digest")
        with pytest.raises(IdempotencyConflict, match="still runs"):
            await Idempotency(redis).begin("acme", "k", "digest")
        after = Idempotency(redis, alone=True)
        with pytest.raises(IdempotencyConflict, match="another request body"):
            await after.begin("acme", "k", "other")
        began = await asyncio.gather(*(after.begin("acme", "k", "digest") for _ in range(8)), return_exceptions=True)
        assert began.count(None) == 1
        await died.complete("acme", "k", "digest", response=b"too late")
        await after.complete("acme", "k", "digest", response=RESPONSE)
        assert await Idempotency(redis, alone=True).begin("acme", "k", "digest") == RESPONSE

    with_redis(redis_url, scenario)


def test_abandoning_does_not_lose_a_stored_response(redis_url: str) -> None:
    """Once completed, a key keeps its response."""

    async def scenario(redis: Redis) -> None:
        idempotency = Idempotency(redis)
        await idempotency.begin("acme", "k", "digest")
        await idempotency.complete("acme", "k", "digest", response=RESPONSE)
        await idempotency.abandon("acme", "k")
        assert await idempotency.begin("acme", "k", "digest") == RESPONSE

    with_redis(redis_url, scenario)


def test_a_late_completion_does_not_overwrite_another_request(redis_url: str) -> None:
    """A request whose lock ran out and was taken by another body leaves that one alone."""

    async def scenario(redis: Redis) -> None:
        idempotency = Idempotency(redis)
        await idempotency.begin("acme", "k", "first")
        await redis.delete(redis_key("idempotency", "acme", "k"))
        await idempotency.begin("acme", "k", "second")
        await idempotency.complete("acme", "k", "first", response=b"of the first")
        await idempotency.complete("acme", "k", "second", response=b"of the second")
        assert await idempotency.begin("acme", "k", "second") == b"of the second"

    with_redis(redis_url, scenario)


def test_tenants_never_share_a_key(redis_url: str) -> None:
    """The same Idempotency-Key of another tenant is another request, colons or not."""

    async def scenario(redis: Redis) -> None:
        idempotency = Idempotency(redis)
        for tenant, key in (("a:b", "c"), ("a", "b:c"), ("", "a:b:c"), ("a:b:c", "")):
            assert await idempotency.begin(tenant, key, "digest") is None

    with_redis(redis_url, scenario)


def test_locks_and_responses_expire(redis_url: str) -> None:
    """A lock lives 15 minutes, a response as long as the store was told."""

    async def scenario(redis: Redis) -> None:
        idempotency, name = Idempotency(redis, ttl_s=100_000), redis_key("idempotency", "acme", "k")
        await idempotency.begin("acme", "k", "digest")
        assert LOCK_S - 10 < await redis.ttl(name) <= LOCK_S
        await idempotency.complete("acme", "k", "digest", response=RESPONSE)
        assert 99_000 < await redis.ttl(name) <= 100_000

    with_redis(redis_url, scenario)


def test_without_redis_a_request_does_not_go_on(own_redis: EmbeddedRedis) -> None:
    """With Redis killed nothing is done twice by mistake."""

    async def scenario(redis: Redis) -> None:
        os.kill(own_redis.pid, signal.SIGKILL)
        with pytest.raises(StateUnavailable):
            await Idempotency(redis).begin("acme", "k", "digest")

    with_redis(own_redis.url, scenario)
