"""Requests and tokens per minute, on a clock that only moves when it is told to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragopt.providers.allowance import Allowance
from ragopt.providers.limits import RateLimits, Window
from tests.model_calls import Instants


def allowance(clock: Instants, *, rpm: int | None = None, tpm: int | None = None) -> Allowance:
    """Return the limits of one model."""
    return Allowance(rpm=rpm, tpm=tpm, clock=clock)


def test_no_limit_grants_at_once() -> None:
    """Without limits any call may go on, and its tokens need not be counted."""
    free = allowance(Instants())
    grant = free.reserve(10**9, most_s=0)
    assert grant
    assert (grant.wait_s, free.counts_tokens, free.share_left()) == (0, False, 1)


def test_requests_come_back_steadily() -> None:
    """Sixty a minute: after the sixtieth at once, one more each second, in the order of asking."""
    clock = Instants()
    limited = allowance(clock, rpm=60)
    assert all(limited.reserve(0, most_s=0) for _ in range(60))
    assert limited.reserve(0, most_s=0) is None
    waits = [grant.wait_s for _ in range(3) if (grant := limited.reserve(0, most_s=5))]
    assert waits == pytest.approx([1, 2, 3])
    clock.now += 3
    assert limited.wait_s(0) == pytest.approx(1)


def test_tokens_are_reserved_and_settled() -> None:
    """The reservation holds the longest answer; what was not used is there for the next call."""
    limited = allowance(Instants(), tpm=1_000)
    grant = limited.reserve(900, most_s=0)
    assert grant
    assert limited.reserve(500, most_s=0) is None
    limited.settle(grant, used_tokens=400)
    assert limited.reserve(500, most_s=0)
    assert limited.share_left() == pytest.approx(0.1)


def test_call_that_was_never_made_takes_nothing() -> None:
    """Given back, request and tokens are there again."""
    limited = allowance(Instants(), rpm=1, tpm=100)
    grant = limited.reserve(100, most_s=0)
    assert grant
    limited.give_back(grant)
    assert limited.reserve(100, most_s=0)


def test_call_over_the_whole_limit_waits_for_a_full_one() -> None:
    """More tokens than a minute has are not waited for in vain."""
    clock = Instants()
    limited = allowance(clock, tpm=600)
    assert limited.reserve(5_000, most_s=0)
    assert limited.wait_s(5_000) == pytest.approx(60)


def test_hold_stops_everything_for_five_minutes_at_most() -> None:
    """What a provider asks to wait holds for every call; an hour is not believed."""
    clock = Instants()
    held = allowance(clock)
    held.hold(3_600)
    assert (held.wait_s(0), held.share_left()) == (300, 0)
    assert held.reserve(0, most_s=10) is None
    clock.now += 300
    assert held.reserve(0, most_s=0)


def test_provider_knows_better_where_less_is_left() -> None:
    """Another process may use the same key: the smaller count holds, a larger one changes nothing."""
    limited = allowance(Instants(), rpm=60)
    limited.learn(RateLimits(requests=Window(1_000, 1_000, 0)))
    assert limited.wait_s(0) == 0
    limited.learn(RateLimits(requests=Window(0, 60, 60)))
    assert limited.wait_s(0) == pytest.approx(1)


def test_share_is_the_scarcer_limit_and_recovers() -> None:
    """Told limits count down with each call that begins and come back until they are full again."""
    clock = Instants()
    told = allowance(clock)
    told.learn(RateLimits(requests=Window(50, 100, 60), tokens=Window(900, 1_000, None)))
    assert told.share_left() == pytest.approx(0.5)
    for _ in range(10):
        assert told.reserve(0, most_s=0)
    assert told.share_left() == pytest.approx(0.4)
    clock.now += 30
    assert told.share_left() == pytest.approx(0.65)


@given(st.lists(st.tuples(st.integers(1, 300), st.floats(0, 5)), max_size=60))
def test_tokens_of_a_minute_stay_within_limit_and_burst(calls: list[tuple[int, float]]) -> None:
    """What is granted for now never exceeds one full bucket and what came back since."""
    clock = Instants(0)
    limited, granted = allowance(clock, tpm=600), 0
    for tokens, passed_s in calls:
        clock.now += passed_s
        if limited.reserve(tokens, most_s=0):
            granted += tokens
        assert granted <= 600 + 10 * clock.now + 1e-6
