"""Steps side by side, none of which outlives the failure of another."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def all_or_none(steps: Iterable[Coroutine[Any, Any, T]], *, at_once: int) -> list[T]:
    """Return what the steps return, in their order, at most `at_once` of them at a time.

    Raises: what the first that fails raises, after the others have ended: a step left behind would write what is
    outdated by then.
    """
    places = asyncio.Semaphore(at_once)

    async def placed(step: Coroutine[Any, Any, T]) -> T:
        async with places:
            return await step

    given = list(steps)
    tasks = [asyncio.create_task(placed(step)) for step in given]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for step in given:
            step.close()  # one that never had a place would be reported as never awaited
