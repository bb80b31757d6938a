"""Places among the running requests: bounded, with a bounded queue for each class of work, interactive first."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from starlette.requests import Request

from ragopt.errors import Overloaded

Work: TypeAlias = Literal["interactive", "background"]
# In the order in which they get a place that comes free.
CLASSES: tuple[Work, ...] = ("interactive", "background")

# Source: RFC 9218, 4.1: urgency 7 is for background tasks; browsers send other urgencies for what a person waits for.
BACKGROUND = re.compile(r"(?:^|,)\s*u\s*=\s*7\s*(?:,|;|$)")
# The last so many requests decide how long a place is thought to be held.
REMEMBERED = 32
MAX_RETRY_S = 30


def class_of(request: Request) -> Work:
    """Return the class of a request: `background` if it says `Priority: u=7`."""
    return "background" if BACKGROUND.search(request.headers.get("priority", "")) else "interactive"


@dataclass(frozen=True, slots=True)
class Line:
    """Bounds of one class: places it may hold, how many may wait for one, and how long."""

    places: int
    queue: int
    wait_s: float


@dataclass(slots=True)
class Standing:
    """How one class stands: `inside` hold a place, `waiting` are in line, oldest first."""

    inside: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)


class Admission:
    """A bounded number of places. Background work waits while any interactive work does."""

    def __init__(self, places: int, lines: Mapping[Work, Line]) -> None:
        self._places = places
        self._lines = lines
        self._standing = {work: Standing() for work in CLASSES}
        self._held_s: deque[float] = deque(maxlen=REMEMBERED)

    @asynccontextmanager
    async def permit(self, work: Work = "interactive") -> AsyncIterator[None]:
        """Hold one place for the block. Raises: `Overloaded` if the line is full or none came free in time."""
        await self._enter(work)
        began = time.monotonic()
        try:
            yield
        finally:
            self._held_s.append(time.monotonic() - began)
            self._leave(work)

    def inside(self, work: Work) -> int:
        """Return how many hold a place."""
        return self._standing[work].inside

    def waiting(self, work: Work) -> int:
        """Return how many wait for a place."""
        return len(self._standing[work].waiting)

    async def _enter(self, work: Work) -> None:
        line, standing = self._lines[work], self._standing[work]
        if self._has_place(work):
            standing.inside += 1
            return
        if len(standing.waiting) >= line.queue:
            raise Overloaded("Too many requests wait already; try again.", retry_after_s=self._retry_after_s())
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        standing.waiting.append(turn)
        try:
            async with asyncio.timeout(line.wait_s):
                await turn
        except TimeoutError as error:
            self._give_up(work, turn)
            message = f"No place came free within {line.wait_s:g} s; try again."
            raise Overloaded(message, retry_after_s=self._retry_after_s()) from error
        except asyncio.CancelledError:
            self._give_up(work, turn)
            raise

    def _give_up(self, work: Work, turn: asyncio.Future[None]) -> None:
        """Leave the line; a place that came at this very moment goes to the next."""
        if turn in self._standing[work].waiting:
            self._standing[work].waiting.remove(turn)
        elif not turn.cancelled():
            self._leave(work)

    def _leave(self, work: Work) -> None:
        self._standing[work].inside -= 1
        self._admit()

    def _admit(self) -> None:
        """Give free places to those who wait, by class and then by age."""
        for work in CLASSES:
            waiting = self._standing[work].waiting
            while waiting and self._has_place(work, next_in_line=True):
                turn = waiting.popleft()
                if not turn.done():
                    self._standing[work].inside += 1
                    turn.set_result(None)

    def _has_place(self, work: Work, *, next_in_line: bool = False) -> bool:
        """Return whether one more of a class may enter; who is not next in line waits behind those who are."""
        before = CLASSES[: CLASSES.index(work) + (0 if next_in_line else 1)]
        if any(self._standing[earlier].waiting for earlier in before):
            return False
        taken = sum(standing.inside for standing in self._standing.values())
        return taken < self._places and self._standing[work].inside < self._lines[work].places

    def _retry_after_s(self) -> float:
        """Return in how many seconds one more may get a place: behind those who wait, at the pace of the last ones."""
        if not self._held_s:
            return 1.0
        waiting = sum(len(standing.waiting) for standing in self._standing.values())
        mean_s = math.fsum(self._held_s) / len(self._held_s)
        return min(MAX_RETRY_S, max(1.0, mean_s * (waiting + 1) / self._places))
