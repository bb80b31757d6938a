"""Many callers at once: what is counted, and that it adds up."""

from __future__ import annotations

import asyncio

import pytest

from eval.bench.concurrency import RECOVERY_LIMIT_S, Load, Reply, level_metrics, measured, rates
from eval.bench.texts import BenchTexts
from eval.report import Report
from tests.eval.front_desk import FrontDesk

LOAD = Load(callers=(1, 4), requests=24, permits=4, overload_s=0.2, calm_factor=1_000)


def report_of(desk: FrontDesk) -> Report:
    """Return what is measured of a desk."""

    async def run() -> Report:
        async with desk.serving() as service:
            return await measured(service, BenchTexts.of(None, chunks=20, seed=0), LOAD)

    return asyncio.run(run())


def test_levels_reach_their_concurrency_and_overload_is_shed() -> None:
    """Every request is answered below the limit, some are refused above it, none is lost, and calm returns."""
    desk = FrontDesk(permits=4)
    report = report_of(desk)
    values = {name: interval.value for name, interval in report.metrics.items()}
    assert desk.most == 4
    assert report.config["chunks"] == 20
    for callers in LOAD.callers:
        at = f"answer@{callers}"
        assert values[f"{at}.errors"] == values[f"{at}.shed"] == 0
        assert 0 < values[f"{at}.p50_ms"] <= values[f"{at}.p95_ms"] <= values[f"{at}.p99_ms"]
        assert values[f"{at}.per_s"] > 0
    assert values["overload.callers"] == 8
    assert values["overload.shed"] > 0
    assert values["overload.answered"] > 0
    counted = sum(values[f"overload.{name}"] for name in ("answered", "shed", "errors"))
    assert values["overload.requests"] == counted
    assert 0 < values["overload.refusal_p50_ms"] <= values["overload.refusal_p95_ms"]
    assert 0 < values["overload.recovery_s"] <= RECOVERY_LIMIT_S


def test_a_failure_is_an_error_and_no_answer() -> None:
    """A status that is neither 200 nor 503 counts as an error of its level, and its time is no latency."""
    values = report_of(FrontDesk(permits=64, broken_every=7)).metrics
    assert values["answer@1.errors"].value + values["answer@4.errors"].value > 0
    assert values["overload.errors"].value > 0
    assert values["overload.shed"].value == 0


def test_rates_are_answers_by_time() -> None:
    """Ten answers a second are ten a second in every part; a refusal takes time and answers nothing."""
    replies = [Reply(200, 100.0, 0.1 * (n + 1)) for n in range(40)]
    assert rates(replies) == pytest.approx([10.0] * 10)
    half = [Reply(200 if n % 2 else 503, 100.0, 0.1 * (n + 1)) for n in range(40)]
    assert rates(half) == pytest.approx([5.0] * 10)
    assert rates(replies[:3]) == pytest.approx([10.0] * 3)


def test_a_level_without_an_answer_has_no_latency() -> None:
    """Broken connections alone give counts, and no percentile made of nothing."""
    metrics = level_metrics([Reply(0, 5.0, 0.01), Reply(0, 5.0, 0.02)], callers=2, seed=0)
    assert {name: interval.value for name, interval in metrics.items()} == {"answer@2.shed": 0, "answer@2.errors": 2}
