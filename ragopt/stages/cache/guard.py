"""A bound on what something optional may cost: a time limit each, and none at all for a while after a failure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

# A timeout that fires so much too late says that this process was busy, not that what it waited for is down.
LATE, LATE_S = 1.5, 0.01


class Skipped(Exception):
    """What was optional failed, was late, or is left alone for now."""


@dataclass(slots=True)
class Allowance:
    """Seconds that one request may still wait."""

    left_s: float


class Guard:
    """Stands before something optional. failures: what it raises when it is down. `clock` counts seconds.

    One request waits for it at most `timeout_s` in all; after a failure nobody waits for `pause_s`.
    """

    def __init__(
        self,
        *failures: type[Exception],
        timeout_s: float,
        pause_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures = failures
        self._timeout_s = timeout_s
        self._pause_s = pause_s
        self._clock = clock
        self._failed_at: float | None = None

    def allowance(self, *, share: float = 1.0) -> Allowance:
        """Return what a request may wait, or a share of it."""
        return Allowance(share * self._timeout_s)

    @property
    def usable(self) -> bool:
        """Return whether there was no failure within the last `pause_s`."""
        return self._failed_at is None or self._clock() - self._failed_at >= self._pause_s

    @asynccontextmanager
    async def within(self, allowance: Allowance) -> AsyncIterator[None]:
        """Run the block in what is left of the allowance. Raises: `Skipped` if it fails, is late, or must not run."""
        if not self.usable or allowance.left_s <= 0:
            raise Skipped
        began_s, limit_s = time.monotonic(), allowance.left_s
        try:
            async with asyncio.timeout(limit_s):
                yield
        except TimeoutError as error:
            if time.monotonic() - began_s < LATE * limit_s + LATE_S:
                self._failed_at = self._clock()
            raise Skipped from error
        except self._failures as error:
            self._failed_at = self._clock()
            raise Skipped from error
        finally:
            allowance.left_s -= time.monotonic() - began_s
