"""The ledger in Redis, and the writes that wait for it."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from redis.asyncio import Redis

from ragopt.domain import Usage
from ragopt.money.ledger import LedgerRow, Payer, nano_above, rounded_nano, usd
from ragopt.state.ledger import Ledger
from ragopt.state.outbox import Outbox, Write
from ragopt.state.redis_server import EmbeddedRedis
from tests.ragopt.state.scenarios import Clock, with_redis

AT = Clock()()
DAY = datetime.fromtimestamp(AT, UTC).date()
ROW = LedgerRow(
    id="call-1",
    answer_id="ans_1",
    at=AT,
    payer=Payer("acme", "k1", {"user": "ann"}, "default"),
    deployment="small",
    provider="openai",
    model="gpt-4o-mini",
    tier="simple",
    usage=Usage(
        input_tokens=10,
        cached_input_tokens=20,
        cache_write_tokens=30,
        output_tokens=40,
        cost_usd=Decimal("0.00000012345678"),
        estimated=True,
        cache_write_1h_tokens=50,
        reasoning_tokens=7,
    ),
    price_version="genai-prices 0.2.3",
    batch=False,
    outcome="ok",
)


def test_a_row_is_kept_whole(redis_url: str) -> None:
    """Every bucket, the cost to the last digit, and which prices it was worked out with."""

    async def scenario(redis: Redis) -> None:
        outbox = Outbox(redis)
        ledger = Ledger(redis, outbox)
        ledger.append(ROW)
        assert await outbox.flush(within_s=60)
        (row,) = await ledger.rows()
        assert (row["cost_usd"], row["price_version"]) == ("0.00000012345678", "genai-prices 0.2.3")
        assert (row["tenant"], row["key_id"], row["user"], row["team"]) == ("acme", "k1", "ann", None)
        buckets = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "cache_write_1h_tokens")
        assert [row[name] for name in (*buckets, "output_tokens", "reasoning_tokens")] == [10, 20, 30, 50, 40, 7]
        assert row["estimated"] is True

    with_redis(redis_url, scenario)


def test_a_row_that_is_written_twice_counts_once(redis_url: str) -> None:
    """A lost reply may lead to a second write."""

    async def scenario(redis: Redis) -> None:
        outbox = Outbox(redis)
        ledger = Ledger(redis, outbox)
        for row in (ROW, ROW, replace(ROW, id="call-2")):
            ledger.append(row)
        assert await outbox.flush(within_s=60)
        (day,) = await ledger.days("acme", [DAY])
        assert day.total("calls") == 2
        assert day.total("spent") == 2 * 123

    with_redis(redis_url, scenario)


def test_an_attempt_that_used_nothing_is_a_failed_call_and_no_call(redis_url: str) -> None:
    """Its cost is known and zero; one that failed after it used tokens is both."""
    nothing = replace(ROW, usage=Usage(cost_usd=Decimal(0)), outcome="error", error="provider_throttled")

    async def scenario(redis: Redis) -> None:
        outbox = Outbox(redis)
        ledger = Ledger(redis, outbox)
        for row in (nothing, nothing, replace(ROW, id="call-2", outcome="error", error="provider_timeout")):
            ledger.append(row)
        assert await outbox.flush(within_s=60)
        (day,) = await ledger.days("acme", [DAY])
        assert day.sums["model"]["small"] == {"failed_calls": 2, "calls": 1, "spent": 123}
        assert day.sums["user"]["ann"] == day.sums["total"][""] == day.sums["model"]["small"]
        _, row = await ledger.rows()
        assert (row["outcome"], row["error"], row["cost_usd"], row["key_id"]) == (
            "error",
            "provider_throttled",
            "0",
            "k1",
        )

    with_redis(redis_url, scenario)


def test_a_call_that_was_given_up_and_is_charged_after_all_counts(redis_url: str) -> None:
    """The row that says it used nothing does not stand in the way of the one with its cost."""

    async def scenario(redis: Redis) -> None:
        outbox = Outbox(redis)
        ledger = Ledger(redis, outbox)
        ledger.append(replace(ROW, usage=Usage(cost_usd=Decimal(0)), outcome="error", error="provider_unavailable"))
        ledger.append(ROW)
        assert await outbox.flush(within_s=60)
        (day,) = await ledger.days("acme", [DAY])
        assert (day.total("calls"), day.total("spent")) == (1, 123)

    with_redis(redis_url, scenario)


def test_names_beyond_the_most_are_added_up_together(redis_url: str) -> None:
    """A caller who invents a label for every question does not fill Redis, and no money is lost from the sums."""

    async def scenario(redis: Redis) -> None:
        outbox = Outbox(redis)
        ledger = Ledger(redis, outbox, max_sums=20)
        for number in range(100):
            payer = replace(ROW.payer, labels={"user": f"user-{number}\udc80"})
            ledger.append(replace(ROW, id=str(number), payer=payer))
        assert await outbox.flush(within_s=60)
        (day,) = await ledger.days("acme", [DAY])
        assert day.total("calls") == 100
        users = day.sums["user"]
        assert sum(measures.get("calls", 0) for measures in users.values()) == 100
        assert users[""]["calls"] > 80
        assert len(users) < 20

    with_redis(redis_url, scenario)


def test_the_stream_is_capped(redis_url: str) -> None:
    """Old rows go; the sums stay."""

    async def scenario(redis: Redis) -> None:
        outbox = Outbox(redis)
        ledger = Ledger(redis, outbox, max_rows=100)
        for number in range(500):
            ledger.append(replace(ROW, id=str(number)))
        assert await outbox.flush(within_s=60)
        # Redis cuts a stream by whole nodes of a hundred rows.
        assert 100 <= len(await ledger.rows()) <= 200
        (day,) = await ledger.days("acme", [DAY])
        assert day.total("calls") == 500

    with_redis(redis_url, scenario)


def test_redis_that_comes_back_gets_everything(own_redis: EmbeddedRedis) -> None:
    """While it is stopped rows wait, and nothing else does."""

    async def scenario(redis: Redis) -> None:
        outbox = Outbox(redis, retry_s=0.02)
        ledger = Ledger(redis, outbox)
        assert own_redis.pid
        os.kill(own_redis.pid, signal.SIGSTOP)
        try:
            for number in range(5):
                ledger.append(replace(ROW, id=str(number)))
            assert not await outbox.flush(within_s=0.1)
        finally:
            os.kill(own_redis.pid, signal.SIGCONT)
        assert await outbox.flush(within_s=60)
        (day,) = await ledger.days("acme", [DAY])
        assert (day.total("calls"), ledger.lost) == (5, 0)

    with_redis(own_redis.url, scenario)


def test_what_cannot_be_written_is_counted_and_logged(redis_url: str) -> None:
    """More than there is room for, and what Redis will never take; the rest goes on."""

    async def scenario(redis: Redis) -> None:
        outbox = Outbox(redis, max_waiting=10)
        ledger = Ledger(redis, outbox)
        outbox.put(Write("return redis.call('NO-SUCH-COMMAND')", [], []))
        for number in range(12):
            ledger.append(replace(ROW, id=str(number)))
        assert await outbox.flush(within_s=60)
        (day,) = await ledger.days("acme", [DAY])
        # The broken one and two rows made room for the last ten.
        assert (day.total("calls"), ledger.lost) == (10, 3)
        outbox.put(Write("return redis.call('NO-SUCH-COMMAND')", [], []))
        ledger.append(replace(ROW, id="after"))
        assert await outbox.flush(within_s=60)
        assert ledger.lost == 4
        (day,) = await ledger.days("acme", [DAY])
        assert day.total("calls") == 11

    with_redis(redis_url, scenario)


def test_closing_writes_what_waits(redis_url: str) -> None:
    """A drain loses no row."""

    async def scenario(redis: Redis) -> None:
        outbox = Outbox(redis)
        ledger = Ledger(redis, outbox)
        ledger.append(ROW)
        await outbox.close()
        assert len(await ledger.rows()) == 1
        assert (outbox.waiting, outbox.dropped) == (0, 0)
        await asyncio.sleep(0)

    with_redis(redis_url, scenario)


def test_budgets_round_up_and_sums_to_the_nearest() -> None:
    """A nano-USD is a billionth; half of one is counted as a whole one."""
    assert (nano_above(Decimal("1E-10")), nano_above(Decimal("2E-9")), nano_above(Decimal(0))) == (1, 2, 0)
    assert (rounded_nano(Decimal("1E-10")), rounded_nano(Decimal("5E-10")), rounded_nano(Decimal("-5E-10"))) == (
        0,
        1,
        -1,
    )
    assert usd(1_500_000_000) == Decimal("1.5")


def test_rows_are_read_from_a_time_on_and_tell_since_when_none_is_missing(redis_url: str) -> None:
    """Every page of them, oldest first; once the ledger is full, what it holds begins with its oldest row."""

    async def scenario(redis: Redis) -> None:
        outbox = Outbox(redis)
        ledger = Ledger(redis, outbox)
        for number in range(250):
            ledger.append(replace(ROW, id=f"page-{number}"))
        assert await outbox.flush(within_s=60)
        rows, since = await ledger.rows_since(1.0)
        assert [row["id"] for row in rows if str(row["id"]).startswith("page-")] == [f"page-{n}" for n in range(250)]
        assert since == 1.0
        _, since = await Ledger(redis, outbox, max_rows=10).rows_since(1.0)
        assert since > AT

    with_redis(redis_url, scenario)
