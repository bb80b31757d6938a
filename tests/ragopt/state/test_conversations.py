"""Conversations: turns in order, per tenant, until they are idle for too long."""

from __future__ import annotations

import os
import signal

import pytest
from redis.asyncio import Redis

from ragopt.domain import Turn
from ragopt.errors import StateUnavailable
from ragopt.state.conversations import Conversations, conversation_key
from ragopt.state.redis_server import EmbeddedRedis
from tests.ragopt.state.scenarios import with_redis

ASKED = (Turn("user", "Was ist „Öl“?\n🛢"), Turn("assistant", "A fuel [1]. \ud800"))


def test_history_returns_every_turn_in_order(redis_url: str) -> None:
    """What was appended comes back oldest first and unaltered, after any number of appends."""

    async def scenario(redis: Redis) -> None:
        conversations = Conversations(redis, ttl_s=60)
        await conversations.append("acme", "c", ASKED)
        await conversations.append("acme", "c", [])
        await conversations.append("acme", "c", [Turn("user", "And gas?")])
        assert await conversations.history("acme", "c") == (*ASKED, Turn("user", "And gas?"))

    with_redis(redis_url, scenario)


def test_an_unknown_conversation_is_empty(redis_url: str) -> None:
    """A conversation begins with its first append, not with a command."""

    async def scenario(redis: Redis) -> None:
        assert await Conversations(redis, ttl_s=60).history("acme", "c") == ()

    with_redis(redis_url, scenario)


def test_tenants_never_share_a_conversation(redis_url: str) -> None:
    """The same id is another conversation for another tenant, also where colons could make the names meet."""

    async def scenario(redis: Redis) -> None:
        conversations = Conversations(redis, ttl_s=60)
        await conversations.append("a:b", "c", ASKED)
        for tenant, conversation_id in (("a", "b:c"), ("b", "c"), ("a", "b"), ("a:b:c", ""), ("", "a:b:c")):
            assert await conversations.history(tenant, conversation_id) == ()
            assert await conversations.delete(tenant, conversation_id) is False
        assert await conversations.history("a:b", "c") == ASKED

    with_redis(redis_url, scenario)


def test_every_append_starts_the_life_anew(redis_url: str) -> None:
    """A conversation dies its time after the last turn, not after the first."""

    async def scenario(redis: Redis) -> None:
        conversations, key = Conversations(redis, ttl_s=60), conversation_key("acme", "c")
        await conversations.append("acme", "c", ASKED)
        assert 0 < await redis.ttl(key) <= 60
        await redis.expire(key, 5)
        await conversations.append("acme", "c", ASKED)
        assert await redis.ttl(key) > 5

    with_redis(redis_url, scenario)


def test_delete_forgets_the_conversation(redis_url: str) -> None:
    """A deleted conversation has no history, and deleting it again says that there was none."""

    async def scenario(redis: Redis) -> None:
        conversations = Conversations(redis, ttl_s=60)
        await conversations.append("acme", "c", ASKED)
        assert await conversations.delete("acme", "c") is True
        assert await conversations.history("acme", "c") == ()
        assert await conversations.delete("acme", "c") is False

    with_redis(redis_url, scenario)


def test_without_redis_there_is_an_error_rather_than_no_history(own_redis: EmbeddedRedis) -> None:
    """With Redis killed every method says so."""

    async def scenario(redis: Redis) -> None:
        conversations = Conversations(redis, ttl_s=60)
        await conversations.append("acme", "c", ASKED)
        os.kill(own_redis.pid, signal.SIGKILL)
        for call in (
            conversations.history("acme", "c"),
            conversations.append("acme", "c", ASKED),
            conversations.delete("acme", "c"),
        ):
            with pytest.raises(StateUnavailable):
                await call

    with_redis(own_redis.url, scenario)
