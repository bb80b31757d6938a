"""Conversations: turns in order, per tenant, until they are idle for too long."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from ragopt.domain import Question, Summary, Turn
from ragopt.errors import StateUnavailable
from ragopt.state.conversations import MAX_TURNS_READ, NEW, Conversation, Conversations, keys_of
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
        assert (await conversations.load("acme", "c")).turns == (*ASKED, Turn("user", "And gas?"))

    with_redis(redis_url, scenario)


def test_an_unknown_conversation_is_empty(redis_url: str) -> None:
    """A conversation begins with its first append, not with a command."""

    async def scenario(redis: Redis) -> None:
        assert await Conversations(redis, ttl_s=60).load("acme", "c") == NEW

    with_redis(redis_url, scenario)


def test_tenants_never_share_a_conversation(redis_url: str) -> None:
    """The same id is another conversation for another tenant, also where colons could make the names meet."""

    async def scenario(redis: Redis) -> None:
        conversations = Conversations(redis, ttl_s=60)
        await conversations.append("a:b", "c", ASKED)
        for tenant, conversation_id in (("a", "b:c"), ("b", "c"), ("a", "b"), ("a:b:c", ""), ("", "a:b:c")):
            assert (await conversations.load(tenant, conversation_id)).turns == ()
            assert await conversations.delete(tenant, conversation_id) is False
        assert (await conversations.load("a:b", "c")).turns == ASKED

    with_redis(redis_url, scenario)


def test_every_append_starts_the_life_anew(redis_url: str) -> None:
    """A conversation dies its time after the last turn, not after the first."""

    async def scenario(redis: Redis) -> None:
        conversations, key = Conversations(redis, ttl_s=60), keys_of("acme", "c")[0]
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
        assert (await conversations.load("acme", "c")).turns == ()
        assert await conversations.delete("acme", "c") is False

    with_redis(redis_url, scenario)


def fold_all_but_two(summary: Summary, turns: Sequence[Turn]) -> Summary:
    """Fold every turn but the last two, a block each time."""
    cut = max(0, len(turns) - 2)
    if cut <= summary.folded:
        return summary
    return Summary((*summary.blocks, f"- up to {cut}"), folded=cut, version=summary.version)


def test_the_summary_after_a_turn_is_kept_with_it(redis_url: str) -> None:
    """It comes back as it was made, its blocks only ever added to, and lives and dies with the turns."""

    async def scenario(redis: Redis) -> None:
        conversations, known = Conversations(redis, ttl_s=60, fold=fold_all_but_two), NEW
        summaries = []
        for _ in range(3):
            await conversations.append("acme", "c", ASKED, known=known)
            known = await conversations.load("acme", "c")
            summaries.append(known.summary)
        assert summaries == [None, Summary(("- up to 2",), folded=2), Summary(("- up to 2", "- up to 4"), folded=4)]
        assert 0 < await redis.ttl(keys_of("acme", "c")[1]) <= 60
        assert await conversations.delete("acme", "c") is True
        assert await conversations.load("acme", "c") == NEW

    with_redis(redis_url, scenario)


def test_of_a_very_long_conversation_the_newest_turns_are_read(redis_url: str) -> None:
    """Ten thousand turns are bounded work: the rest is counted, and the summary's turns go by what was read."""

    async def scenario(redis: Redis) -> None:
        conversations = Conversations(redis, ttl_s=60, fold=fold_all_but_two)
        turns = [Turn("user", str(at)) for at in range(10_000)]
        await conversations.append("acme", "c", turns)
        known = await conversations.load("acme", "c")
        assert (len(known.turns), known.older) == (MAX_TURNS_READ, 10_000 - MAX_TURNS_READ)
        assert known.turns[-1] == turns[-1]
        assert known.summary == Summary(("- up to 9998",), folded=MAX_TURNS_READ - 2)
        await conversations.append("acme", "c", [Turn("user", "more")], known=known)
        later = (await conversations.load("acme", "c")).summary
        assert later == Summary(("- up to 9998", f"- up to {MAX_TURNS_READ - 1}"), folded=MAX_TURNS_READ - 2)

    with_redis(redis_url, scenario)


async def write_later(question: Question, summary: Summary, turns: Sequence[Turn]) -> Summary:
    """Write a block, after whatever else there is to do."""
    await asyncio.sleep(0)
    return Summary((*summary.blocks, f"- {question.text}"), folded=len(turns) - 1, version=summary.version)


def test_a_summary_that_a_model_writes_comes_after_the_turn(redis_url: str) -> None:
    """The turn does not wait for it; then it is kept, and a next turn goes on from it."""

    async def scenario(redis: Redis) -> None:
        conversations = Conversations(redis, ttl_s=60, fold=fold_all_but_two, write=write_later)
        await conversations.append("acme", "c", ASKED, question=Question("one", "acme"))
        assert (await conversations.load("acme", "c")).turns == ASKED
        known = await until_written(conversations, blocks=1)
        assert known.summary == Summary(("- one",), folded=1)
        await conversations.append("acme", "c", ASKED, known=known, question=Question("two", "acme"))
        assert (await until_written(conversations, blocks=2)).summary == Summary(("- one", "- two"), folded=3)
        assert 0 < await redis.ttl(keys_of("acme", "c")[1]) <= 60

    with_redis(redis_url, scenario)


async def until_written(conversations: Conversations, *, blocks: int) -> Conversation:
    """Return the conversation once its summary has so many blocks."""
    for _ in range(2_000):
        known = await conversations.load("acme", "c")
        if known.summary and len(known.summary.blocks) == blocks:
            return known
        await asyncio.sleep(0.001)
    raise AssertionError("no summary was written")


def test_a_late_summary_is_dropped(redis_url: str) -> None:
    """One that is ready after the conversation was deleted, or after another was kept, changes nothing."""

    async def scenario(redis: Redis) -> None:
        gate = asyncio.Event()

        async def slow(question: Question, summary: Summary, turns: Sequence[Turn]) -> Summary:
            await gate.wait()
            return await write_later(question, summary, turns)

        conversations = Conversations(redis, ttl_s=60, fold=fold_all_but_two, write=slow)
        await conversations.append("acme", "gone", ASKED, question=Question("one", "acme"))
        await conversations.delete("acme", "gone")
        await conversations.append("acme", "c", ASKED, question=Question("one", "acme"))
        await conversations.append("acme", "c", ASKED, known=await conversations.load("acme", "c"))
        kept = (await conversations.load("acme", "c")).summary
        gate.set()
        await asyncio.sleep(0.05)
        assert (await conversations.load("acme", "gone")) == NEW
        assert (await conversations.load("acme", "c")).summary == kept != None  # noqa: E711
        await conversations.close()

    with_redis(redis_url, scenario)


def test_without_redis_there_is_an_error_rather_than_no_history(own_redis: EmbeddedRedis) -> None:
    """With Redis killed every method says so."""

    async def scenario(redis: Redis) -> None:
        conversations = Conversations(redis, ttl_s=60)
        await conversations.append("acme", "c", ASKED)
        os.kill(own_redis.pid, signal.SIGKILL)
        for call in (
            conversations.load("acme", "c"),
            conversations.append("acme", "c", ASKED),
            conversations.delete("acme", "c"),
        ):
            with pytest.raises(StateUnavailable):
                await call

    with_redis(own_redis.url, scenario)
