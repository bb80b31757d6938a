"""When a batch, a fine-tuned small model or a server of one's own would pay, from the calls in the ledger. Pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias, cast

from ragopt.domain import TIER_RANK, Tier, Usage
from ragopt.money.prices import BATCH_FACTOR
from ragopt.settings.plan import PlanSettings

Way: TypeAlias = Literal["batch", "fine_tune", "self_host"]
Verdict: TypeAlias = Literal["pays", "does_not_pay", "not_enough_data"]

MONTH_DAYS = 30
# A model is out of date before its training has paid for itself any later.
BACK_WITHIN_DAYS = 365
HOUR_S, DAY_S = 3_600, 86_400
BUCKETS = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens")
CENT = Decimal("0.01")
FEATURES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Call:
    """One paid model call of the ledger; at: Unix seconds. feature: "" where none was said."""

    at: float
    tier: Tier
    feature: str
    cost_usd: Decimal
    usage: Usage
    batch: bool
    streamed: bool


@dataclass(frozen=True, slots=True)
class Option:
    """What one way would save in 30 days. once_usd: paid before the first call. why: one sentence with its numbers.

    now_usd, then_usd: what the calls it is about cost, today's way and that way; None where nothing can be said.
    assumptions: what was not measured.
    """

    way: Way
    verdict: Verdict
    now_usd: Decimal | None
    then_usd: Decimal | None
    once_usd: Decimal
    why: str
    assumptions: tuple[str, ...]

    @property
    def saved_usd(self) -> Decimal | None:
        """Return what is saved in 30 days, None where nothing can be said."""
        return None if self.now_usd is None or self.then_usd is None else self.now_usd - self.then_usd


@dataclass(frozen=True, slots=True)
class Plan:
    """The calls that were looked at, over how many days, and what each way would save; the most first."""

    calls: int
    days: float
    spent_usd: Decimal
    options: tuple[Option, ...]


def call_of(row: Mapping[str, object]) -> Call | None:
    """Return a row of the ledger as a call, None where its cost is not known or nothing was paid."""
    cost = row.get("cost_usd")
    if cost is None or not Decimal(str(cost)):
        return None
    return Call(
        at=cast("float", row["at"]),
        tier=cast("Tier", row["tier"]),
        feature=str(row.get("feature") or ""),
        cost_usd=Decimal(str(cost)),
        usage=usage_of({name: cast("int", row[name]) for name in BUCKETS}),
        batch=bool(row["batch"]),
        # Rows of before this was written down count as streamed: nothing is promised for them.
        streamed=bool(row.get("streamed", True)),
    )


def plan_of(
    calls: Sequence[Call],
    settings: PlanSettings,
    *,
    days: float,
    small_usd: Callable[[Usage], Decimal | None],
) -> Plan:
    """Return what each way would save.

    days: over which the calls were made. small_usd: what a usage costs at the first model of the tier simple.
    """
    spent = total_usd(calls)
    month = Decimal(MONTH_DAYS / days) if days > 0 else Decimal(0)
    lack = lacking(calls, settings)
    if lack:
        options = [Option(way, "not_enough_data", None, None, Decimal(0), lack, ()) for way in WAYS]
    else:
        options = [
            batched(calls, settings, month=month),
            fine_tuned(calls, settings, month=month, small_usd=small_usd),
            self_hosted(calls, settings, month=month),
        ]
    options.sort(key=lambda option: -(option.saved_usd or Decimal(0)))
    return Plan(len(calls), days, spent, tuple(options))


WAYS: tuple[Way, ...] = ("batch", "fine_tune", "self_host")


def lacking(calls: Sequence[Call], settings: PlanSettings) -> str:
    """Return why nothing can be said, "" if it can."""
    busy = len({int(call.at // DAY_S) for call in calls})
    if len(calls) >= settings.min_calls and busy >= settings.min_days:
        return ""
    return (
        f"{len(calls)} paid calls on {busy} days: not enough data, "
        f"at least {settings.min_calls} on {settings.min_days} days are needed"
    )


def batched(calls: Sequence[Call], settings: PlanSettings, *, month: Decimal) -> Option:
    """Return what batches would save of the calls that can wait."""
    live = [call for call in calls if not call.batch]
    named = settings.can_wait
    waiting = [call for call in live if (call.feature in named if named else not call.streamed)]
    now = total_usd(waiting) * month
    by_feature: dict[str, Decimal] = defaultdict(Decimal)
    for call in waiting:
        by_feature[call.feature or "no feature"] += call.cost_usd
    dearest = sorted(by_feature.items(), key=lambda item: -item[1])[:FEATURES_SHOWN]
    most = ", ".join(f"{name} {cents(cost * month)}" for name, cost in dearest)
    why = f"{share(len(waiting), len(calls))} of the calls can wait, {cents(now)} USD a month" + (
        f": {most}" if most else ""
    )
    known = f"the features {', '.join(named)} can wait a day ([plan] can_wait)"
    guessed = "every call that is not streamed can wait a day: an upper bound; name those that can in [plan] can_wait"
    return Option(
        "batch",
        "pays" if waiting else "does_not_pay",
        now,
        now * BATCH_FACTOR,
        Decimal(0),
        why,
        (known if named else guessed, "providers charge half in a batch, cached input included"),
    )


def fine_tuned(
    calls: Sequence[Call], settings: PlanSettings, *, month: Decimal, small_usd: Callable[[Usage], Decimal | None]
) -> Option:
    """Return what a fine-tuned small model would save of the calls that go to stronger tiers."""
    strong = [call for call in calls if call.tier != "simple"]
    moves, factor = Decimal(str(settings.moves)), settings.tuned_price_factor
    usage = mean_usage(strong)
    one = small_usd(usage) if strong else None
    assumptions = (
        f"{100 * settings.moves:.0f} % of the calls of stronger tiers would be answered as well ([plan] moves): "
        "`eval routing` and an experiment can measure that",
        f"a fine-tuned model costs {factor} times the first model of the tier simple ([plan] tuned_price_factor)",
        f"{settings.training_examples} examples, {settings.training_epochs} epochs, "
        f"{settings.training_usd_per_million} USD per million training tokens",
    )
    if one is None:
        why = "no call went to a stronger tier" if not strong else "no priced model of the tier simple is configured"
        verdict: Verdict = "not_enough_data" if strong else "does_not_pay"
        return Option("fine_tune", verdict, None, None, Decimal(0), why, assumptions)
    read = (usage.total_input_tokens + usage.output_tokens) * settings.training_examples * settings.training_epochs
    once = Decimal(read) / 1_000_000 * settings.training_usd_per_million
    now, then = total_usd(strong) * moves * month, one * len(strong) * factor * moves * month
    saved_a_day = (now - then) / MONTH_DAYS
    back = f"; the training of {cents(once)} USD is back after {once / saved_a_day:.0f} days" if saved_a_day > 0 else ""
    why = f"{share(len(strong), len(calls))} of the calls go to stronger tiers{back}"
    pays = saved_a_day > 0 and once <= saved_a_day * BACK_WITHIN_DAYS
    return Option("fine_tune", "pays" if pays else "does_not_pay", now, then, once, why, assumptions)


def self_hosted(calls: Sequence[Call], settings: PlanSettings, *, month: Decimal) -> Option:
    """Return what servers of one's own would save of the calls of the lower tiers."""
    taken = [call for call in calls if TIER_RANK[call.tier] <= TIER_RANK[settings.self_hosted_tier]]
    busiest = busiest_hour_s(taken, settings)
    servers = max(1, math.ceil(busiest / HOUR_S / settings.server_busy_share))
    now = total_usd(taken) * month
    then = servers * settings.server_usd_per_hour * 24 * MONTH_DAYS
    tokens = sum(call.usage.total_input_tokens + call.usage.output_tokens for call in taken)
    a_day = Decimal(tokens) * month / MONTH_DAYS
    even = f"; it would pay from {a_day * then / now / 1_000_000:,.1f} million a day on" if 0 < now <= then else ""
    why = (
        f"{a_day / 1_000_000:,.1f} million tokens a day up to the tier {settings.self_hosted_tier}; "
        f"the busiest hour needs {servers} server{'s' * (servers > 1)}{even}"
    )
    assumptions = (
        f"one server: {settings.server_usd_per_hour} USD an hour, {settings.server_input_tokens_per_s:,.0f} input and "
        f"{settings.server_output_tokens_per_s:,.0f} output tokens a second, at most "
        f"{100 * settings.server_busy_share:.0f} % busy ([plan] server_…): examples, measure your own",
        "its answers are as good; nobody's work on it is counted, and no second server for the case that one fails",
    )
    return Option("self_host", "pays" if then < now else "does_not_pay", now, then, Decimal(0), why, assumptions)


def busiest_hour_s(calls: Sequence[Call], settings: PlanSettings) -> float:
    """Return the seconds that one server would compute for the calls of the hour that asks the most of it."""
    hours: dict[int, float] = defaultdict(float)
    for call in calls:
        read_s = call.usage.total_input_tokens / settings.server_input_tokens_per_s
        hours[int(call.at // HOUR_S)] += read_s + call.usage.output_tokens / settings.server_output_tokens_per_s
    return max(hours.values(), default=0.0)


def mean_usage(calls: Sequence[Call]) -> Usage:
    """Return the tokens of a call on average, bucket by bucket, without a cost; none for no calls.

    Of one call and not of all together, whose tokens would be past the price edge of any model.
    """
    means = {name: sum(getattr(call.usage, name) for call in calls) for name in BUCKETS}
    return usage_of({name: round(total / len(calls)) if calls else 0 for name, total in means.items()})


def usage_of(tokens: Mapping[str, int]) -> Usage:
    """Return a usage of these tokens in its buckets, without a cost."""
    return Usage(
        input_tokens=tokens["input_tokens"],
        cached_input_tokens=tokens["cached_input_tokens"],
        cache_write_tokens=tokens["cache_write_tokens"],
        cache_write_1h_tokens=tokens["cache_write_1h_tokens"],
        output_tokens=tokens["output_tokens"],
    )


def total_usd(calls: Sequence[Call]) -> Decimal:
    """Return what the calls cost together."""
    return sum((call.cost_usd for call in calls), Decimal(0))


def cents(amount_usd: Decimal) -> str:
    """Return an amount in USD with two digits behind the point."""
    return f"{amount_usd.quantize(CENT):,}"


def share(part: int, whole: int) -> str:
    """Return part / whole in per cent."""
    return f"{100 * part / whole:.0f} %"
