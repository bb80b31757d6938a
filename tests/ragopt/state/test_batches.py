"""Batches in Redis: each belongs to one tenant and one worker, counts once, and forgets what it must."""

from __future__ import annotations

from dataclasses import fields, replace
from decimal import Decimal

import pytest
from redis.asyncio import Redis

from indexes.access import ANYONE, EVERYTHING
from ragopt.domain import CacheOutcome, Question
from ragopt.errors import IdempotencyConflict, NotFound, RateLimited
from ragopt.prompt import VERSION
from ragopt.results import History, Prepared
from ragopt.state.batch_records import BatchItem, BatchResult, Half, Part, Place, SharedCall, Terms, packed, unpacked
from ragopt.state.batches import STALE_S, Batches
from tests.model_calls import CONTEXT, PROMPT
from tests.ragopt.api.fakes import answer
from tests.ragopt.state.scenarios import Clock, with_redis

TERMS = Terms("acme", "default", 1_700_000_000.0, None, live=True, total=2)
ITEMS = [BatchItem(name, Question("Ünïcode?", "acme", labels={"team": "a"}, answer_id=f"ans_{name}")) for name in "ab"]
HALF = Half(CONTEXT, PROMPT, CacheOutcome("miss"), keeps=True, history=History(turns_before=3))
PLACE = Place("key", ("small", "large"), "because", 0.5)
CALL = SharedCall("key", (0, 1), ("small", "large"), "because", 0.5)


def test_a_half_holds_all_of_what_was_prepared() -> None:
    """Whatever the pipeline hands on between its halves is kept, but for what only route and cache need."""
    kept = {field.name for field in fields(Half)} | {"question", "encoded", "near"}
    assert {field.name for field in fields(Prepared)} == kept
    again = unpacked(Half, packed(HALF))
    assert again.prepared(ITEMS[0].question) == HALF.prepared(ITEMS[0].question)
    assert VERSION


def test_records_come_back_as_they_went_in(redis_url: str) -> None:
    """Requests, halves, places, calls and parts are read as they were written."""

    async def scenario(redis: Redis) -> None:
        batches = Batches(redis)
        batch_id, new = await batches.create(TERMS, ITEMS)
        assert new
        assert await batches.items(batch_id, [1, 0]) == ITEMS[::-1]
        assert await batches.unprepared(batch_id, total=2) == [0, 1]
        await batches.keep_halves(batch_id, {1: (HALF, PLACE)})
        assert await batches.unprepared(batch_id, total=2) == [0]
        assert (await batches.halves(batch_id, [1]), await batches.places(batch_id)) == ([HALF], {1: PLACE})
        part = Part(0, "small", ("key",), (f"{batch_id}-key-0",), "sent", 5.0, "batch_1")
        await batches.keep_parts(batch_id, [part], calls=[CALL])
        assert (await batches.parts(batch_id), await batches.calls(batch_id)) == ([part], {"key": CALL})
        assert (await batches.info(batch_id)).counts["prepared"] == 1

    with_redis(redis_url, scenario)


def test_the_first_result_and_the_first_cost_count(redis_url: str) -> None:
    """Recording again, as after a crash, changes neither a result nor a count nor the cost."""

    async def scenario(redis: Redis) -> None:
        batches = Batches(redis)
        batch_id, _ = await batches.create(TERMS, ITEMS)
        whole = answer(ITEMS[0].question)
        for text in ("first", "second"):
            found = {0: BatchResult("a", replace(whole, text=text), "batch")}
            await batches.record(batch_id, found, calls=[replace(CALL, state="done")], costs={"key-0": 1_500})
        info = await batches.info(batch_id)
        assert (info.counts["batch"], info.cost_nano, info.finished) == (1, 1_500, 1)
        kept = [result async for result in batches.results(batch_id, total=2)]
        assert [(item.custom_id, item.answer and item.answer.text) for item in kept] == [("a", "first")]
        assert kept[0].answer
        assert kept[0].answer.usage.cost_usd == Decimal("1E-7")
        assert await batches.unanswered(batch_id, [0, 1]) == [1]

    with_redis(redis_url, scenario)


def test_one_worker_at_a_time_and_none_forgotten(redis_url: str) -> None:
    """A batch is claimed once, again when its worker is silent for 15 seconds, and at once when it was put back."""
    clock = Clock()

    async def scenario(redis: Redis) -> None:
        batches = Batches(redis, now=clock)
        batch_id, _ = await batches.create(TERMS, ITEMS)
        (first,) = await batches.claim()
        assert ((await batches.info(batch_id)).state, await batches.claim()) == ("running", [])
        clock.seconds += STALE_S - 1
        assert await batches.beat(first)
        clock.seconds += STALE_S - 1
        assert await batches.claim() == []
        clock.seconds += 2
        (second,) = await batches.claim()
        assert (await batches.beat(first), await batches.beat(second)) == (False, True)
        await batches.release(first)
        assert await batches.claim() == []
        await batches.release(second)
        assert [claim.id for claim in await batches.claim()] == [batch_id]

    with_redis(redis_url, scenario)


def test_an_idempotency_key_names_one_batch_of_one_body(redis_url: str) -> None:
    """The same body returns the first batch, another body is refused, another tenant's key is its own."""

    async def scenario(redis: Redis) -> None:
        batches = Batches(redis)
        first, new = await batches.create(TERMS, ITEMS, idempotency=("k", "digest"))
        again, newer = await batches.create(TERMS, ITEMS, idempotency=("k", "digest"))
        assert ((again, new, newer), len(await batches.claim())) == ((first, True, False), 1)
        with pytest.raises(IdempotencyConflict):
            await batches.create(TERMS, ITEMS, idempotency=("k", "other"))
        other, _ = await batches.create(replace(TERMS, tenant="globex"), ITEMS, idempotency=("k", "other"))
        assert other != first

    with_redis(redis_url, scenario)


def test_a_key_has_so_many_questions_open_and_no_more(redis_url: str) -> None:
    """Results and ends make room again; a repetition needs none; another key, and no limit, are not bound."""
    own = replace(TERMS, key_id="k1")

    async def scenario(redis: Redis) -> None:
        batches = Batches(redis)
        first, _ = await batches.create(own, ITEMS, idempotency=("k", "digest"), most_open=3)
        with pytest.raises(RateLimited, match=r"3 questions open .* 2 are open, and this batch has 2") as refused:
            await batches.create(own, ITEMS, idempotency=("l", "digest"), most_open=3)
        assert refused.value.retry_after_s
        assert not [key async for key in redis.scan_iter("ragopt:batch-items:*") if first.encode() not in key]
        assert await batches.create(own, ITEMS, idempotency=("k", "digest"), most_open=3) == (first, False)
        assert (await batches.create(replace(own, key_id="k2"), ITEMS, most_open=3))[1]
        await batches.record(first, {0: BatchResult("a", None, "none", ("c", "s"))})
        second, new = await batches.create(own, ITEMS, idempotency=("l", "digest"), most_open=3)
        assert new
        with pytest.raises(RateLimited, match="3 are open"):
            await batches.create(own, ITEMS, most_open=3)
        for batch_id in (first, second):
            await batches.finish(batch_id, "cancelled")
        assert (await batches.create(own, ITEMS, most_open=3))[1]
        assert (await batches.create(own, ITEMS))[1]

    with_redis(redis_url, scenario)


def test_a_tenant_sees_its_own_batches(redis_url: str) -> None:
    """Another tenant's batch is not found, and a list holds the newest first."""

    async def scenario(redis: Redis) -> None:
        batches = Batches(redis)
        ids = [(await batches.create(replace(TERMS, created_at=TERMS.created_at + n), ITEMS))[0] for n in range(2)]
        assert [info.id for info in await batches.of_tenant("acme", reader=ANYONE)] == ids[::-1]
        assert await batches.of_tenant("globex", reader=EVERYTHING) == []
        with pytest.raises(NotFound):
            await batches.info(ids[0], tenant="globex")

    with_redis(redis_url, scenario)


def test_a_closed_batch_keeps_its_results_and_nothing_else(redis_url: str) -> None:
    """What only working on it needed is gone at once; how it stood and its results go with time."""

    async def scenario(redis: Redis) -> None:
        batches = Batches(redis)
        batch_id, _ = await batches.create(TERMS, ITEMS)
        (claim,) = await batches.claim()
        await batches.keep_halves(batch_id, {0: (HALF, PLACE)})
        await batches.record(batch_id, {0: BatchResult("a", None, "none", ("code", "why"))}, calls=[CALL])
        await batches.finish(batch_id, "done")
        await batches.finish(batch_id, "failed", error="too late to count")
        await batches.close(claim)
        info = await batches.info(batch_id)
        assert (info.state, info.error, info.ended_at is not None) == ("done", "", True)
        assert (await batches.claim(), await batches.beat(claim)) == ([], False)
        left = {key.decode().split(":")[1] async for key in redis.scan_iter(f"ragopt:batch*:{batch_id}")}
        assert left == {"batch", "batch-results"}
        assert all([await redis.ttl(key) > 0 async for key in redis.scan_iter(f"ragopt:batch*:{batch_id}")])

    with_redis(redis_url, scenario)
