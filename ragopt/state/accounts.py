"""What a service keeps its books with, made over one Redis."""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis

from ragopt.config import Settings
from ragopt.money.drift import CostWatch
from ragopt.money.meter import BudgetMeter
from ragopt.money.prices import Prices
from ragopt.state.budgets import Budgets
from ragopt.state.ledger import Ledger
from ragopt.state.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Accounts:
    """Prices, the meter of model calls, the ledger, the watch over daily costs, and the writes under way."""

    prices: Prices
    meter: BudgetMeter
    ledger: Ledger
    costs: CostWatch
    outbox: Outbox

    async def close(self) -> None:
        """Stop watching, and write what waits as far as Redis answers."""
        await self.costs.close()
        await self.outbox.close()


def accounts_over(redis: Redis, settings: Settings) -> Accounts:
    """Return the books of a service; nothing is read or written yet."""
    prices, outbox = Prices(), Outbox(redis)
    ledger = Ledger(redis, outbox)
    return Accounts(
        prices=prices,
        meter=BudgetMeter(Budgets(redis, outbox), ledger, settings=settings.budgets, prices=prices),
        ledger=ledger,
        costs=CostWatch(ledger, settings.targets),
        outbox=outbox,
    )
