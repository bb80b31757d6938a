"""A clock that tests move, and a client that lives for one scenario."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TypeVar

from redis.asyncio import Redis

from ragopt.state.client import connect

T = TypeVar("T")


@dataclass(slots=True)
class Clock:
    """Unix seconds that stand still until a test changes them."""

    seconds: float = 1_700_000_000.0

    def __call__(self) -> float:
        """Return the time the test set."""
        return self.seconds


def with_redis(url: str, scenario: Callable[[Redis], Awaitable[T]]) -> T:
    """Return what the scenario returns, given a client of its own in an event loop of its own."""

    async def run() -> T:
        client: AbstractAsyncContextManager[Redis] = connect(url, timeout_s=60)
        async with client as redis:
            return await scenario(redis)

    return asyncio.run(run())
