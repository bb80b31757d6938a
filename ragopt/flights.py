"""One answer at a time to the same question: who asks while it is being made waits for it.

The answer is made in a task of its own. So nobody who waits depends on how fast the first caller
reads, or on whether it stays: the task ends early only when the last of them has left.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeAlias

from ragopt.domain import Answer
from ragopt.errors import BudgetSpent, DeadlineExceeded
from ragopt.events import AnswerEvent, Finished

# What came of it: an answer or an error for everybody, None for nothing that anybody else could use.
Landing: TypeAlias = Answer | Exception | None
# The first caller's own troubles: another one has another budget and another deadline.
OWN_ERRORS = (BudgetSpent, DeadlineExceeded)


@dataclass(slots=True, eq=False)
class Flight:
    """One answer under way. aboard: how many callers want it. events: for who asked first; None is the end."""

    landed: asyncio.Future[Landing]
    task: asyncio.Task[None] | None = None
    aboard: int = 1
    events: asyncio.Queue[AnswerEvent | Exception | None] = field(default_factory=asyncio.Queue)

    async def fly(self, events: AsyncGenerator[AnswerEvent, None], *, private: Callable[[], bool]) -> None:
        """Run the events to their end, or to their error, which is an event like any other here."""
        try:
            async with aclosing(events):
                async for event in events:
                    self.land(event, private=private)
                    # A provider whose bytes are all there never waits by itself: let the caller read, or leave.
                    await asyncio.sleep(0)
        except Exception as error:  # noqa: BLE001 - raised again by each who waits
            self.land(error, private=private)
        finally:
            self.settle(None)
            self.events.put_nowait(None)

    def land(self, event: AnswerEvent | Exception, *, private: Callable[[], bool]) -> None:
        """Hand on an event, and what it means to those who wait, if anything."""
        if isinstance(event, Finished):
            self.settle(None if private() else event.answer)
        elif isinstance(event, Exception):
            self.settle(None if private() or isinstance(event, OWN_ERRORS) else event)
        self.events.put_nowait(event)

    def settle(self, landing: Landing) -> None:
        """Tell those who wait; only the first call counts."""
        if not self.landed.done():
            self.landed.set_result(landing)

    async def leave(self) -> None:
        """Count one caller out; the last one ends the task, and the model call under it, at once."""
        self.aboard -= 1
        if self.aboard == 0 and self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)


class Flights:
    """The answers under way in this process, by what they would be kept as."""

    def __init__(self) -> None:
        self._flying: dict[str, Flight] = {}

    async def joined(self, key: str) -> Answer | None:
        """Return the answer of the identical question under way; None if there is none, or it is not for others.

        Raises: what it failed with, unless that is the first caller's own trouble.
        """
        flight = self._flying.get(key)
        if flight is None:
            return None
        flight.aboard += 1
        try:
            landing = await asyncio.shield(flight.landed)
        finally:
            await flight.leave()
        if isinstance(landing, Exception):
            raise landing
        return landing

    async def led(
        self, key: str, events: AsyncGenerator[AnswerEvent, None], *, private: Callable[[], bool]
    ) -> AsyncGenerator[AnswerEvent, None]:
        """Yield the events, while others may join. private: whether the answer is for this caller alone.

        Who asks again after nobody could join flies alone. Raises: what `events` raises.
        """
        if key in self._flying:
            async with aclosing(events):
                async for passed in events:
                    yield passed
            return
        flight = Flight(asyncio.get_running_loop().create_future())
        self._flying[key] = flight
        flight.landed.add_done_callback(lambda _: self._flying.pop(key, None))
        flight.task = asyncio.create_task(flight.fly(events, private=private))
        try:
            while (event := await flight.events.get()) is not None:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            await flight.leave()
