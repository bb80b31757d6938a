"""What something optional may cost."""

from __future__ import annotations

import asyncio
import time

import pytest

from ragopt.stages.cache.guard import Guard, Skipped
from tests.ragopt.state.scenarios import Clock


def test_a_failure_is_skipped_and_so_is_what_follows_for_a_while() -> None:
    """After the pause it is tried again; what is not its kind of failure is raised."""

    async def run() -> None:
        clock = Clock()
        guard = Guard(KeyError, timeout_s=5, pause_s=3, clock=clock)
        with pytest.raises(Skipped):
            async with guard.within(guard.allowance()):
                raise KeyError
        clock.seconds += 2
        with pytest.raises(Skipped):
            async with guard.within(guard.allowance()):
                raise AssertionError("not to be run")
        clock.seconds += 1
        with pytest.raises(ValueError, match="ours"):
            async with guard.within(guard.allowance()):
                raise ValueError("ours")
        assert guard.usable

    asyncio.run(run())


def test_a_request_waits_so_long_in_all() -> None:
    """What one use took is not there for the next; nothing left means skipped, and no failure."""

    async def run() -> None:
        guard = Guard(KeyError, timeout_s=30, pause_s=3)
        allowance = guard.allowance(share=0.5)
        async with guard.within(allowance):
            await asyncio.sleep(0.01)
        assert 0 < allowance.left_s <= 15 - 0.009
        allowance.left_s = 0
        with pytest.raises(Skipped):
            async with guard.within(allowance):
                raise AssertionError("not to be run")
        assert guard.usable

    asyncio.run(run())


def test_what_hangs_is_given_up_and_then_left_alone() -> None:
    """It raises in time, and the next use does not wait at all."""

    async def run() -> None:
        guard = Guard(KeyError, timeout_s=0.05, pause_s=3, clock=Clock())
        # A machine that is busy may make a timeout late, which is held against nobody.
        for _ in range(50):
            with pytest.raises(Skipped):
                async with guard.within(guard.allowance()):
                    await asyncio.sleep(60)
            if not guard.usable:
                return
        raise AssertionError("no timeout was in time")

    asyncio.run(run())


async def held_up() -> None:
    time.sleep(0.1)  # noqa: ASYNC251 - what holds the loop up
    await asyncio.sleep(60)


def test_a_timeout_that_this_process_made_late_is_no_failure() -> None:
    """Where the event loop itself was held up, whoever was waited for may be well."""

    async def run() -> None:
        guard = Guard(KeyError, timeout_s=0.001, pause_s=3)
        with pytest.raises(Skipped):
            async with guard.within(guard.allowance()):
                await held_up()
        assert guard.usable

    asyncio.run(run())
