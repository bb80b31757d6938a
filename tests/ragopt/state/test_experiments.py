"""Sums of variants in a real Redis, and the guards over them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from ragopt.errors import StateUnavailable
from ragopt.experiments.judging import LossSums
from ragopt.settings.experiments import ExperimentSettings
from ragopt.state.experiments import COPY_S, Experiments
from ragopt.state.outbox import Outbox
from tests.ragopt.state.scenarios import Clock, with_redis

EXPERIMENT = ExperimentSettings.model_validate(
    {"name": "e", "variants": [{"name": "control", "share": 1}, {"name": "short", "share": 1}]}
)


def with_experiments(url: str, scenario: Callable[[Experiments, Outbox, Clock], Awaitable[None]]) -> None:
    """Run a scenario over one experiment and a clock that it moves."""

    async def run(redis: Redis) -> None:
        outbox, clock = Outbox(redis), Clock()
        await scenario(Experiments(redis, outbox, [EXPERIMENT], clock=clock), outbox, clock)
        await outbox.close()

    with_redis(url, run)


def test_answer_is_added_once(redis_url: str) -> None:
    """A write that ran twice changes nothing; variants have sums of their own."""

    async def scenario(experiments: Experiments, outbox: Outbox, _: Clock) -> None:
        for answer_id, cost in (("a1", 0.5), ("a2", 1.5), ("a2", 1.5)):
            experiments.saw("e", "short", answer_id=answer_id, losses={"cost_usd": cost, "abstained": 0.0})
        assert await outbox.flush(within_s=60)
        found = await experiments.sums("e", "short")
        assert found["cost_usd"] == LossSums(2, 2.0, 2.5)
        assert (found["cost_usd"].mean, found["cost_usd"].variance) == (1.0, 0.5)
        assert found["abstained"] == LossSums(2, 0.0, 0.0)
        assert (await experiments.sums("e", "control"))["cost_usd"] == LossSums()

    with_experiments(redis_url, scenario)


def test_rating_goes_to_the_variant_that_answered(redis_url: str) -> None:
    """The first rating of an answer counts; one of an answer that took part in nothing is no error."""

    async def scenario(experiments: Experiments, outbox: Outbox, _: Clock) -> None:
        experiments.saw("e", "short", answer_id="a1", losses={"cost_usd": 1.0})
        assert await outbox.flush(within_s=60)
        for answer_id, liked in (("a1", False), ("a1", True), ("unknown", False)):
            await experiments.rated(answer_id, liked=liked)
            assert await outbox.flush(within_s=60)
        assert (await experiments.sums("e", "short"))["disliked"] == LossSums(1, 1.0, 1.0)
        assert (await experiments.sums("e", "short"))["cost_usd"].n == 1

    with_experiments(redis_url, scenario)


def test_guard_ends_a_variant_for_good(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Once surely worse it is stopped, in this process within seconds, and stays so when the sums look better."""

    async def scenario(experiments: Experiments, outbox: Outbox, clock: Clock) -> None:
        assert await experiments.stopped() == frozenset()
        for n in range(300):
            experiments.saw("e", "control", answer_id=f"c{n}", losses={"unsupported": 0.0})
            experiments.saw("e", "short", answer_id=f"s{n}", losses={"unsupported": float(n % 2)})
        assert await outbox.flush(within_s=60)
        assert await experiments.stopped() == frozenset()
        clock.seconds += COPY_S
        assert await experiments.stopped() == {"e/short"}
        for n in range(3_000):
            experiments.saw("e", "short", answer_id=f"t{n}", losses={"unsupported": 0.0})
        assert await outbox.flush(within_s=60)
        clock.seconds += COPY_S
        assert await experiments.stopped() == {"e/short"}

    with_experiments(redis_url, scenario)
    assert "a guard ended the variant short" in caplog.text


def test_redis_that_is_down_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Questions go on under what was last known; reading the sums says that it cannot."""

    async def scenario(experiments: Experiments, _: Outbox, clock: Clock) -> None:
        clock.seconds += COPY_S
        assert await experiments.stopped() == frozenset()
        with pytest.raises(StateUnavailable):
            await experiments.sums("e", "short")

    with_experiments("redis://127.0.0.1:1", scenario)
    assert "were not looked at" in caplog.text
