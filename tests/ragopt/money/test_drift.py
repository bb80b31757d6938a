"""Alarms on daily costs, and the report of some days."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from redis.asyncio import Redis

from ragopt.domain import TECHNIQUES, Savings, Usage
from ragopt.money.drift import DAYS_BEFORE, CostWatch, alarms
from ragopt.money.ledger import AnswerRow, LedgerRow, Payer
from ragopt.money.stats import last_days, stats_of
from ragopt.settings.money import TargetSettings
from ragopt.state.ledger import DaySums, Ledger
from ragopt.state.outbox import Outbox
from tests.ragopt.state.scenarios import with_redis

TODAY = date(2026, 11, 20)
PAYER = Payer("acme", "k1", {"user": "ann", "team": "hr"}, "default")


def days(*costs_usd: str | None, answers: int = 50) -> list[DaySums]:
    """Return days up to today on which an answer cost this much; None: too few answers."""
    found = []
    for at, cost in enumerate(costs_usd):
        count = 1 if cost is None else answers
        spent = int(Decimal(cost or "9") * count * 10**9)
        day = TODAY - timedelta(days=len(costs_usd) - 1 - at)
        found.append(DaySums(day, {"total": {"": {"answers": count, "spent": spent}}}))
    return found


def kinds(found: Sequence[DaySums], targets: TargetSettings | None = None) -> list[tuple[int, str]]:
    """Return how many days ago each alarm was, and its kind."""
    raised = alarms(found, targets or TargetSettings(), since=found[0].day)
    return [((TODAY - alarm.day).days, alarm.kind) for alarm in raised]


def test_a_dear_day_is_an_alarm() -> None:
    """Over 1.5 times the median of the days before; at 1.5 times it is none."""
    assert kinds(days("0.01", "0.01", "0.03", "0.0151")) == [(0, "cost_drift")]
    assert kinds(days("0.01", "0.01", "0.03", "0.0150")) == []


def test_too_little_to_compare_with_is_no_alarm() -> None:
    """Three judged days are needed before, and answers enough on the day itself."""
    assert kinds(days("0.01", "0.01", "9")) == []
    assert kinds(days("0.01", None, "0.01", "9")) == []
    assert kinds(days("0.01", "0.01", "0.01", None)) == []


def test_only_the_days_shortly_before_count() -> None:
    """Costs that have been high for a while are no news."""
    assert kinds(days(*["0.01"] * 20, *["0.02"] * DAYS_BEFORE, "0.02"))[-1][0] > 0
    assert (0, "cost_drift") not in kinds(days(*["0.01"] * 20, *["0.02"] * DAYS_BEFORE, "0.02"))


def test_a_target_is_an_alarm_of_its_own() -> None:
    """It needs no days before."""
    targets = TargetSettings(cost_per_answer_usd=Decimal("0.01"))
    assert kinds(days("0.010001"), targets) == [(0, "cost_target")]
    assert kinds(days("0.01"), targets) == []


def noon(day: date) -> float:
    """Return the Unix time of noon, UTC."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()


def call_row(number: int, *, day: date, cost: str | None, error: str = "") -> LedgerRow:
    """Return one call; one that failed used nothing."""
    cost_usd = None if cost is None else Decimal(cost)
    usage = Usage(cost_usd=cost_usd) if error else Usage(1_000, output_tokens=10, cost_usd=cost_usd)
    return LedgerRow(
        id=f"{day}-{number}",
        answer_id=f"ans_{number}",
        at=noon(day),
        payer=PAYER,
        deployment="small",
        provider="openai",
        model="m",
        tier="simple",
        usage=usage,
        price_version="v",
        batch=False,
        outcome="error" if error else "ok",
        error=error,
    )


def answer_row(number: int, *, day: date, saved: str | None) -> AnswerRow:
    """Return one answer that saved all of it by its context."""
    parts = {name: Decimal(saved or 0) if name == "context" else Decimal(0) for name in TECHNIQUES}
    savings = None if saved is None else Savings(Decimal(1), parts)
    return AnswerRow(f"{day}-{number}", noon(day), PAYER, "small", savings)


def test_the_watch_tells_each_alarm_once(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """The alarm of a day is one warning in the log, with the tenant and both amounts, and is counted once."""

    async def scenario(redis: Redis) -> None:
        outbox = Outbox(redis)
        ledger = Ledger(redis, outbox)
        for back, cost in enumerate(("0.02", "0.01", "0.01", "0.01")):
            day = TODAY - timedelta(days=back)
            ledger.append(call_row(0, day=day, cost=cost))
            ledger.answered(answer_row(0, day=day, saved=None))
        assert await outbox.flush(within_s=60)
        targets = TargetSettings(min_answers=1)
        now = datetime(2026, 11, 20, 13, tzinfo=UTC)
        watch = CostWatch(ledger, targets, every_s=0.01, now=lambda: now)
        watch.saw("acme")
        while not caplog.records:
            await asyncio.sleep(0.01)
        assert [alarm.kind for alarm in await watch.look("acme")] == ["cost_drift"]
        assert await watch.look("globex") == []
        assert watch.told == {"cost_drift": 1, "cost_target": 0}
        await watch.close()

    with caplog.at_level(logging.WARNING, "ragopt.money"):
        with_redis(redis_url, scenario)
    assert [record.message for record in caplog.records] == [
        "tenant acme: on 2026-11-20 an answer cost 0.020000 USD, over what the days before allow: 0.015000 USD"
    ]


def test_the_report_adds_up(redis_url: str) -> None:
    """Spent and saved by model, label, technique and day; what is not known is counted, not guessed."""
    yesterday = TODAY - timedelta(days=1)

    async def scenario(redis: Redis) -> None:
        outbox = Outbox(redis)
        ledger = Ledger(redis, outbox)
        failed = call_row(4, day=TODAY, cost="0", error="provider_throttled")
        for row in (call_row(1, day=TODAY, cost="0.25"), call_row(2, day=TODAY, cost=None), failed):
            ledger.append(row)
        ledger.append(call_row(3, day=yesterday, cost="0.5"))
        for made in (answer_row(1, day=TODAY, saved="0.75"), answer_row(2, day=yesterday, saved=None)):
            ledger.answered(made)
        assert await outbox.flush(within_s=60)
        report = stats_of(await ledger.days("acme", last_days(TODAY, 3)))
        total = report.total
        assert (total.calls, total.unpriced_calls, total.spent_usd) == (3, 1, Decimal("0.75"))
        assert (total.failed_calls, report.by["model"]["small"].failed_calls) == (1, 1)
        assert (total.answers, total.answers_without_savings) == (2, 1)
        assert (total.saved_usd, total.baseline_usd) == (Decimal("0.75"), Decimal(1))
        assert report.by["model"]["small"].spent_usd == report.by["user"]["ann"].spent_usd == Decimal("0.75")
        assert report.by["team"]["hr"].saved_usd == Decimal("0.75")
        assert report.by["feature"] == {}
        assert sum(report.by_technique.values()) == report.by_technique["context"] == Decimal("0.75")
        spent = [(day, sums.spent_usd) for day, sums in report.by_day]
        assert spent == [(TODAY - timedelta(days=2), 0), (yesterday, Decimal("0.5")), (TODAY, Decimal("0.25"))]
        assert stats_of(await ledger.days("globex", last_days(TODAY, 3))).total.calls == 0

    with_redis(redis_url, scenario)
