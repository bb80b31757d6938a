"""What one running service shares between its requests: typed, and reached through the request only."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast

from anyio import CapacityLimiter
from fastapi import Request

from ragopt.api.admission import Admission
from ragopt.api.jobs import JobRunner
from ragopt.api.lag import LoopLag
from ragopt.batches.runner import BatchRunner
from ragopt.errors import DeadlineExceeded, Draining
from ragopt.metrics import Metrics

if TYPE_CHECKING:
    from ragopt.wiring import Service

KNOWN_TENANTS = 1024
# Files parsed at once, each in a process that may take a core and a gigabyte; in threads of their own,
# so that a hostile file holds up no question.
PARSERS = 2

Item = TypeVar("Item")


class KnownTenants:
    """The tenant of each key that passed lately, the newest 1,024: a guess, never a permission."""

    def __init__(self) -> None:
        self._tenants: OrderedDict[bytes, str] = OrderedDict()

    def guess(self, presented: str) -> str | None:
        """Return the tenant that `presented` belonged to when it last passed, None if it never did."""
        return self._tenants.get(digest(presented))

    def remember(self, presented: str, tenant: str) -> None:
        """Keep the tenant of a key that passed; the key itself is not kept."""
        self._tenants[digest(presented)] = tenant
        self._tenants.move_to_end(digest(presented))
        if len(self._tenants) > KNOWN_TENANTS:
            self._tenants.popitem(last=False)


def digest(secret: str) -> bytes:
    """Return the SHA-256 of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


@dataclass(slots=True)
class Lifetime:
    """Whether the service still takes new work, and how many requests it works on; a drain is never taken back.

    ended: whether the time of the drain is over as well.
    """

    draining: bool = False
    open_requests: int = 0
    ended: bool = False
    _limits: set[asyncio.Timeout] = field(default_factory=set)

    def refuse_new_work(self) -> None:
        """Return while new work is taken. Raises: `Draining` during a drain."""
        if self.draining:
            raise Draining("The service is shutting down; try again.")

    def end(self) -> None:
        """End every block under `until` at once: the time of the drain is over."""
        self.ended = True
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())

    @asynccontextmanager
    async def until(self, ends: float) -> AsyncIterator[None]:
        """Cancel the block at `ends`, seconds of the event loop's clock, or at the end of a drain.

        Raises: `DeadlineExceeded`; `Draining` at the end of a drain.
        """
        limit = asyncio.timeout_at(asyncio.get_running_loop().time() if self.ended else ends)
        self._limits.add(limit)
        try:
            async with limit:
                yield
        except TimeoutError as error:
            if not limit.expired():
                raise
            if self.ended:
                raise Draining("The service shut down before the end of the answer; ask again.") from error
            raise DeadlineExceeded("The request ran out of its total time.") from error
        finally:
            self._limits.discard(limit)

    async def each_until(self, ends: float, items: AsyncIterator[Item]) -> AsyncIterator[Item]:
        """Yield what `items` yields until the loop's clock says `ends`. Raises: `DeadlineExceeded`, `Draining`."""
        # A timeout around the whole loop would also fire inside whatever the consumer awaits.
        while True:
            async with self.until(ends):
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
            yield item


@dataclass(frozen=True, slots=True)
class Running:
    """The service, its places for questions and for ingests, its background work, its lifetime and its counters."""

    service: Service
    questions: Admission
    ingests: Admission
    jobs: JobRunner
    batches: BatchRunner
    lifetime: Lifetime
    metrics: Metrics
    lag: LoopLag
    known_tenants: KnownTenants = field(default_factory=KnownTenants)
    parsers: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(PARSERS))


def running(request: Request) -> Running:
    """Return what the lifespan of the application made."""
    return cast("Running", request.state.running)
