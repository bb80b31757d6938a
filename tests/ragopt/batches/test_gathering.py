"""Steps side by side: bounded, in order, and none left behind."""

from __future__ import annotations

import asyncio

import pytest

from ragopt.batches.gathering import all_or_none


def test_results_come_in_order_and_few_run_at_once() -> None:
    """What ends first does not come first, and no more than allowed are under way."""
    running, most = 0, 0

    async def step(n: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001 * (5 - n))
        running -= 1
        return n

    assert asyncio.run(all_or_none((step(n) for n in range(5)), at_once=2)) == [0, 1, 2, 3, 4]
    assert most == 2


def test_a_failure_ends_the_others_before_it_is_told() -> None:
    """When the error arrives, nothing runs any more that could still write."""
    begun: list[int] = []
    ended: list[int] = []

    async def step(n: int) -> None:
        begun.append(n)
        try:
            if n == 1:
                raise ValueError(n)
            await asyncio.sleep(60)
        finally:
            ended.append(n)

    async def run() -> None:
        with pytest.raises(ValueError, match="1"):
            await all_or_none((step(n) for n in range(4)), at_once=2)
        assert sorted(ended) == sorted(begun)

    asyncio.run(run())
