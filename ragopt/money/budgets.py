"""Which budgets a question draws on: pure, from `[[budgets]]` and from whom the key says is asking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal, TypeAlias

from ragopt.domain import Question
from ragopt.errors import WhenSpent
from ragopt.money.ledger import LABELS, rounded_nano
from ragopt.settings.money import BudgetSettings

Period: TypeAlias = Literal["day", "month"]
# Of several budgets that are spent, the first of these decides.
STRICTEST: tuple[WhenSpent, ...] = ("refuse", "cached_only", "extractive", "cheaper_tier")
EVERY = "*"


@dataclass(frozen=True, slots=True)
class BudgetWindow:
    """One sum of money that a question draws on.

    key_id: "" where all keys of the tenant share it; a label that no key vouches for is counted per key, so that
    a stranger cannot spend another's budget. hard: it holds whatever the caller says, and while Redis is down.
    starts: the UTC day or month, `2026-11-20` or `2026-11`. limit_nano: in nano-USD.
    """

    tenant: str
    scope: str
    name: str
    key_id: str
    period: Period
    starts: str
    limit_nano: int
    hard: bool
    when_spent: WhenSpent

    def described(self) -> str:
        """Return whose budget it is, as an error says it."""
        whose = f"the tenant's budget of this {self.period}"
        return whose if self.scope == "tenant" else f"the {self.scope}'s ({self.name}) budget of this {self.period}"


def windows_for(budgets: Sequence[BudgetSettings], question: Question, *, at: float) -> list[BudgetWindow]:
    """Return what the question draws on at a Unix time, one entry per budget and period.

    Of the entries of a scope the one that names the tenant and the name counts, else the one with `*`.
    """
    found: list[BudgetWindow] = []
    for scope, name in names_of(question).items():
        entry = closest([budget for budget in budgets if budget.scope == scope], tenant=question.tenant, name=name)
        if entry is not None:
            vouched = scope not in LABELS or scope in question.trusted_labels
            found += windows_of(entry, question, name=name, vouched=vouched, at=at)
    return found


def names_of(question: Question) -> dict[str, str]:
    """Return by scope who is asking: tenant, key, and the labels that were said."""
    said = {label: question.labels[label] for label in LABELS if question.labels.get(label)}
    return {"tenant": question.tenant, **({"key": question.key_id} if question.key_id else {}), **said}


def closest(budgets: Sequence[BudgetSettings], *, tenant: str, name: str) -> BudgetSettings | None:
    """Return the entry that says most about the name and then about the tenant, None if none applies."""
    fitting = [budget for budget in budgets if budget.name in {name, EVERY} and budget.tenant in {tenant, EVERY}]
    return max(fitting, key=lambda budget: (budget.name != EVERY, budget.tenant != EVERY), default=None)


def windows_of(
    entry: BudgetSettings, question: Question, *, name: str, vouched: bool, at: float
) -> Iterator[BudgetWindow]:
    """Yield the day's and the month's part of one budget, as far as it limits them."""
    today = datetime.fromtimestamp(at, UTC).date()
    limits: tuple[tuple[Period, str, Decimal | None], ...] = (
        ("day", today.isoformat(), entry.usd_per_day),
        ("month", today.isoformat()[:7], entry.usd_per_month),
    )
    for period, starts, limit_usd in limits:
        if limit_usd is not None:
            yield BudgetWindow(
                tenant=question.tenant,
                scope=entry.scope,
                name=name,
                key_id="" if vouched else question.key_id,
                period=period,
                starts=starts,
                limit_nano=rounded_nano(limit_usd),
                hard=vouched,
                when_spent=entry.when_spent,
            )


def strictest(refusing: Sequence[BudgetWindow]) -> BudgetWindow:
    """Return the one whose `when_spent` leaves the caller least; the first of equals."""
    return min(refusing, key=lambda window: STRICTEST.index(window.when_spent))
