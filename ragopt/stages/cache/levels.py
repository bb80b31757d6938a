"""From which score on a collection's kept answers may be served: learned from its own labelled pairs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ragopt.errors import StateUnavailable
from ragopt.stages.cache.acceptance import Acceptance
from ragopt.stages.cache.protocol import Calibrate
from ragopt.state.labels import Label, Labels

REFRESH_S = 60.0
MAX_COLLECTIONS = 1_000
# Levels are worked out for the operator's bound and these shares of it: a caller's own is rounded down to one of them.
STRICTER = (1.0, 0.5, 0.2, 0.1)

Scope: TypeAlias = tuple[str, str]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """The levels of a collection, by bound, how many labels they are of, and when those were read."""

    read_at: float
    labels: int
    levels: Mapping[float, Acceptance | None]


class Levels:
    """The level of each collection, kept in this process and worked out again every minute, beside the requests.

    Nobody waits for Redis here, nor for the arithmetic: until a collection's labels are read, and while Redis is
    down, it has the level that was known last, or none. max_wrong: the operator's bound.
    """

    def __init__(
        self,
        labels: Labels,
        calibrate: Calibrate,
        *,
        judge: str,
        max_wrong: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._labels = labels
        self._calibrate = calibrate
        self._judge = judge
        self._bounds = tuple(share * max_wrong for share in STRICTER)
        self._clock = clock
        self._known: OrderedDict[Scope, Known] = OrderedDict()
        self._reading: dict[Scope, asyncio.Task[None]] = {}

    def level(self, tenant: str, collection: str, *, max_wrong: float = 1.0) -> Acceptance | None:
        """Return the level that keeps wrong answers within `max_wrong` and the operator's bound.

        None where too little is known.
        """
        scope = (tenant, collection)
        known = self._known.get(scope)
        if (known is None or self._clock() - known.read_at >= REFRESH_S) and scope not in self._reading:
            task = asyncio.create_task(self.refresh(tenant, collection))
            self._reading[scope] = task
            task.add_done_callback(lambda _: self._reading.pop(scope, None))
        bound = next((bound for bound in self._bounds if bound <= max_wrong), None)
        return None if known is None or bound is None else known.levels[bound]

    async def refresh(self, tenant: str, collection: str) -> None:
        """Work the levels of a collection out again; without Redis it keeps those it has."""
        try:
            labels = await self._labels.of(tenant, collection, judge=self._judge)
        except StateUnavailable as error:
            logger.warning("the labels of cached questions were not read: %s", error)
            return
        levels = await asyncio.to_thread(self._worked_out, labels)
        self._known[tenant, collection] = Known(self._clock(), len(labels), levels)
        self._known.move_to_end((tenant, collection))
        if len(self._known) > MAX_COLLECTIONS:
            self._known.popitem(last=False)

    def _worked_out(self, labels: Sequence[Label]) -> dict[float, Acceptance | None]:
        return {bound: self._calibrate(labels, max_wrong=bound) for bound in self._bounds}

    async def known(self, tenant: str, collection: str) -> Known | None:
        """Return what a collection has taught by now; None without Redis, if nothing of it was read before."""
        await self.refresh(tenant, collection)
        return self._known.get((tenant, collection))

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
