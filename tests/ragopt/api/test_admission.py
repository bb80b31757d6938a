"""Admission: places are bounded and so is the line for them, and whoever waits for an answer goes first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import pytest
from starlette.requests import Request

from ragopt.api.admission import Admission, Line, Work, class_of
from ragopt.errors import Overloaded


def admission(
    places: int = 1, *, background: int = 1, queue: int = 8, wait_s: float = 30, background_wait_s: float = 30
) -> Admission:
    """Return an admission of two lines of one length."""
    return Admission(
        places,
        {"interactive": Line(places, queue, wait_s), "background": Line(background, queue, background_wait_s)},
    )


@asynccontextmanager
async def started(*work: Coroutine[None, None, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Yield tasks of the work, each of which has got as far as it comes; all are over after the block."""
    tasks = [asyncio.create_task(item) for item in work]
    await asyncio.sleep(0.01)
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def holding(place: Admission, work: Work, *, until: asyncio.Event) -> Coroutine[None, None, None]:
    """Return work that holds a place until told."""

    async def run() -> None:
        async with place.permit(work):
            await until.wait()

    return run()


def noting(place: Admission, work: Work, *, note: Callable[[], None]) -> Coroutine[None, None, None]:
    """Return work that notes when it has its place."""

    async def run() -> None:
        async with place.permit(work):
            note()

    return run()


def test_interactive_work_goes_first() -> None:
    """A question that came last gets the next place before all background work that waits."""
    order: list[str] = []

    async def scenario() -> None:
        place, end = admission(), asyncio.Event()
        first = holding(place, "interactive", until=end)
        waiting = [noting(place, "background", note=lambda at=at: order.append(f"b{at}")) for at in range(2)]
        last = [noting(place, "interactive", note=lambda at=at: order.append(f"i{at}")) for at in range(2)]
        async with started(first, *waiting, *last) as tasks:
            assert (place.inside("interactive"), place.waiting("interactive"), place.waiting("background")) == (1, 2, 2)
            end.set()
            await asyncio.gather(*tasks)

    asyncio.run(scenario())
    assert order == ["i0", "i1", "b0", "b1"]


def test_background_work_leaves_places_for_questions() -> None:
    """It never holds more than its share, so a question finds a place while a batch runs."""

    async def scenario() -> None:
        place, end = admission(4, background=2), asyncio.Event()
        async with started(*(holding(place, "background", until=end) for _ in range(4))):
            assert (place.inside("background"), place.waiting("background")) == (2, 2)
            async with place.permit(), place.permit():
                assert place.inside("interactive") == 2
            end.set()

    asyncio.run(scenario())


def test_a_full_line_refuses_at_once() -> None:
    """Nobody waits behind more than the line holds, and the refusal says when to come back."""

    async def scenario() -> None:
        place, end = admission(queue=2), asyncio.Event()
        async with started(*(holding(place, "interactive", until=end) for _ in range(3))):
            with pytest.raises(Overloaded, match="wait already") as refused:
                async with place.permit():
                    pass
            assert refused.value.retry_after_s == 1
            end.set()
            await asyncio.sleep(0.01)
            async with place.permit():
                assert place.waiting("interactive") == 0

    asyncio.run(scenario())


def test_waiting_ends_in_time_and_leaves_no_trace() -> None:
    """Who waited too long is refused, and the place goes to somebody else when it comes free."""

    async def scenario() -> None:
        place, end = admission(wait_s=0.01), asyncio.Event()
        async with started(holding(place, "interactive", until=end)):
            with pytest.raises(Overloaded, match=r"within 0\.01 s"):
                async with place.permit():
                    pass
            assert place.waiting("interactive") == 0
            end.set()
            await asyncio.sleep(0.01)
            assert place.inside("interactive") == 0

    asyncio.run(scenario())


def test_a_place_that_comes_as_its_caller_leaves_is_passed_on() -> None:
    """A caller that is cancelled in the moment its turn comes does not take the place with it."""

    async def scenario() -> None:
        place, end = admission(), asyncio.Event()
        async with started(*(holding(place, "interactive", until=end) for _ in range(3))) as tasks:
            tasks[0].cancel()
            # The first one's place is the second's now, which has not run since.
            await asyncio.sleep(0)
            tasks[1].cancel()
            await asyncio.sleep(0.01)
            assert (place.inside("interactive"), place.waiting("interactive")) == (1, 0)
        assert place.inside("interactive") == 0

    asyncio.run(scenario())


def test_a_block_that_raises_gives_its_place_back() -> None:
    """A failure costs no place."""

    async def scenario() -> None:
        place = admission(wait_s=0)
        for _ in range(2):
            with pytest.raises(ValueError, match="inside"):
                async with place.permit():
                    raise ValueError("inside")
        async with place.permit():
            with pytest.raises(Overloaded):
                async with place.permit():
                    pass

    asyncio.run(scenario())


def test_retry_after_grows_with_the_line_and_has_an_end() -> None:
    """A longer line of slower requests means a later try, at most half a minute later."""

    async def scenario() -> list[float | None]:
        place, end = admission(queue=0), asyncio.Event()
        waits: list[float | None] = []
        for held_s in (0.0, 5.0, 500.0):
            place._held_s.append(held_s)
            async with started(holding(place, "interactive", until=end)):
                with pytest.raises(Overloaded) as refused:
                    async with place.permit():
                        pass
                waits.append(refused.value.retry_after_s)
            place._held_s.clear()
        return waits

    assert asyncio.run(scenario()) == [1, 5, 30]


@pytest.mark.parametrize(
    ("header", "work"),
    [
        ("u=7", "background"),
        ("i, u=7", "background"),
        ("u=1, i", "interactive"),
        ("u=4", "interactive"),
        ("", "interactive"),
    ],
)
def test_priority_header_says_the_class(header: str, work: Work) -> None:
    """The lowest urgency of RFC 9218 is background work; what browsers send for a page is not."""
    assert class_of(Request({"type": "http", "headers": [(b"priority", header.encode())]})) == work
