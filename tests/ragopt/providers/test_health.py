"""Breaker, places and retry budget, on a clock that only moves when it is told to."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragopt.providers.health import Breaker, BreakerRules, Bulkhead, RetryBudget, Verdict
from tests.model_calls import Instants

RULES = BreakerRules(share=0.5, calls=4, window_s=30, wait_s=15, max_wait_s=60)


def ended(breaker: Breaker, *verdicts: Verdict) -> None:
    """Let calls through that end like this, one after the other."""
    for verdict in verdicts:
        era = breaker.enter()
        assert era is not None
        breaker.leave(era, verdict)


def opened(clock: Instants) -> Breaker:
    """Return a breaker that has just opened."""
    breaker = Breaker(RULES, clock=clock)
    ended(breaker, "failed", "failed", "failed", "failed")
    assert breaker.state == "open"
    return breaker


def test_opens_at_the_share_and_not_before() -> None:
    """Half of four calls open it; fewer calls or a smaller share do not."""
    few = Breaker(RULES, clock=Instants())
    ended(few, "failed", "failed", "failed")
    mostly_well = Breaker(RULES, clock=Instants())
    ended(mostly_well, "ok", "ok", "ok", "failed", "ok", "failed")
    half = Breaker(RULES, clock=Instants())
    ended(half, "ok", "ok", "failed", "failed")
    assert (few.state, mostly_well.state, half.state) == ("closed", "closed", "open")
    assert half.enter() is None


def test_old_failures_are_forgotten() -> None:
    """What ended before the window does not count, nor do calls that say nothing."""
    clock = Instants()
    breaker = Breaker(RULES, clock=clock)
    ended(breaker, "failed", "failed", "failed")
    clock.now += 30
    ended(breaker, "unknown", "unknown", "failed", "ok", "ok")
    assert breaker.state == "closed"


def test_spent_quota_opens_at_once() -> None:
    """One call is enough: no waiting of seconds cures it."""
    breaker = Breaker(RULES, clock=Instants())
    ended(breaker, "ok", "ok", "spent")
    assert breaker.enter() is None


def test_half_open_lets_exactly_one_through() -> None:
    """After the wait the first call is the probe; all others are turned away until it has ended."""
    clock = Instants()
    breaker = opened(clock)
    clock.now += 14.9
    assert breaker.enter() is None
    assert breaker.wait_s() == pytest.approx(0.1)
    clock.now += 0.1
    probe = breaker.enter()
    assert probe is not None
    assert [breaker.enter() for _ in range(3)] == [None] * 3
    breaker.leave(probe, "ok")
    assert (breaker.state, breaker.wait_s()) == ("closed", 0)


def test_failed_probes_double_the_wait() -> None:
    """15, 30, 60 seconds and no longer; a probe that works sets it back."""
    clock = Instants()
    breaker, waits = opened(clock), []
    for _ in range(4):
        waits.append(breaker.wait_s())
        clock.now += breaker.wait_s()
        ended(breaker, "failed")
    assert waits == [15, 30, 60, 60]
    clock.now += 60
    ended(breaker, "ok")
    ended(breaker, "failed", "failed", "failed", "failed")
    assert breaker.wait_s() == 15


def test_cancelled_probe_gives_its_turn_to_the_next() -> None:
    """A probe that says nothing must not leave the breaker half open for ever."""
    clock = Instants()
    breaker = opened(clock)
    clock.now += 15
    ended(breaker, "unknown")
    assert breaker.state == "open"
    assert breaker.enter() is not None


def test_calls_of_an_earlier_era_say_nothing() -> None:
    """A call that began before it opened cannot close it, nor count against it later."""
    clock = Instants()
    breaker = Breaker(RULES, clock=clock)
    slow = breaker.enter()
    assert slow is not None
    ended(breaker, "failed", "failed", "failed", "failed")
    breaker.leave(slow, "ok")
    assert breaker.state == "open"
    clock.now += 15
    probe = breaker.enter()
    breaker.leave(slow, "failed")
    assert probe is not None
    breaker.leave(probe, "ok")
    assert breaker.state == "closed"


def test_bulkhead_bounds_places_and_line() -> None:
    """Two run, one waits, the fourth is turned away; a place that is left goes to the one that waits."""

    async def run() -> None:
        bulkhead = Bulkhead(2, max_queue=1)
        assert await bulkhead.enter(most_s=0)
        assert await bulkhead.enter(most_s=0)
        waiting = asyncio.create_task(bulkhead.enter(most_s=60))
        await asyncio.sleep(0)
        assert (bulkhead.inside, bulkhead.waiting) == (2, 1)
        assert not await bulkhead.enter(most_s=60)
        bulkhead.leave()
        assert await waiting
        assert (bulkhead.inside, bulkhead.waiting) == (2, 0)

    asyncio.run(run())


def test_bulkhead_gives_up_after_the_wait_and_loses_no_place() -> None:
    """Who waited too long or was cancelled holds nothing: the place is free afterwards."""

    async def run() -> None:
        bulkhead = Bulkhead(1)
        assert await bulkhead.enter(most_s=0)
        assert not await bulkhead.enter(most_s=0.01)
        cancelled = asyncio.create_task(bulkhead.enter(most_s=60))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        bulkhead.leave()
        assert (bulkhead.inside, bulkhead.waiting) == (0, 0)
        assert await bulkhead.enter(most_s=0)

    asyncio.run(run())


def test_no_bulkhead_lets_everyone_in() -> None:
    """Without a bound nobody waits; those inside are counted all the same."""

    async def run() -> int:
        bulkhead = Bulkhead(None)
        assert all([await bulkhead.enter(most_s=0) for _ in range(100)])
        return bulkhead.inside

    assert asyncio.run(run()) == 100


def test_few_calls_may_be_retried_three_times_a_minute() -> None:
    """The least of the budget, so that a quiet service retries at all; a minute later it is there again."""
    clock = Instants()
    budget = RetryBudget(0.1, clock=clock)
    budget.called()
    assert [budget.take() for _ in range(5)] == [True, True, True, False, False]
    clock.now += 60
    assert budget.take()


def test_no_share_means_no_retry() -> None:
    """An operator who sets 0 gets none, not three."""
    assert not RetryBudget(0, clock=Instants()).take()


@given(st.lists(st.booleans(), min_size=200, max_size=600))
def test_retries_stay_a_tenth_of_the_calls(wanted: list[bool]) -> None:
    """However many calls of a minute fail, at most a tenth of at least 200 are made again."""
    budget = RetryBudget(0.1, clock=Instants())
    retries = 0
    for fails in wanted:
        budget.called()
        retries += fails and budget.take()
    assert retries <= 0.1 * len(wanted)
