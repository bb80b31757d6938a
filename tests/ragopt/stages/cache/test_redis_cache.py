"""The exact answer cache: the same question only, never stale, never in the way."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from ragopt.domain import (
    Answer,
    Attempt,
    CacheMode,
    CacheOutcome,
    Citation,
    Context,
    Passage,
    QueryKnobs,
    Question,
    Route,
    Turn,
    Usage,
)
from ragopt.ports import AnswerCache
from ragopt.stages.cache.redis_cache import (
    INDEX,
    MAX_ENTRY_BYTES,
    PAUSE_S,
    CacheLimits,
    RedisAnswerCache,
    answer_from_json,
    answer_key,
    answer_to_json,
    normalised,
)
from ragopt.state.redis_server import EmbeddedRedis
from tests.ragopt.state.scenarios import Clock, with_redis

PASSAGE = Passage(1, "oil", 2, "oil/1", "Öl", ((0, 4), (9, 12)), "Öl … x", 3, 0.5, ((0, 4), (9, 12)))
CONTEXT = Context("What is oil?", "What is oil?", 800, 3, (PASSAGE,), 7, "budget")
CITATION = Citation(1, "oil", 2, "oil/1", "Öl", 0, 10, 0, 4, "Öl", "supported", 0.9)
ROUTE = Route("openai", "small", "simple", 0.2, "easy", (Attempt("small", "ok", "", 812.5),))
USAGE = Usage(1200, 1024, 0, 96, Decimal("0.000213"), estimated=False)
ANSWER = Answer(
    id="a1",
    text="Öl is oil [1].",
    abstained=False,
    citations=(CITATION,),
    context=CONTEXT,
    route=ROUTE,
    cache=CacheOutcome("miss"),
    usage=USAGE,
)
QUESTION = Question("What is oil?", "acme")
# A test machine may stall for longer than a service may wait.
PATIENT = CacheLimits(timeout_s=10)

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
COSTS = st.none() | st.decimals(allow_nan=False, allow_infinity=False)


def patient_cache(redis: Redis, *, clock: Clock | None = None, scope: str = "v1") -> RedisAnswerCache:
    """Return a cache that a slow machine does not trip."""
    return RedisAnswerCache(redis, ttl_s=60, scope=scope, limits=PATIENT, now=clock or Clock())


def test_a_repeated_question_is_a_hit_that_cost_nothing(redis_url: str) -> None:
    """A hit is the stored answer with its age, and with no tokens and no cost."""

    async def scenario(redis: Redis) -> None:
        clock = Clock()
        cache: AnswerCache = patient_cache(redis, clock=clock)
        await cache.put(QUESTION, "What is oil?", ANSWER)
        clock.seconds += 12
        hit = await cache.get(QUESTION, "What is oil?", generation=7)
        free = Usage(cost_usd=Decimal("0"))
        assert hit == replace(ANSWER, cache=CacheOutcome("hit", "exact", 1.0, 12.0), usage=free)

    with_redis(redis_url, scenario)


def test_case_width_and_white_space_do_not_matter(redis_url: str) -> None:
    """The same question typed differently is a hit, and its context shows the question as it was asked now."""

    async def scenario(redis: Redis) -> None:
        cache = patient_cache(redis)
        await cache.put(QUESTION, "What is oil?", ANSWER)
        asked = replace(QUESTION, text="and  OIL?")
        hit = await cache.get(asked, " what IS\n ｏｉｌ? ", generation=7)
        assert hit is not None
        assert (hit.context.question, hit.context.standalone_question) == ("and  OIL?", " what IS\n ｏｉｌ? ")
        assert hit.context.passages == CONTEXT.passages

    with_redis(redis_url, scenario)


@pytest.mark.parametrize(
    "other",
    [
        replace(QUESTION, tenant="other"),
        replace(QUESTION, tenant="acme:default"),
        replace(QUESTION, collection="other"),
        replace(QUESTION, knobs=QueryKnobs(context_tokens=801)),
        replace(QUESTION, knobs=QueryKnobs(top_k=51)),
        replace(QUESTION, model="small"),
        replace(QUESTION, max_output_tokens=100),
        replace(QUESTION, knobs=QueryKnobs(fusion="score")),
        replace(QUESTION, knobs=QueryKnobs(dense_weight=0.6)),
        replace(QUESTION, filter={"team": ("hr",)}),
        replace(QUESTION, filter={"team": ()}),
        replace(QUESTION, tier_floor="medium"),
        replace(QUESTION, tier_ceiling="medium"),
    ],
)
def test_whatever_decides_the_answer_decides_the_entry(redis_url: str, other: Question) -> None:
    """Another tenant, collection, knob, model, length or filter is another question."""

    async def scenario(redis: Redis) -> None:
        cache = patient_cache(redis)
        await cache.put(QUESTION, "What is oil?", ANSWER)
        assert await cache.get(QUESTION, "What is oil?", generation=7) is not None
        assert await cache.get(other, "What is oil?", generation=7) is None

    with_redis(redis_url, scenario)


def test_a_filter_is_kept_apart_by_what_it_means(redis_url: str) -> None:
    """The same filter in another order is a hit; another value, or the same of another JSON type, is a miss."""
    asked = replace(QUESTION, filter={"team": ("hr", "it"), "year": (1,)})

    async def scenario(redis: Redis) -> None:
        cache = patient_cache(redis)
        await cache.put(asked, "What is oil?", ANSWER)
        same = replace(QUESTION, filter={"year": (1.0,), "team": ("it", "hr")})
        assert await cache.get(same, "What is oil?", generation=7) is not None
        for year in (2, "1", True):
            other = replace(asked, filter={**asked.filter, "year": (year,)})
            assert await cache.get(other, "What is oil?", generation=7) is None
        assert await cache.get(QUESTION, "What is oil?", generation=7) is None

    with_redis(redis_url, scenario)


def test_another_generation_scope_or_wording_is_a_miss(redis_url: str) -> None:
    """An answer over other documents, under another prompt, or to other words is never served."""

    async def scenario(redis: Redis) -> None:
        cache = patient_cache(redis)
        await cache.put(QUESTION, "What is oil?", ANSWER)
        assert await cache.get(QUESTION, "What is oil?", generation=8) is None
        assert await cache.get(QUESTION, "What is oil", generation=7) is None
        assert await patient_cache(redis, scope="v2").get(QUESTION, "What is oil?", generation=7) is None

    with_redis(redis_url, scenario)


def test_labels_and_history_are_not_part_of_the_question() -> None:
    """Who asks, and what was said before, do not divide the cache: the standalone question stands for it."""
    labelled = replace(QUESTION, labels={"user": "u"}, history=(Turn("user", "Hello"),), text="And oil?")
    keys = {answer_key(q, "What is oil?", generation=7, scope="v1") for q in (QUESTION, labelled)}
    assert len(keys) == 1


@pytest.mark.parametrize("mode", ["on", "off", "read_only", "write_only"])
def test_the_mode_of_a_question_is_honoured(redis_url: str, mode: CacheMode) -> None:
    """A question is read from and written to the cache only as it asks for."""

    async def scenario(redis: Redis) -> None:
        cache, question = patient_cache(redis), replace(QUESTION, cache=mode)
        await cache.put(question, "What is oil?", ANSWER)
        assert (await redis.zcard(INDEX) == 1) is (mode in {"on", "write_only"})
        await cache.put(QUESTION, "What is oil?", ANSWER)
        found = await cache.get(question, "What is oil?", generation=7)
        assert (found is not None) is (mode in {"on", "read_only"})

    with_redis(redis_url, scenario)


@pytest.mark.parametrize(
    "answer",
    [
        replace(ANSWER, partial=True),
        replace(ANSWER, abstained=True),
        replace(ANSWER, citations=()),
        replace(ANSWER, cache=CacheOutcome("hit", "exact", 1.0, 3.0)),
        replace(ANSWER, text="x" * MAX_ENTRY_BYTES),
        replace(ANSWER, text="\ud800"),
    ],
    ids=["partial", "abstained", "uncited", "itself a hit", "too large", "not Unicode"],
)
def test_an_answer_not_worth_keeping_is_not_kept(redis_url: str, answer: Answer) -> None:
    """Only whole, cited, fresh answers of moderate size are stored."""

    async def scenario(redis: Redis) -> None:
        await patient_cache(redis).put(QUESTION, "What is oil?", answer)
        assert await redis.dbsize() == 0

    with_redis(redis_url, scenario)


def test_entries_expire(redis_url: str) -> None:
    """An entry lives for the time the cache was given, and one without a time is not made."""

    async def scenario(redis: Redis) -> None:
        await patient_cache(redis).put(QUESTION, "What is oil?", ANSWER)
        assert 0 < await redis.ttl(answer_key(QUESTION, "What is oil?", generation=7, scope="v1")) <= 60
        await redis.flushall()
        off = RedisAnswerCache(redis, ttl_s=0, scope="v1", limits=PATIENT)
        await off.put(QUESTION, "What is oil?", ANSWER)
        assert (await redis.dbsize(), await off.get(QUESTION, "What is oil?", generation=7)) == (0, None)

    with_redis(redis_url, scenario)


def test_the_cache_bounds_itself_by_its_oldest_entries(redis_url: str) -> None:
    """Beyond its number of entries the cache forgets the oldest, because Redis evicts nothing."""

    async def scenario(redis: Redis) -> None:
        clock = Clock()
        limits = replace(PATIENT, max_entries=3)
        cache = RedisAnswerCache(redis, ttl_s=60, scope="v1", limits=limits, now=clock)
        for n in range(5):
            clock.seconds += 1
            await cache.put(QUESTION, f"question {n}", ANSWER)
        found = [await cache.get(QUESTION, f"question {n}", generation=7) is not None for n in range(5)]
        assert (found, await redis.dbsize()) == ([False, False, True, True, True], 4)

    with_redis(redis_url, scenario)


@pytest.mark.parametrize("garbage", [b"", b"\xff\x00", b"1.0\n", b"1.0\n{}", b"x\n" + answer_to_json(ANSWER), b"1\n[]"])
def test_garbage_is_a_miss(redis_url: str, garbage: bytes) -> None:
    """An entry that is no answer is not served, and the next answer replaces it."""

    async def scenario(redis: Redis) -> None:
        cache = patient_cache(redis)
        await redis.set(answer_key(QUESTION, "What is oil?", generation=7, scope="v1"), garbage)
        assert await cache.get(QUESTION, "What is oil?", generation=7) is None
        await cache.put(QUESTION, "What is oil?", ANSWER)
        assert await cache.get(QUESTION, "What is oil?", generation=7) is not None

    with_redis(redis_url, scenario)


def test_an_entry_of_another_type_is_a_miss(redis_url: str) -> None:
    """Redis answering with an error is a miss like any other trouble."""

    async def scenario(redis: Redis) -> None:
        await redis.lpush(answer_key(QUESTION, "What is oil?", generation=7, scope="v1"), "x")
        assert await patient_cache(redis).get(QUESTION, "What is oil?", generation=7) is None

    with_redis(redis_url, scenario)


def test_a_killed_redis_is_a_miss(own_redis: EmbeddedRedis) -> None:
    """Without Redis questions are answered as if there were no cache."""

    async def scenario(redis: Redis) -> None:
        cache = patient_cache(redis)
        await cache.put(QUESTION, "What is oil?", ANSWER)
        os.kill(own_redis.pid, signal.SIGKILL)
        assert await cache.get(QUESTION, "What is oil?", generation=7) is None
        await cache.put(QUESTION, "What is oil?", ANSWER)

    with_redis(own_redis.url, scenario)


def test_a_paused_redis_is_given_up_and_left_alone_for_a_while(own_redis: EmbeddedRedis) -> None:
    """A Redis that hangs costs one short wait, is skipped for five seconds, and is used again afterwards."""

    async def scenario(redis: Redis) -> None:
        clock = Clock()
        cache = RedisAnswerCache(redis, ttl_s=60, scope="v1", now=clock)
        await patient_cache(redis, clock=clock).put(QUESTION, "What is oil?", ANSWER)
        os.kill(own_redis.pid, signal.SIGSTOP)
        try:
            # The client itself would wait 5 s: only the cache's own limit makes this a miss.
            assert await cache.get(QUESTION, "What is oil?", generation=7) is None
            clock.seconds += PAUSE_S
            await cache.put(QUESTION, "What else?", ANSWER)
        finally:
            os.kill(own_redis.pid, signal.SIGCONT)
        clock.seconds += PAUSE_S / 2
        assert await cache.get(QUESTION, "What is oil?", generation=7) is None
        await cache.put(QUESTION, "Skipped?", ANSWER)
        patient = patient_cache(redis, clock=clock)
        assert await patient.get(QUESTION, "What is oil?", generation=7) is not None
        assert await patient.get(QUESTION, "Skipped?", generation=7) is None
        assert await hit_after_pauses(cache, clock) is not None

    async def hit_after_pauses(cache: RedisAnswerCache, clock: Clock) -> Answer | None:
        for _ in range(50):
            clock.seconds += PAUSE_S
            hit = await cache.get(QUESTION, "What is oil?", generation=7)
            if hit is not None:
                return hit
        return None

    with_redis(own_redis.url, scenario)


@given(text=st.text())
def test_normalising_only_joins_words(text: str) -> None:
    """A normalised question has no white space but single spaces inside, and none at its ends."""
    assert normalised(f" \t{text}\n") == normalised(text)
    assert normalised(text) == " ".join(normalised(text).split())


@settings(max_examples=60)
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
def test_an_answer_survives_its_json(answer: Answer) -> None:
    """Any answer, with any text, cost and absent value, reads back equal, and its cost digit for digit."""
    read = answer_from_json(answer_to_json(answer))
    assert read == answer
    assert str(read.usage.cost_usd) == str(answer.usage.cost_usd)


@pytest.mark.parametrize("stored", [b"", b"null", b"{}", b'{"id": 1}', answer_to_json(ANSWER)[:-1]])
def test_what_is_no_answer_is_refused(stored: bytes) -> None:
    """Reading anything but an answer is an error, never half an answer."""
    with pytest.raises(ValueError, match="Answer"):
        answer_from_json(stored)
