"""What the cache does beside the requests is bounded."""

from __future__ import annotations

import asyncio

from ragopt.stages.cache.learning import MAX_AT_ONCE, Learning


def test_a_look_is_due_once_in_a_gap() -> None:
    """Within the gap nobody looks again; without one everybody does."""
    now = [100.0]
    learning = Learning(gap_s=0.5, clock=lambda: now[0])
    assert [learning.is_due(), learning.is_due()] == [True, False]
    now[0] += 0.5
    assert learning.is_due()
    assert all(Learning().is_due() for _ in range(3))


def test_no_more_than_the_most_run_at_once() -> None:
    """What comes beyond is dropped, and a place that is free is taken again."""
    made: list[int] = []

    async def run() -> None:
        learning, go_on = Learning(), asyncio.Event()

        async def comparison(number: int) -> None:
            await go_on.wait()
            made.append(number)

        for number in range(MAX_AT_ONCE + 2):
            learning.start(comparison(number))
        go_on.set()
        await learning.idle()
        learning.start(comparison(99))
        await learning.idle()

    asyncio.run(run())
    assert made == [*range(MAX_AT_ONCE), 99]
