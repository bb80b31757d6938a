"""The meter over a real Redis: no overspend, nothing left behind, closed when it cannot count."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from redis.asyncio import Redis

from ragopt.domain import Usage
from ragopt.errors import BudgetSpent, BudgetUnreachable, PriceUnknown
from ragopt.money.budgets import windows_for
from ragopt.money.meter import GRACE_S, BudgetMeter, most_usd_of
from ragopt.money.prices import Prices
from ragopt.providers.usage import prompt_tokens
from ragopt.settings.money import BudgetSettings
from ragopt.state.budgets import Budgets, Standing
from ragopt.state.ledger import Ledger
from ragopt.state.outbox import Outbox
from ragopt.state.redis_server import EmbeddedRedis
from tests.house.source import ROOT
from tests.ragopt.money.questions import REQUEST, USED, budget, deployment, question
from tests.ragopt.state.scenarios import Clock, with_redis

VOUCHED = frozenset({"user", "team", "feature"})
COUNTED, OUT = prompt_tokens(REQUEST.prompt), REQUEST.max_output_tokens
MOST = most_usd_of(deployment(), COUNTED, output_tokens=OUT, prices=Prices()) or Decimal(0)


class Books:
    """A meter and what is under it, on a clock that tests move."""

    def __init__(self, redis: Redis, *entries: BudgetSettings, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self.entries = entries
        self.outbox = Outbox(redis, retry_s=0.02)
        self.budgets = Budgets(redis, self.outbox, now=self.clock)
        self.ledger = Ledger(redis, self.outbox)
        self.meter = BudgetMeter(self.budgets, self.ledger, settings=entries, prices=Prices(), now=self.clock)

    async def standing(self) -> Sequence[Standing]:
        """Return what is spent and held, once nothing is under way."""
        assert await self.outbox.flush(within_s=60)
        return await self.budgets.standing(windows_for(self.entries, question(), at=self.clock()))


def test_a_thousand_at_once_never_overspend(redis_url: str) -> None:
    """1,000 concurrent calls against $1.00: what is spent fits, and no reservation is left."""
    paid = Usage(input_tokens=1_000, output_tokens=100)
    cost = Decimal("0.002")
    request = replace(REQUEST, max_output_tokens=200)
    dear = deployment()

    async def scenario(redis: Redis) -> None:
        books = Books(redis, budget(), budget("key", day="5", month="50"))

        async def one(number: int) -> int:
            try:
                reservation = await books.meter.reserve(dear, request, question())
            except BudgetSpent:
                return 0
            await asyncio.sleep(0)
            if number % 10 == 0:
                await reservation.release()
                return 0
            await reservation.settle(paid, cost, "ok")
            return 1

        served = sum(await asyncio.gather(*(one(number) for number in range(1_000))))
        tenant, day, month = await books.standing()
        assert 0 < served < 1_000
        assert tenant.spent_nano == day.spent_nano == month.spent_nano == served * 2_000_000
        assert tenant.spent_nano <= 10**9
        assert (tenant.held_nano, day.held_nano, month.held_nano) == (0, 0, 0)
        assert [key async for key in redis.scan_iter("ragopt:budget-held:*")] == []

    with_redis(redis_url, scenario)


def test_the_last_cent_is_spent_and_no_more(redis_url: str) -> None:
    """A call that fits exactly goes through, the next one does not, and another tenant's does."""
    entry = budget(day=format(2 * MOST, "f"))

    async def scenario(redis: Redis) -> None:
        books = Books(redis, entry)
        for _ in range(2):
            reservation = await books.meter.reserve(deployment(), REQUEST, question())
            await reservation.settle(USED, MOST, "ok")
        with pytest.raises(BudgetSpent, match="the tenant's budget of this day") as refused:
            await books.meter.reserve(deployment(), REQUEST, question())
        assert refused.value.when_spent == "cheaper_tier"
        await books.meter.reserve(deployment(), REQUEST, question("globex"))
        books.clock.seconds += 86_400
        await books.meter.reserve(deployment(), REQUEST, question())

    with_redis(redis_url, scenario)


def test_a_refusal_holds_nothing_of_the_budgets_that_had_enough(redis_url: str) -> None:
    """All budgets are held in one step, or none."""

    async def scenario(redis: Redis) -> None:
        books = Books(redis, budget(day="1000"), budget("key", day="0"))
        with pytest.raises(BudgetSpent):
            await books.meter.reserve(deployment(), REQUEST, question())
        assert [(item.spent_nano, item.held_nano) for item in await books.standing()] == [(0, 0), (0, 0)]

    with_redis(redis_url, scenario)


def test_settling_twice_counts_once(redis_url: str) -> None:
    """A settlement whose reply was lost may be sent again."""

    async def scenario(redis: Redis) -> None:
        books = Books(redis, budget())
        reservation = await books.meter.reserve(deployment(), REQUEST, question())
        await reservation.settle(USED, Decimal("0.25"), "ok")
        await reservation.settle(USED, Decimal("0.25"), "ok")
        await reservation.release()
        (standing,) = await books.standing()
        assert (standing.spent_nano, standing.held_nano) == (250_000_000, 0)
        assert len(await books.ledger.rows()) == 1

    with_redis(redis_url, scenario)


def test_a_late_settlement_counts_although_its_hold_expired(redis_url: str) -> None:
    """What a provider charged is spent, however long it took."""

    async def scenario(redis: Redis) -> None:
        books = Books(redis, budget(day=format(MOST, "f")))
        late = await books.meter.reserve(deployment(), REQUEST, question())
        books.clock.seconds += REQUEST.timeout_s + GRACE_S + 1
        second = await books.meter.reserve(deployment(), REQUEST, question())
        await late.settle(USED, Decimal("0.0001"), "ok")
        await second.release()
        (standing,) = await books.standing()
        assert (standing.spent_nano, standing.held_nano) == (100_000, 0)

    with_redis(redis_url, scenario)


DYING = """
import asyncio, os, signal, sys
from redis.asyncio import Redis
from ragopt.state.client import connect
from tests.ragopt.money.questions import REQUEST, budget, deployment, question
from tests.ragopt.money.test_meter import Books

async def main():
    books = Books(connect(sys.argv[1], timeout_s=60), budget())
    await books.meter.reserve(deployment(), REQUEST, question())
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def test_a_process_that_dies_leaves_nothing_behind(redis_url: str) -> None:
    """What a killed process held is held until its time is over, and then free."""
    dying = subprocess.run([sys.executable, "-c", DYING, redis_url], cwd=ROOT, check=False, env=child_environment())
    assert dying.returncode == -signal.SIGKILL

    async def scenario(redis: Redis) -> None:
        books = Books(redis, budget())
        (standing,) = await books.standing()
        assert standing.held_nano == MOST * 10**9
        books.clock.seconds += REQUEST.timeout_s + GRACE_S + 1
        await (await books.meter.reserve(deployment(), REQUEST, question())).release()
        (standing,) = await books.standing()
        assert (standing.spent_nano, standing.held_nano) == (0, 0)

    with_redis(redis_url, scenario)


def child_environment() -> dict[str, str]:
    """Return an environment in which the project can be imported."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_a_cancelled_reservation_is_given_back(redis_url: str) -> None:
    """A caller who goes away while money is being held leaves no hold."""

    async def scenario(redis: Redis) -> None:
        books = Books(redis, budget())
        for turns in range(12):
            task = asyncio.create_task(books.meter.reserve(deployment(), REQUEST, question()))
            for _ in range(turns):
                await asyncio.sleep(0.0005)
            task.cancel()
            (ended,) = await asyncio.gather(task, return_exceptions=True)
            if not isinstance(ended, BaseException):
                await ended.release()
        (standing,) = await books.standing()
        assert (standing.spent_nano, standing.held_nano) == (0, 0)

    with_redis(redis_url, scenario)


@pytest.mark.parametrize("when_spent", ["refuse", "extractive"])
def test_redis_killed_midway_closes_hard_budgets_only(own_redis: EmbeddedRedis, when_spent: str) -> None:
    """After the kill nothing is spent that cannot be counted, and a settlement under way fails no answer."""

    async def scenario(redis: Redis) -> None:
        books = Books(redis, budget("user", when_spent=when_spent))
        reservation = await books.meter.reserve(deployment(), REQUEST, question(user="ann", trusted=VOUCHED))
        assert own_redis.pid
        os.kill(own_redis.pid, signal.SIGKILL)
        await reservation.settle(USED, Decimal("0.01"), "ok")
        with pytest.raises(BudgetUnreachable) as refused:
            await books.meter.reserve(deployment(), REQUEST, question(user="ann", trusted=VOUCHED))
        assert refused.value.when_spent == when_spent
        await (await books.meter.reserve(deployment(), REQUEST, question(user="ann"))).release()
        free = deployment("quote", provider="extractive", price=None)
        await (await books.meter.reserve(free, REQUEST, question(user="ann", trusted=VOUCHED))).release()
        await books.outbox.close(within_s=0.1)
        assert books.ledger.lost > 0

    with_redis(own_redis.url, scenario)


def test_a_model_without_a_price_is_not_called_under_a_budget(redis_url: str) -> None:
    """Without a budget it is, and its row has no cost."""
    unpriced = deployment("stub", model="stub-ok", price=None)

    async def scenario(redis: Redis) -> None:
        with pytest.raises(PriceUnknown, match="stub"):
            await Books(redis, budget()).meter.reserve(unpriced, REQUEST, question())
        books = Books(redis)
        await (await books.meter.reserve(unpriced, REQUEST, question())).settle(USED, None, "ok")
        await books.outbox.flush(within_s=60)
        (row,) = await books.ledger.rows()
        assert (row["cost_usd"], row["deployment"], row["outcome"]) == (None, "stub", "ok")

    with_redis(redis_url, scenario)


def test_a_cost_that_turns_out_unknown_counts_as_all_that_was_held(redis_url: str) -> None:
    """A budget never counts too little."""

    async def scenario(redis: Redis) -> None:
        books = Books(redis, budget())
        await (await books.meter.reserve(deployment(), REQUEST, question())).settle(USED, None, "error")
        (standing,) = await books.standing()
        assert (standing.spent_nano, standing.held_nano) == (MOST * 10**9, 0)

    with_redis(redis_url, scenario)


def test_a_budget_that_refuses_is_seen_before_any_work(redis_url: str) -> None:
    """Once it is spent nothing goes on, not even the cache; other budgets leave its answers."""

    async def scenario(redis: Redis) -> None:
        await Books(redis, budget(when_spent="refuse")).meter.check(question())
        await Books(redis, budget(day="0", when_spent="cached_only")).meter.check(question())
        with pytest.raises(BudgetSpent):
            await Books(redis, budget(day="0", when_spent="refuse")).meter.check(question())

    with_redis(redis_url, scenario)


def test_another_tokenizer_holds_more() -> None:
    """A call of Anthropic's dialect holds half as much again for its prompt, at the price of a cache write."""
    small = deployment(model="gpt-4o-mini", price=None)
    own = most_usd_of(small, COUNTED, output_tokens=OUT, prices=Prices())
    assert own == math.ceil(COUNTED * Decimal("1.01")) * Decimal("0.00000015") + Decimal("0.00006")
    claude = deployment(provider="anthropic", model="claude-haiku-4-5", price=None)
    other = most_usd_of(claude, COUNTED, output_tokens=OUT, prices=Prices())
    assert other == math.ceil(COUNTED * Decimal("1.5")) * Decimal("0.00000125") + Decimal("0.0005")
