"""Kept answers in a real Redis: found by their key alone, bounded, and never in the way."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from indexes.records import Revision
from ragopt.domain import Answer, Attempt, CacheOutcome, Citation, Context, Passage, Route, Usage
from ragopt.stages.cache.entries import USES, EntryLimits, Place, RedisEntries
from ragopt.stages.cache.entry import Entry, entry_from_json, entry_to_json
from ragopt.stages.cache.guard import Skipped
from ragopt.stages.cache.key import EntryKey
from ragopt.state.redis_server import EmbeddedRedis
from tests.ragopt.stages.cache.answers import ANSWER, PATIENT
from tests.ragopt.state.scenarios import Clock, with_redis

KEY = EntryKey("acme", "default", "p", "what is oil?")
ENTRY = Entry(KEY, "What is oil?", ANSWER, Revision("one", 7), 1_700_000_000.0)

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
COSTS = st.none() | st.decimals(allow_nan=False, allow_infinity=False)


def entries_in(redis: Redis, *, clock: Clock | None = None, limits: EntryLimits = PATIENT) -> RedisEntries:
    return RedisEntries(redis, limits=limits, now=clock or Clock())


async def put(entries: RedisEntries, entry: Entry = ENTRY) -> list[Place] | None:
    return await entries.put(entry, allowance=entries.guard.allowance())


async def got(entries: RedisEntries, key: EntryKey = KEY, place: Place | None = None) -> Entry | None:
    return await entries.get(place or Place.of(key), key, allowance=entries.guard.allowance())


def named(text: str, *, tenant: str = "acme") -> Entry:
    return replace(ENTRY, key=replace(KEY, question=text, tenant=tenant), question=text)


def test_an_entry_reads_back_equal(redis_url: str) -> None:
    """All of it, costs digit for digit; what was never put is not there."""

    async def scenario(redis: Redis) -> None:
        entries = entries_in(redis)
        await put(entries)
        assert await got(entries) == ENTRY
        assert await got(entries, replace(KEY, question="what else?")) is None

    with_redis(redis_url, scenario)


@pytest.mark.parametrize("other", [{"tenant": "other"}, {"collection": "other"}, {"partition": "q"}])
def test_an_entry_is_for_its_own_key_even_where_another_names_its_place(redis_url: str, other: dict[str, str]) -> None:
    """Whoever gets hold of a place gets nothing of another tenant, collection or partition."""

    async def scenario(redis: Redis) -> None:
        entries = entries_in(redis)
        await put(entries)
        assert await got(entries, replace(KEY, **other), Place.of(KEY)) is None

    with_redis(redis_url, scenario)


def test_an_entry_that_was_put_elsewhere_is_not_served(redis_url: str) -> None:
    """Bytes copied to another place say whose they are."""

    async def scenario(redis: Redis) -> None:
        entries, target = entries_in(redis), replace(KEY, question="what is gas?")
        await put(entries)
        await redis.copy(Place.of(KEY).redis_key(), Place.of(target).redis_key())
        assert await got(entries, target) is None

    with_redis(redis_url, scenario)


@pytest.mark.parametrize("garbage", [b"", b"\xff\x00", b"{}", b"[]", entry_to_json(ENTRY)])
def test_garbage_is_nothing(redis_url: str, garbage: bytes) -> None:
    """What is no entry is not served, and neither is one without its generation."""

    async def scenario(redis: Redis) -> None:
        fields = {"entry": garbage} | ({} if garbage == entry_to_json(ENTRY) else {"generation": "7"})
        await redis.hset(
            Place.of(KEY).redis_key(), mapping=cast("dict[str | bytes, bytes | float | int | str]", fields)
        )
        assert await got(entries_in(redis)) is None

    with_redis(redis_url, scenario)


def test_what_is_too_large_or_not_unicode_is_not_kept(redis_url: str) -> None:
    """A bound on one entry, in bytes."""

    async def scenario(redis: Redis) -> None:
        entries = entries_in(redis, limits=replace(PATIENT, entry_bytes=5_000))
        for text in ("x" * 5_000, "\ud800"):
            assert await put(entries, replace(ENTRY, answer=replace(ANSWER, text=text))) is None
        assert await redis.dbsize() == 0

    with_redis(redis_url, scenario)


def test_entries_expire(redis_url: str) -> None:
    """An entry lives for the time the cache was given."""

    async def scenario(redis: Redis) -> None:
        await put(entries_in(redis))
        assert 0 < await redis.ttl(Place.of(KEY).redis_key()) <= 60

    with_redis(redis_url, scenario)


def test_what_has_ended_makes_room_first(redis_url: str) -> None:
    """Its place is named, so that its question can be forgotten too; a later entry of the same key is not."""

    async def scenario(redis: Redis) -> None:
        clock = Clock()
        entries = entries_in(redis, clock=clock, limits=replace(PATIENT, entries=2))
        assert await put(entries, named("a")) == []
        assert await put(entries, named("b")) == []
        clock.seconds += 61
        gone = await put(entries, named("a"))
        assert gone == [Place.of(named("b").key)]
        assert await redis.zcard(USES) == 1

    with_redis(redis_url, scenario)


def test_the_least_used_go_first_and_age(redis_url: str) -> None:
    """Of equally used ones the oldest goes; what was popular once does not stay for ever."""

    async def scenario(redis: Redis) -> None:
        clock = Clock()
        entries = entries_in(redis, clock=clock, limits=replace(PATIENT, entries=3, ttl_s=100_000))
        for text in "abc":
            clock.seconds += 1_000
            await put(entries, named(text))
        for text in "aac":
            assert await got(entries, named(text).key) is not None
        assert await put(entries, named("d")) == [Place.of(named("b").key)]
        evicted = [gone.id for n in range(12) for gone in await put(entries, named(f"n{n}")) or []]
        assert Place.of(named("a").key).id in evicted

    with_redis(redis_url, scenario)


def test_an_entry_moves_on_only_as_itself(redis_url: str) -> None:
    """It is noted to hold for a later generation, never an earlier one, and not for one that replaced it."""

    async def scenario(redis: Redis) -> None:
        entries = entries_in(redis)

        async def moved(stamp: str, generation: int) -> int:
            allowance = entries.guard.allowance()
            await entries.move(Place.of(KEY), stamp=stamp, generation=generation, allowance=allowance)
            found = await got(entries)
            assert found is not None
            return found.revision.generation

        await put(entries)
        assert [await moved(ENTRY.stamp, 9), await moved(ENTRY.stamp, 8), await moved("another", 12)] == [9, 9, 9]

    with_redis(redis_url, scenario)


def test_an_entry_is_dropped_only_as_itself(redis_url: str) -> None:
    """With a stamp, one that replaced it stays."""

    async def scenario(redis: Redis) -> None:
        entries = entries_in(redis)
        await put(entries)
        await entries.drop([Place.of(KEY)], stamp="another", allowance=entries.guard.allowance())
        assert await got(entries) is not None
        await entries.drop([Place.of(KEY)], stamp=ENTRY.stamp, allowance=entries.guard.allowance())
        assert (await got(entries), await redis.zcard(USES)) == (None, 0)

    with_redis(redis_url, scenario)


def test_questions_are_read_without_their_answers(redis_url: str) -> None:
    """In the order of the places, None for an entry that is gone; it is no use of the entry."""

    async def scenario(redis: Redis) -> None:
        entries = entries_in(redis)
        await put(entries)
        places = [Place.of(KEY), Place.of(named("gone").key)]
        before = await redis.zscore(USES, Place.of(KEY).redis_key())
        assert await entries.questions(places, allowance=entries.guard.allowance()) == ["What is oil?", None]
        assert await redis.zscore(USES, Place.of(KEY).redis_key()) == before

    with_redis(redis_url, scenario)


def test_a_tenant_clears_its_own_and_one_collection_at_a_time(redis_url: str) -> None:
    """Names that look like patterns or prefixes of others reach nothing else."""

    async def scenario(redis: Redis) -> None:
        entries = entries_in(redis)
        tenants = ("a", "ab", "*", "a:b", "a%3Ab", "[a]")
        for tenant in tenants:
            await put(entries, named("x", tenant=tenant))
            await put(entries, replace(ENTRY, key=EntryKey(tenant, "other", "p", "x")))
        assert await entries.clear("a", "default") == 1
        assert await entries.clear("*", None) == 2
        assert await entries.clear("a:b", None) == 2
        assert await entries.clear("nobody", None) == 0
        left = [await got(entries, named("x", tenant=tenant).key) is not None for tenant in tenants]
        assert left == [False, True, False, False, True, True]
        assert await redis.zcard(USES) == 12 - 5

    with_redis(redis_url, scenario)


def test_a_killed_redis_is_skipped(own_redis: EmbeddedRedis) -> None:
    """It raises one error, and is then left alone."""

    async def scenario(redis: Redis) -> None:
        entries = entries_in(redis)
        await put(entries)
        os.kill(own_redis.pid, signal.SIGKILL)
        with pytest.raises(Skipped):
            await got(entries)
        assert not entries.guard.usable

    with_redis(own_redis.url, scenario)


@settings(max_examples=40)
@given(
    answer=st.builds(
        Answer,
        citations=st.lists(st.builds(Citation, score=NUMBERS), max_size=2).map(tuple),
        context=st.builds(Context, passages=st.lists(st.builds(Passage, score=NUMBERS), max_size=2).map(tuple)),
        route=st.builds(
            Route,
            score=st.none() | NUMBERS,
            attempts=st.lists(st.builds(Attempt, ms=NUMBERS), max_size=2).map(tuple),
        ),
        cache=st.builds(CacheOutcome, similarity=st.none() | NUMBERS, age_s=st.none() | NUMBERS),
        usage=st.builds(Usage, cost_usd=COSTS),
    )
)
def test_any_answer_survives_its_json(answer: Answer) -> None:
    """With any text, cost and absent value, it reads back equal, and its cost digit for digit."""
    stored = entry_to_json(replace(ENTRY, answer=answer))
    assert stored is not None
    read = entry_from_json(stored, generation=9)
    assert read == replace(ENTRY, answer=answer, revision=Revision("one", 9))
    assert str(read.answer.usage.cost_usd) == str(answer.usage.cost_usd)
