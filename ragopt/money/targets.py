"""How far the answers of some days are from the operator's targets, and which techniques still pay. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

from ragopt.domain import TECHNIQUES, Technique
from ragopt.money.stats import Stats, saved_by
from ragopt.settings.money import TargetSettings
from ragopt.state.ledger import DaySums

Aim: TypeAlias = Literal[
    "cost_per_answer_usd", "saved_share", "latency_p95_ms", "supported_share", "answered_share", "liked_share"
]
# pays: it saved, in the later half of the days too. stopped: only in the earlier half. nothing: neither saved nor cost.
Paying: TypeAlias = Literal["pays", "stopped", "nothing", "costs"]


@dataclass(frozen=True, slots=True)
class Gap:
    """One target and what was reached.

    reached: None where there are too few answers to judge. gap: how much of what the target allows is used beyond it:
    0.5 is half as much again of milliseconds, of USD, or of answers that are not what they should be; 0 or less is
    met. None where nothing is judged. n: what was judged: answers, claims or ratings.
    """

    name: Aim
    target: float
    reached: float | None
    gap: float | None
    n: int

    @property
    def met(self) -> bool | None:
        """Return whether the target is met, None where that is not known."""
        return None if self.gap is None else self.gap <= 0


@dataclass(frozen=True, slots=True)
class TechniquePay:
    """What one technique saved in USD: in all, and for a thousand answers of the earlier and of the later half.

    The halves are None without answers.
    """

    name: Technique
    saved_usd: Decimal
    earlier_usd: Decimal | None
    later_usd: Decimal | None

    @property
    def verdict(self) -> Paying:
        """Return whether it still pays."""
        if self.saved_usd < 0:
            return "costs"
        if self.later_usd is not None and self.later_usd <= 0 < self.saved_usd:
            return "stopped"
        return "pays" if self.saved_usd > 0 else "nothing"


def gaps(report: Stats, targets: TargetSettings) -> list[Gap]:
    """Return the gap to each target that is set, the largest first, what cannot be judged last."""
    found = [
        judged(name, float(target), reached, n=n)
        if n >= targets.min_answers
        else Gap(name, float(target), None, None, n)
        for name, (reached, n) in measured(report).items()
        if (target := getattr(targets, name)) is not None
    ]
    return sorted(found, key=lambda gap: (gap.gap is None, -(gap.gap or 0.0)))


def measured(report: Stats) -> dict[Aim, tuple[float | None, int]]:
    """Return what was reached of everything that can be a target, and over how many; None where nothing was counted."""
    total, quality = report.total, report.quality
    priced = total.answers - total.answers_without_savings
    return {
        "cost_per_answer_usd": (quotient(total.spent_usd, total.answers), total.answers),
        "saved_share": (quotient(total.saved_usd, total.baseline_usd), priced),
        "latency_p95_ms": (quality.p95_ms, quality.timed),
        "supported_share": (quotient(quality.supported, quality.claims), quality.claims),
        "answered_share": (quotient(total.answers - quality.abstained, total.answers), total.answers),
        "liked_share": (quotient(quality.liked, quality.rated), quality.rated),
    }


def judged(name: Aim, target: float, reached: float | None, *, n: int) -> Gap:
    """Return the gap to a target. A share is judged by what is missing to 1: 0.90 for 0.95 is twice what is allowed."""
    if reached is None:
        return Gap(name, target, None, None, n)
    allowed, used = (1 - target, 1 - reached) if name.endswith("_share") else (target, reached)
    return Gap(name, target, reached, used / allowed - 1, n)


def paying(days: Sequence[DaySums]) -> list[TechniquePay]:
    """Return what each technique saved over these days, which are in order, the most first."""
    half = len(days) // 2
    whole, earlier, later = (saved_by(part) for part in (days, days[:half], days[half:]))
    before, after = (sum(day.total("answers") for day in part) for part in (days[:half], days[half:]))
    found = [
        TechniquePay(name, whole[name], per_thousand(earlier[name], before), per_thousand(later[name], after))
        for name in TECHNIQUES
    ]
    return sorted(found, key=lambda pay: -pay.saved_usd)


def per_thousand(amount_usd: Decimal, answers: int) -> Decimal | None:
    """Return the amount for a thousand answers, None without answers."""
    return amount_usd * 1_000 / answers if answers else None


def quotient(part: Decimal | int, whole: Decimal | int) -> float | None:
    """Return part / whole, None of nothing."""
    return float(part) / float(whole) if whole else None
