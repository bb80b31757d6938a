"""From which score on a collection's kept answers may be served: learned from its own labelled pairs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from ragopt.errors import StateUnavailable
from ragopt.stages.cache.protocol import Acceptance, Calibrate
from ragopt.state.labels import Label, Labels

REFRESH_S = 60.0
MAX_COLLECTIONS = 1_000
# Levels are worked out for bounds of so many digits: a caller's own bound is rounded down to one of them.
BOUND_DIGITS = 3

Scope: TypeAlias = tuple[str, str]

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Known:
    """The labels of a collection as they were read, and the levels worked out from them, by bound."""

    read_at: float
    labels: Sequence[Label]
    levels: dict[float, Acceptance | None] = field(default_factory=dict)


class Levels:
    """The level of each collection, kept in this process and read again every minute, beside the requests.

    Nobody waits for Redis here: until a collection's labels are read, and while Redis is down, it has the level
    that was known last, or none.
    """

    def __init__(
        self, labels: Labels, calibrate: Calibrate, *, judge: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._labels = labels
        self._calibrate = calibrate
        self._judge = judge
        self._clock = clock
        self._known: OrderedDict[Scope, Known] = OrderedDict()
        self._reading: dict[Scope, asyncio.Task[None]] = {}

    def level(self, tenant: str, collection: str, *, max_wrong: float) -> Acceptance | None:
        """Return the level that keeps wrong answers within `max_wrong`; None where too little is known."""
        scope = (tenant, collection)
        known = self._known.get(scope)
        if (known is None or self._clock() - known.read_at >= REFRESH_S) and scope not in self._reading:
            task = asyncio.create_task(self.refresh(tenant, collection))
            self._reading[scope] = task
            task.add_done_callback(lambda _: self._reading.pop(scope, None))
        if known is None:
            return None
        bound = int(max_wrong * 10**BOUND_DIGITS) / 10**BOUND_DIGITS
        if bound not in known.levels:
            known.levels[bound] = self._calibrate(known.labels, max_wrong=bound) if bound > 0 else None
        return known.levels[bound]

    async def refresh(self, tenant: str, collection: str) -> None:
        """Read the labels of a collection again; without Redis it keeps what it has."""
        try:
            labels = await self._labels.of(tenant, collection, judge=self._judge)
        except StateUnavailable as error:
            logger.warning("the labels of cached questions were not read: %s", error)
            return
        self._known[tenant, collection] = Known(self._clock(), labels)
        self._known.move_to_end((tenant, collection))
        if len(self._known) > MAX_COLLECTIONS:
            self._known.popitem(last=False)

    async def learn(self, tenant: str, collection: str, label: Label) -> None:
        """Keep a label; it counts from the next reading on. Nothing is learned without Redis."""
        try:
            await self._labels.add(tenant, collection, label, judge=self._judge)
        except StateUnavailable as error:
            logger.warning("a label of cached questions was not kept: %s", error)

    async def close(self) -> None:
        """End what runs in the background."""
        reading = list(self._reading.values())
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
