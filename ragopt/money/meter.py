"""What sees the money of every model call: holds it before, counts it after, and writes it down."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from ragopt.domain import Outcome, Question, Usage
from ragopt.errors import BudgetSpent, BudgetUnreachable, PriceUnknown, StateUnavailable
from ragopt.money.budgets import BudgetWindow, strictest, windows_for
from ragopt.money.ledger import LedgerRow, nano_above, payer_of
from ragopt.money.prices import BATCH_FACTOR, FREE_PROVIDERS, Prices, priced, tokenizer_margin
from ragopt.providers.deployment import Deployment
from ragopt.providers.protocol import CompletionRequest
from ragopt.providers.usage import counted_tokens
from ragopt.settings.money import BudgetSettings
from ragopt.state.budgets import Budgets, Hold, Standing
from ragopt.state.ledger import Ledger

# How long a hold outlives its call's own timeout: what a process that died had held comes free after that.
GRACE_S = 60.0
# Providers end a batch after a day; until it was read, and by a process that may have to be started first, its money is
# held.
BATCH_HOLD_S = 3 * 86_400.0


class BudgetMeter:
    """The meter of a running service; satisfies the `Meter` of model calls. `now` returns Unix seconds."""

    def __init__(
        self,
        budgets: Budgets,
        ledger: Ledger,
        *,
        settings: Sequence[BudgetSettings],
        prices: Prices,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._budgets = budgets
        self._ledger = ledger
        self._settings = tuple(settings)
        self._prices = prices
        self._now = now

    async def reserve(
        self, deployment: Deployment, request: CompletionRequest, question: Question
    ) -> BudgetReservation:
        """Return what the call may cost at most, held from every budget that applies; a free model needs none.

        Raises: `BudgetSpent` if one of them lacks it, `PriceUnknown` under a budget for a model without a price,
        `BudgetUnreachable` under a hard one while Redis does not answer.
        """
        hold = None
        if deployment.provider.name not in FREE_PROVIDERS:
            found = windows_for(self._settings, question, at=self._now())
            hold = await self._held(found, deployment, request) if found else None
        return BudgetReservation(uuid.uuid4().hex, deployment, question, hold, self)

    async def planned(
        self, deployment: Deployment, request: CompletionRequest, question: Question, *, name: str
    ) -> BudgetReservation:
        """Return what a call in a provider's batch may cost at most, half of a live one's; nothing is held yet.

        name: the id of hold and ledger row, the same however often the call is planned.
        Raises: `PriceUnknown` under a budget for a model without a price.
        """
        found = windows_for(self._settings, question, at=self._now())
        hold = None
        if found:
            most_usd = await self._most_usd(found, deployment, request)
            hold = Hold(name, tuple(found), nano_above(most_usd * BATCH_FACTOR), marked_s=int(BATCH_HOLD_S))
        return BudgetReservation(name, deployment, question, hold, self, batch=True)

    async def take(self, reservation: BudgetReservation) -> None:
        """Hold what was planned, once however often. Raises: `BudgetSpent`, `StateUnavailable`."""
        if reservation.hold is not None:
            refusing = await self._budgets.take(reservation.hold, hold_s=BATCH_HOLD_S)
            if refusing:
                raise spent_error(refusing)

    async def standing(self, question: Question) -> list[Standing]:
        """Return what is spent and held of every budget that the question draws on. Raises: `StateUnavailable`."""
        return await self._budgets.standing(windows_for(self._settings, question, at=self._now()))

    async def check(self, question: Question) -> None:
        """Return unless a budget that refuses everything once it is spent has nothing left.

        Before the response cache: other budgets leave its answers. Raises: `BudgetSpent`, `BudgetUnreachable`.
        """
        found = windows_for(self._settings, question, at=self._now())
        refusing = [window for window in found if window.when_spent == "refuse"]
        if not refusing:
            return
        try:
            standing = await self._budgets.standing(refusing)
        except StateUnavailable as error:
            refuse_hard(refusing, error)
            return
        spent = [item.window for item in standing if item.spent_nano >= item.window.limit_nano]
        if spent:
            raise spent_error(spent)

    def settled(
        self,
        reservation: BudgetReservation,
        usage: Usage,
        *,
        cost_usd: Decimal | None,
        outcome: Outcome,
        error: str = "",
    ) -> None:
        """Count what a call cost, and write it down. A cost that is not known counts as all that was held."""
        if reservation.hold is not None:
            spent = reservation.hold.nano if cost_usd is None else nano_above(cost_usd)
            self._budgets.settle(reservation.hold, spent_nano=spent)
        deployment, question = reservation.deployment, reservation.question
        self._ledger.append(
            LedgerRow(
                id=reservation.id,
                answer_id=question.answer_id,
                at=self._now(),
                payer=payer_of(question),
                deployment=deployment.name,
                provider=deployment.provider.name,
                model=deployment.model,
                tier=deployment.tier,
                usage=replace(usage, cost_usd=cost_usd),
                price_version=self._prices.version(priced(deployment)),
                batch=reservation.batch,
                outcome=outcome,
                streamed=question.streamed,
                error=error,
            )
        )

    def released(self, reservation: BudgetReservation) -> None:
        """Give back what was held for a call that was not made."""
        if reservation.hold is not None:
            self._budgets.settle(reservation.hold, spent_nano=0)

    async def _held(
        self, windows: Sequence[BudgetWindow], deployment: Deployment, request: CompletionRequest
    ) -> Hold | None:
        """Return the hold; None where Redis does not answer and no hard budget applies."""
        most_usd = await self._most_usd(windows, deployment, request)
        try:
            held = await self._budgets.hold(windows, nano_above(most_usd), hold_s=request.timeout_s + GRACE_S)
        except StateUnavailable as error:
            refuse_hard(windows, error)
            return None
        if isinstance(held, Hold):
            return held
        raise spent_error(held)

    async def _most_usd(
        self, windows: Sequence[BudgetWindow], deployment: Deployment, request: CompletionRequest
    ) -> Decimal:
        counted = await counted_tokens(request.prompt)
        most_usd = most_usd_of(deployment, counted, output_tokens=request.max_output_tokens, prices=self._prices)
        if most_usd is None:
            raise PriceUnknown(
                f"{deployment.name}: no price is known, so it is not called under a USD budget",
                when_spent=strictest(windows).when_spent,
            )
        return most_usd


@dataclass(frozen=True, slots=True)
class BudgetReservation:
    """Money that is set aside for one attempt; hold: None where no budget applies. batch: in a provider's batch."""

    id: str
    deployment: Deployment
    question: Question
    hold: Hold | None
    meter: BudgetMeter
    batch: bool = False

    async def settle(self, usage: Usage, cost_usd: Decimal | None, outcome: Outcome, *, error: str = "") -> None:
        """Count what the attempt cost and write its row; it never fails and never waits."""
        self.meter.settled(self, usage, cost_usd=cost_usd, outcome=outcome, error=error)

    async def release(self) -> None:
        """Give back what was held: nothing was sent, so no row is written."""
        self.meter.released(self)


def most_usd_of(deployment: Deployment, counted: int, *, output_tokens: int, prices: Prices) -> Decimal | None:
    """Return what a call may cost at most in USD, None where no price is known.

    counted: the tokens of the prompt, all of them at the dearest input price they can get. output_tokens: at most.
    """
    tokens, out = math.ceil(counted * tokenizer_margin(deployment)), output_tokens
    shapes = (Usage(input_tokens=tokens, output_tokens=out), Usage(cache_write_tokens=tokens, output_tokens=out))
    costs = [prices.cost(priced(deployment), usage) for usage in shapes]
    known = [cost for cost in costs if cost is not None]
    return max(known) if len(known) == len(costs) else None


def spent_error(windows: Sequence[BudgetWindow]) -> BudgetSpent:
    """Return the error of budgets that lack the money: the strictest one's."""
    window = strictest(windows)
    return BudgetSpent(f"{window.described()} does not pay for this call", when_spent=window.when_spent)


def refuse_hard(windows: Sequence[BudgetWindow], error: StateUnavailable) -> None:
    """Raise `BudgetUnreachable` if a hard budget is among them: money that cannot be counted is not spent."""
    hard = [window for window in windows if window.hard]
    if hard:
        raise BudgetUnreachable(
            f"Redis does not answer, so {strictest(hard).described()} is not known",
            when_spent=strictest(hard).when_spent,
        ) from error
