"""Making the next item while the one before is used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from indexes.ahead import ahead


async def counted(until: int, made: list[int]) -> AsyncGenerator[int]:
    for number in range(until):
        made.append(number)
        await asyncio.sleep(0)
        yield number


def test_one_item_ahead_and_no_more() -> None:
    """While an item is used the next one is made, and the one behind it waits."""

    async def run() -> None:
        made: list[int] = []
        async for number in ahead(counted(4, made)):
            for _ in range(10):
                await asyncio.sleep(0)
            assert made == list(range(min(4, number + 2)))

    asyncio.run(run())


def test_nothing_to_make_is_nothing_to_use() -> None:
    """An empty source ends at once."""

    async def run() -> list[int]:
        return [number async for number in ahead(counted(0, []))]

    assert asyncio.run(run()) == []


def test_what_the_making_raises_is_raised_in_its_place() -> None:
    """The items before the failed one were used."""

    async def failing() -> AsyncGenerator[int]:
        yield 1
        raise ValueError("no second")

    async def run() -> None:
        items = ahead(failing())
        assert await anext(items) == 1
        with pytest.raises(ValueError, match="no second"):
            await anext(items)

    asyncio.run(run())


def test_whoever_stops_ends_the_making() -> None:
    """The next item is given up, and the source closes what it holds."""

    async def run() -> None:
        closed = asyncio.Event()

        async def slow() -> AsyncGenerator[int]:
            try:
                yield 1
                await asyncio.sleep(3600)
                yield 2
            finally:
                closed.set()

        async with aclosing(ahead(slow())) as items:
            async for _ in items:
                break
        assert closed.is_set()

    asyncio.run(run())
