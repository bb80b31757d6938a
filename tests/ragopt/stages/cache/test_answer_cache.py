"""The response cache: the same question again, while its sources are as they were; never stale, never in the way."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from decimal import Decimal

import pytest
from redis.asyncio import Redis

from indexes.errors import CollectionNotFound, StoreUnavailable
from indexes.records import LiveChunk, Revision
from ragopt.domain import Answer, CacheMode, CacheOutcome, Passage, Question, Usage
from ragopt.ports import AnswerCache
from ragopt.results import Kept
from ragopt.stages.cache.answer_cache import ResponseCache
from ragopt.stages.cache.entries import USES, EntryLimits
from ragopt.stages.cache.freshness import is_as_it_was
from ragopt.state.redis_server import EmbeddedRedis
from ragopt.telemetry import Trace
from tests.ragopt.stages.cache.answers import (
    ANSWER,
    CHUNK,
    CITATION,
    CONTEXT,
    PASSAGE,
    QUESTION,
    FixedSources,
    cache_over,
    hit,
    keep,
    looked,
    prepared_for,
)
from tests.ragopt.state.scenarios import Clock, with_redis

LATER = Revision("one", 9)


def test_a_repeated_question_is_a_hit_that_cost_nothing(redis_url: str) -> None:
    """It is the kept answer with its age, no tokens and no cost, and its context shows the words of now."""

    async def scenario(redis: Redis) -> None:
        clock = Clock()
        cache = cache_over(redis, clock=clock)
        port: AnswerCache = cache
        await keep(cache)
        clock.seconds += 12
        found = await hit(cache, replace(QUESTION, text="and  OIL?"), " what IS\n ｏｉｌ? ")
        assert found == replace(
            ANSWER,
            context=replace(CONTEXT, question="and  OIL?", standalone_question=" what IS\n ｏｉｌ? "),
            cache=CacheOutcome("hit", "exact", 1.0, 12.0, entry=port.entry(QUESTION, "What is oil?")),
            usage=Usage(cost_usd=Decimal(0)),
        )

    with_redis(redis_url, scenario)


@pytest.mark.parametrize("mode", ["on", "write_only", "read_only", "off"])
def test_only_what_the_question_lets_is_kept(redis_url: str, mode: CacheMode) -> None:
    """A question is written to the cache only as it asks for."""

    async def scenario(redis: Redis) -> None:
        await keep(cache_over(redis), replace(QUESTION, cache=mode))
        assert (await redis.zcard(USES) == 1) is (mode in {"on", "write_only"})

    with_redis(redis_url, scenario)


@pytest.mark.parametrize(
    "answer",
    [
        replace(ANSWER, partial=True),
        replace(ANSWER, abstained=True),
        replace(ANSWER, citations=()),
        replace(ANSWER, citations=(CITATION, replace(CITATION, support="unsupported"))),
        replace(ANSWER, cache=CacheOutcome("hit", "exact", 1.0, 3.0)),
        replace(ANSWER, text="x" * 65_536),
        replace(ANSWER, text="\ud800"),
    ],
    ids=["partial", "abstained", "uncited", "unsupported", "itself a hit", "too large", "not Unicode"],
)
def test_an_answer_not_worth_keeping_is_not_kept(redis_url: str, answer: Answer) -> None:
    """Only whole, cited, fresh answers of moderate size are, none of whose claims is known to be unsupported."""

    async def scenario(redis: Redis) -> None:
        await keep(cache_over(redis), answer=answer)
        assert await redis.dbsize() == 0

    with_redis(redis_url, scenario)


def test_a_change_elsewhere_costs_nothing(redis_url: str) -> None:
    """Where the sources are as they were and nothing was added, the entry holds on, and moves on once."""

    async def scenario(redis: Redis) -> None:
        sources = FixedSources()
        cache = cache_over(redis, sources=sources)
        await keep(cache)
        sources.now = LATER
        assert await hit(cache) is not None
        # From then on it is known to hold there: its chunks need not even be looked at.
        sources.chunks = {}
        assert await hit(cache) is not None

    with_redis(redis_url, scenario)


@pytest.mark.parametrize(
    ("now", "chunk"),
    [
        (LATER, None),
        (LATER, replace(CHUNK, text="Öl was, drink it.")),
        (LATER, replace(CHUNK, start=1)),
        (Revision("two", 7), CHUNK),
        (Revision("two", 9), CHUNK),
        (Revision("one", 6), CHUNK),
    ],
    ids=["gone", "other words", "moved", "made anew", "made anew and further", "set back"],
)
def test_an_answer_dies_with_its_sources(redis_url: str, now: Revision, chunk: LiveChunk | None) -> None:
    """One whose passage is gone or reads differently, or whose collection is another, is forgotten at once."""

    async def scenario(redis: Redis) -> None:
        sources = FixedSources()
        cache = cache_over(redis, sources=sources)
        await keep(cache)
        sources.now, sources.chunks = now, {} if chunk is None else {"oil/1": chunk}
        found = await looked(cache)
        assert (found.answer, found.doubtful) == (None, None)
        assert await redis.zcard(USES) == 0

    with_redis(redis_url, scenario)


def test_a_commit_between_both_reads_kills_nothing(redis_url: str) -> None:
    """The entry was found to hold for a generation that came after this request had read its own."""

    class Moving(FixedSources):
        reads = 0

        async def revision(self, tenant: str, collection: str) -> Revision:
            self.reads += 1
            return self.now if self.reads > 1 else Revision("one", 6)

    async def scenario(redis: Redis) -> None:
        await keep(cache_over(redis))
        assert await hit(cache_over(redis, sources=Moving())) is not None

    with_redis(redis_url, scenario)


async def doubted(cache: ResponseCache, sources: FixedSources) -> Kept:
    """Return an answer that is doubtful because a chunk was born after it was given."""
    await keep(cache)
    sources.now, sources.newest = LATER, 8
    doubtful = (await looked(cache)).doubtful
    assert doubtful is not None
    return doubtful


async def confirmed(cache: ResponseCache, doubtful: Kept, *passages: Passage) -> Answer | None:
    """Return what becomes of it beside a fresh context of these passages."""
    fresh = replace(CONTEXT, passages=passages, generation=9)
    return await cache.confirmed(doubtful, fresh, question=QUESTION, trace=Trace("r"))


def test_a_younger_chunk_that_a_fresh_context_leaves_out_changes_nothing(redis_url: str) -> None:
    """The answer is served after that look, and without it from then on."""

    async def scenario(redis: Redis) -> None:
        sources = FixedSources()
        cache = cache_over(redis, sources=sources)
        doubtful = await doubted(cache, sources)
        assert await confirmed(cache, doubtful, PASSAGE) == doubtful.answer
        assert await hit(cache) is not None

    with_redis(redis_url, scenario)


def test_a_younger_chunk_that_a_fresh_context_holds_kills_the_answer(redis_url: str) -> None:
    """What nobody could cite when it was given has come since."""

    async def scenario(redis: Redis) -> None:
        sources = FixedSources()
        cache = cache_over(redis, sources=sources)
        doubtful = await doubted(cache, sources)
        sources.chunks = {"oil/1": CHUNK, "gas/1": LiveChunk(0, "Gas is cheaper.", 8)}
        assert await confirmed(cache, doubtful, PASSAGE, replace(PASSAGE, chunk_id="gas/1")) is None
        assert await redis.zcard(USES) == 0

    with_redis(redis_url, scenario)


def test_an_older_chunk_that_comes_into_the_context_kills_nothing(redis_url: str) -> None:
    """It was there when the answer was given: only the order of the hits has shifted."""

    async def scenario(redis: Redis) -> None:
        sources = FixedSources()
        cache = cache_over(redis, sources=sources)
        doubtful = await doubted(cache, sources)
        sources.chunks = {"oil/1": CHUNK, "gas/1": LiveChunk(0, "Gas is cheaper.", 7)}
        assert await confirmed(cache, doubtful, replace(PASSAGE, chunk_id="gas/1")) is not None

    with_redis(redis_url, scenario)


def test_sources_that_change_between_both_looks_kill_the_answer(redis_url: str) -> None:
    """The fresh context is of a later generation, in which a passage is gone."""

    async def scenario(redis: Redis) -> None:
        sources = FixedSources()
        cache = cache_over(redis, sources=sources)
        doubtful = await doubted(cache, sources)
        sources.chunks = {}
        assert await confirmed(cache, doubtful) is None

    with_redis(redis_url, scenario)


def test_an_answer_whose_sources_went_while_it_was_written_is_not_kept(redis_url: str) -> None:
    """A put is refused if the collection moved over its passages; one beside them is no reason."""

    async def scenario(redis: Redis) -> None:
        sources = FixedSources(now=LATER)
        cache = cache_over(redis, sources=sources)
        await keep(cache)
        assert await redis.zcard(USES) == 1
        await cache.clear("acme")
        sources.chunks = {}
        await keep(cache)
        assert await redis.zcard(USES) == 0

    with_redis(redis_url, scenario)


def test_what_came_while_it_was_written_is_looked_at_by_the_next_reader(redis_url: str) -> None:
    """The entry holds for the generation of its context, not for that of its writing."""

    async def scenario(redis: Redis) -> None:
        cache = cache_over(redis, sources=FixedSources(now=LATER, newest=8))
        await keep(cache)
        assert (await looked(cache)).doubtful is not None

    with_redis(redis_url, scenario)


def test_an_index_that_fails_is_a_miss_that_the_trace_tells(redis_url: str) -> None:
    """A collection that is not there is retrieval's to report."""

    class Failing(FixedSources):
        async def revision(self, tenant: str, collection: str) -> Revision:
            raise CollectionNotFound("no") if tenant == "acme" else StoreUnavailable("down")

    async def scenario(redis: Redis) -> None:
        cache = cache_over(redis, sources=Failing())
        for tenant, told in (("acme", {}), ("other", {"cache": "down"})):
            trace, question = Trace("r"), Question("What is oil?", tenant)
            assert await cache.look(question, "x", encoding=asyncio.Future(), trace=trace) is not None
            assert trace.fallbacks == told

    with_redis(redis_url, scenario)


def test_a_redis_killed_between_lookup_and_store_is_no_trouble(own_redis: EmbeddedRedis) -> None:
    """The answer goes on, is not kept, and the next question is answered as if there were no cache."""

    async def scenario(redis: Redis) -> None:
        cache = cache_over(redis)
        assert await hit(cache) is None
        os.kill(own_redis.pid, signal.SIGKILL)
        await keep(cache)
        assert await hit(cache) is None

    with_redis(own_redis.url, scenario)


def test_a_paused_redis_costs_a_request_fifty_milliseconds_in_all(own_redis: EmbeddedRedis) -> None:
    """Two requests later it is left alone, and used again afterwards."""

    async def scenario(redis: Redis) -> None:
        clock = Clock()
        cache = cache_over(redis, clock=clock, limits=EntryLimits(ttl_s=60))
        patient = cache_over(redis, clock=clock)
        await keep(patient)
        os.kill(own_redis.pid, signal.SIGSTOP)
        try:
            assert cache.entries.guard.allowance().left_s == 0.05
            # The client itself would wait 5 s. A machine that is busy may make a timeout late, which is no failure.
            for _ in range(50):
                assert await hit(cache) is None
                if not cache.entries.guard.usable:
                    break
            assert not cache.entries.guard.usable
        finally:
            os.kill(own_redis.pid, signal.SIGCONT)
        assert await hit(patient) is not None
        for _ in range(50):
            clock.seconds += 5
            if await hit(cache) is not None:
                return
        raise AssertionError("the cache was never used again")

    with_redis(own_redis.url, scenario)


def test_an_answer_is_kept_although_redis_is_slow_for_a_moment(own_redis: EmbeddedRedis) -> None:
    """The request does not wait for it."""

    async def scenario(redis: Redis) -> None:
        cache = cache_over(redis, limits=EntryLimits(ttl_s=60))
        await redis.get("anything")
        os.kill(own_redis.pid, signal.SIGSTOP)
        await cache.put(prepared_for(QUESTION, "What is oil?"), ANSWER)
        os.kill(own_redis.pid, signal.SIGCONT)
        await cache.keeping.idle()
        assert await hit(cache_over(redis)) is not None

    with_redis(own_redis.url, scenario)


def test_who_asks_again_at_once_gets_the_answer_that_is_just_being_kept(redis_url: str) -> None:
    """Nobody waits for it but those who ask for it, and those who have it forgotten."""

    async def scenario(redis: Redis) -> None:
        cache = cache_over(redis)
        for _ in range(20):
            await cache.put(prepared_for(QUESTION, "What is oil?"), ANSWER)
            assert await hit(cache) is not None
            await cache.put(prepared_for(QUESTION, "What is gas?"), ANSWER)
            assert await cache.clear("acme") == 2
            await cache.put(prepared_for(QUESTION, "What is oil?"), ANSWER)
            await cache.disliked("acme", "default", cache.entry(QUESTION, "What is oil?"), score=None)
            assert await hit(cache) is None

    with_redis(redis_url, scenario)


@pytest.mark.parametrize(
    ("spans", "text", "same"),
    [
        (((0, 4), (9, 12)), "Öl i … ink", True),
        (((0, 4),), "Öl i", True),
        (((0, 4),), "Öl", False),
    ],
)
def test_a_passage_is_compared_word_for_word(spans: tuple[tuple[int, int], ...], text: str, *, same: bool) -> None:
    """Its spans in the chunk as it is now, joined as a passage joins them."""
    assert is_as_it_was(replace(PASSAGE, spans=spans, text=text), CHUNK) is same
