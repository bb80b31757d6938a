"""Work one step ahead: the next item is made while the one before it is used."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeVar

T = TypeVar("T")


async def ahead(items: AsyncGenerator[T]) -> AsyncGenerator[T]:
    """Yield the items in order, with the next one in the making meanwhile; at most two exist at once.

    What making one raises is raised where it would be yielded. Closing this ends the making of the
    next, and closes `items`.
    """
    upcoming = asyncio.ensure_future(following(items))
    try:
        while found := await upcoming:
            upcoming = asyncio.ensure_future(following(items))
            yield found[0]
    finally:
        upcoming.cancel()
        await asyncio.gather(upcoming, return_exceptions=True)
        await items.aclose()


async def following(items: AsyncGenerator[T]) -> tuple[T] | None:
    """Return the next item, None behind the last."""
    try:
        return (await anext(items),)
    except StopAsyncIteration:
        return None
