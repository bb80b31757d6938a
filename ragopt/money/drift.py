"""Alarms on what an answer costs: over the operator's target, or over what it cost on the days before."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from statistics import median
from typing import Literal, TypeAlias, get_args

from ragopt.errors import StateUnavailable
from ragopt.money.ledger import usd
from ragopt.money.stats import last_days
from ragopt.settings.money import TargetSettings
from ragopt.state.ledger import DaySums, Ledger

LOGGER = logging.getLogger("ragopt.money")
# A day is held against the median of as many days before it, of which a few must have had answers enough.
DAYS_BEFORE = 14
MIN_DAYS_BEFORE = 3
CHECK_S = 3_600.0
NANO_USD = Decimal("1E-9")
AlarmKind: TypeAlias = Literal["cost_drift", "cost_target"]


@dataclass(frozen=True, slots=True)
class Alarm:
    """A day on which an answer cost more, on average, than it may; both in USD."""

    day: date
    kind: AlarmKind
    cost_per_answer_usd: Decimal
    limit_usd: Decimal

    def sentence(self) -> str:
        """Return what happened, for the log."""
        over = "the target" if self.kind == "cost_target" else "what the days before allow"
        return f"on {self.day} an answer cost {self.cost_per_answer_usd:.6f} USD, over {over}: {self.limit_usd:.6f} USD"


def alarms(days: Sequence[DaySums], targets: TargetSettings, *, since: date) -> list[Alarm]:
    """Return the alarms from the day `since` on; days are in order, and those before it are only compared with."""
    found: list[Alarm] = []
    for at, day in enumerate(days):
        cost = cost_per_answer(day, targets)
        if cost is None or day.day < since:
            continue
        before = [cost_per_answer(earlier, targets) for earlier in days[max(0, at - DAYS_BEFORE) : at]]
        known = [value for value in before if value is not None]
        limit = median(known) * targets.cost_drift if len(known) >= MIN_DAYS_BEFORE else None
        if limit is not None and cost > limit > 0:
            found.append(Alarm(day.day, "cost_drift", cost, limit))
        if targets.cost_per_answer_usd is not None and cost > targets.cost_per_answer_usd:
            found.append(Alarm(day.day, "cost_target", cost, targets.cost_per_answer_usd))
    return found


def cost_per_answer(day: DaySums, targets: TargetSettings) -> Decimal | None:
    """Return what an answer of the day cost in USD on average, None where there were too few to judge."""
    answers = day.total("answers")
    return (usd(day.total("spent")) / answers).quantize(NANO_USD) if answers >= targets.min_answers else None


class CostWatch:
    """Looks at today's costs of the tenants it saw, once an hour, and logs each alarm once. `now` is in UTC."""

    def __init__(
        self,
        ledger: Ledger,
        targets: TargetSettings,
        *,
        every_s: float = CHECK_S,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ledger = ledger
        self._targets = targets
        self._every_s = every_s
        self._now = now
        self._tenants: set[str] = set()
        self._told: set[tuple[str, date, str]] = set()
        self._count: Counter[AlarmKind] = Counter()
        self._watcher: asyncio.Task[None] | None = None

    @property
    def told(self) -> Mapping[AlarmKind, int]:
        """Return how many alarms of each kind this process has logged, 0 included."""
        return {kind: self._count[kind] for kind in get_args(AlarmKind)}

    def saw(self, tenant: str) -> None:
        """Watch a tenant until the next look; needs a running event loop."""
        self._tenants.add(tenant)
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch())

    async def look(self, tenant: str) -> list[Alarm]:
        """Return the alarms of today, and log those that were not told yet. Raises: `StateUnavailable`."""
        today = self._now().date()
        days = await self._ledger.days(tenant, last_days(today, DAYS_BEFORE + 1))
        found = alarms(days, self._targets, since=today)
        self._told = {told for told in self._told if told[1] == today}
        for alarm in found:
            if (tenant, alarm.day, alarm.kind) not in self._told:
                self._told.add((tenant, alarm.day, alarm.kind))
                self._count[alarm.kind] += 1
                LOGGER.warning("tenant %s: %s", tenant, alarm.sentence())
        return found

    async def close(self) -> None:
        """Stop watching."""
        if self._watcher is not None:
            self._watcher.cancel()
            with suppress(asyncio.CancelledError):
                await self._watcher

    async def _watch(self) -> None:
        """Look at every tenant that was seen since the last time, for ever."""
        while True:
            await asyncio.sleep(self._every_s)
            tenants, self._tenants = self._tenants, set()
            for tenant in tenants:
                # Redis that is down costs one look; the next one sees the same days.
                with suppress(StateUnavailable):
                    await self.look(tenant)
