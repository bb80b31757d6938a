"""What something optional may cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress

import pytest

from ragopt.stages.cache.guard import Allowance, Guard, Skipped
from tests.ragopt.state.scenarios import Clock


async def failing(error: Exception) -> None:
    raise error


async def never_run() -> None:
    raise AssertionError("not to be run")


async def stubborn() -> None:
    """Wait for a second, and do not let that be cancelled at first."""
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    await asyncio.sleep(1)


async def held_up() -> None:
    time.sleep(0.1)  # noqa: ASYNC251 - what holds the loop up
    await asyncio.sleep(60)


def test_a_failure_is_skipped_and_so_is_what_follows_for_a_while() -> None:
    """After the pause it is tried again; what is not its kind of failure is raised."""

    async def run() -> None:
        clock = Clock()
        guard = Guard(KeyError, timeout_s=5, pause_s=3, clock=clock)
        with pytest.raises(Skipped):
            await guard.run(failing(KeyError()), guard.allowance())
        clock.seconds += 2
        with pytest.raises(Skipped):
            await guard.run(never_run(), guard.allowance())
        clock.seconds += 1
        with pytest.raises(ValueError, match="ours"):
            await guard.run(failing(ValueError("ours")), guard.allowance())
        assert guard.usable

    asyncio.run(run())


def test_a_request_waits_so_long_in_all() -> None:
    """What one use took is not there for the next; nothing left means skipped, and no failure."""

    async def run() -> None:
        guard = Guard(KeyError, timeout_s=30, pause_s=3)
        allowance = guard.allowance()
        assert await guard.run(asyncio.sleep(0.01, result="done"), allowance) == "done"
        assert 0 < allowance.left_s <= 30 - 0.009
        allowance.left_s = 0
        with pytest.raises(Skipped):
            await guard.run(never_run(), allowance)
        assert guard.usable

    asyncio.run(run())


@pytest.mark.parametrize("hanging", [lambda: asyncio.sleep(60), stubborn], ids=["sleeps", "will not be cancelled"])
def test_what_hangs_is_given_up_and_then_left_alone(hanging: Callable[[], Coroutine[None, None, None]]) -> None:
    """Whether or not it lets itself be cancelled; the next use does not wait at all."""

    async def run() -> None:
        guard = Guard(KeyError, timeout_s=0.05, pause_s=3, clock=Clock())
        # A machine that is busy may make a timeout late, which is held against nobody.
        for _ in range(50):
            with pytest.raises(Skipped):
                await asyncio.wait_for(guard.run(hanging(), guard.allowance()), timeout=30)
            if not guard.usable:
                break
        else:
            raise AssertionError("no timeout was in time")

    asyncio.run(run())


def test_who_is_cancelled_takes_what_it_waits_for_along() -> None:
    """The work is not left running behind."""

    async def run() -> None:
        guard, ended = Guard(KeyError, timeout_s=30, pause_s=3), asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()

        waiting = asyncio.create_task(guard.run(work(), guard.allowance()))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.wait_for(ended.wait(), timeout=30)
        assert guard.usable

    asyncio.run(run())


def test_one_that_is_late_is_no_failure() -> None:
    """A busy machine makes anything late now and then; what comes in time in between begins the count anew."""

    async def run() -> None:
        guard = Guard(KeyError, timeout_s=0.05, pause_s=3)
        for _ in range(3):
            with pytest.raises(Skipped):
                await guard.run(asyncio.sleep(60), guard.allowance())
            assert await guard.run(asyncio.sleep(0, result="done"), Allowance(30)) == "done"

    asyncio.run(run())


def test_a_timeout_that_this_process_made_late_is_no_failure() -> None:
    """Where the event loop itself was held up, whoever was waited for may be well."""

    async def run() -> None:
        guard = Guard(KeyError, timeout_s=0.001, pause_s=3)
        with pytest.raises(Skipped):
            await guard.run(held_up(), guard.allowance())
        assert guard.usable

    asyncio.run(run())
