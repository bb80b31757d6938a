"""The seven weeks of the drift replay."""

from __future__ import annotations

from collections import Counter

import pytest

from eval.drift.scenario import (
    DAY_S,
    RETRY_CALLS,
    RETRY_WEEKS,
    SYSTEM_TOKENS,
    WEEKLY_USERS,
    asks,
    histories,
)

FOUND = asks(100, repeated=0.3, seed=1)


def test_pinned_numbers_are_the_ones_of_the_target() -> None:
    """Users of weeks 1, 3, 5 and 7, the system prompt, and the calls of the retry weeks."""
    assert WEEKLY_USERS[::2] == (50, 200, 400, 500)
    assert (SYSTEM_TOKENS, RETRY_CALLS) == (1_847, (2, 5))
    calls = {item.calls for item in FOUND if item.week in RETRY_WEEKS}
    assert calls == {2, 3, 4, 5}
    assert {item.calls for item in FOUND if item.week not in RETRY_WEEKS} == {1}


def test_threads_grow_and_every_user_has_one_a_week() -> None:
    """Week w has its users' threads, each of w + 1 turns, a minute apart."""
    for week, users in enumerate(WEEKLY_USERS, 1):
        lengths = Counter(item.thread for item in FOUND if item.week == week)
        assert (len(lengths), set(lengths.values())) == (users, {week + 1})


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_share_of_repeated_questions_is_kept(share: float) -> None:
    """Within chance; a repeated question opened a thread within the last day."""
    found = asks(100, repeated=share, seed=2)
    assert sum(item.repeated for item in found) / len(found) == pytest.approx(share, abs=0.03)
    for at, item in enumerate(found[:3_000]):
        if item.repeated:
            earlier = [other for other in found[:at] if other.turn == 0 and not other.repeated]
            assert any(
                other.question == item.question and item.at_s - other.at_s <= DAY_S for other in reversed(earlier)
            )


def test_same_seed_is_the_same_traffic() -> None:
    """Another seed is another one."""
    assert asks(50, repeated=0.1, seed=3) == asks(50, repeated=0.1, seed=3)
    assert asks(50, repeated=0.1, seed=3) != asks(50, repeated=0.1, seed=4)


def test_history_is_what_was_said_in_the_thread_before() -> None:
    """The first turn has none; each exchange adds question, answer and two messages' overhead."""
    before = histories(FOUND, [10] * 100, message_tokens=3)
    assert {tokens for tokens, item in zip(before, FOUND, strict=True) if item.turn == 0} == {0}
    assert {tokens for tokens, item in zip(before, FOUND, strict=True) if item.turn == 2} == {2 * (10 + 150 + 6)}
