"""How a service stands: the gap to each target, and which techniques still pay, from its own ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import cast

from eval.errors import ConfigurationError
from ragopt.api.rendering import Json
from ragopt.api.stats import MAX_DAYS, standing_json
from ragopt.cli.remote import Remote
from ragopt.config import Settings
from ragopt.money.drift import DAYS_BEFORE
from ragopt.money.stats import last_days
from ragopt.wiring.books import opened_books

Row = Mapping[str, object]

VERDICTS = {
    "pays": "pays",
    "stopped": "no longer pays",
    "nothing": "saves nothing",
    "costs": "costs more than it saves",
}


def days_since(text: str, *, today: date) -> int:
    """Return how many days `7d` or a date such as `2026-11-20` means, today included.

    Raises: `ConfigurationError` for anything else, and beyond a year.
    """
    try:
        days = int(text[:-1]) if text.endswith("d") else (today - date.fromisoformat(text)).days + 1
    except ValueError:
        days = 0
    if not 1 <= days <= MAX_DAYS:
        raise ConfigurationError(f"--since: {text!r} is neither a date like {today} nor 1d to {MAX_DAYS}d")
    return days


def standing_at(remote: Remote, days: int) -> Json:
    """Return how the tenant of the service's key stands. Raises: `RagoptError`."""
    return remote.get(f"/stats?days={days}")


def standing_here(settings: Settings, tenant: str, days: int) -> Json:
    """Return how a tenant stands by the ledger in the settings' own Redis. Raises: `StateUnavailable`."""
    today = datetime.now(UTC).date()

    async def read() -> Json:
        async with opened_books(settings) as books:
            sums = await books.ledger.days(tenant, last_days(today, days + DAYS_BEFORE))
        return standing_json(sums, settings.targets, tenant=tenant, days=days)

    return asyncio.run(read())


def standing_text(standing: Json) -> str:
    """Return it as a person reads it: what happened, the targets with the largest gap first, the techniques."""
    total = cast("Row", standing["total"])
    calls = f"{total['calls']} model calls" + (f", {n} without a price" if (n := total["unpriced_calls"]) else "")
    calls += f", failed attempts: {n}" if (n := total["failed_calls"]) else ""
    days = f"last {standing['days']} days" if standing["days"] != 1 else "today"
    head = f"{standing['tenant']}, {days}: {total['answers']} answers, {calls}"
    money = f"spent {total['spent_usd']} USD, saved {total['saved_usd']} of {total['baseline_usd']} USD"
    targets, techniques = cast("Sequence[Row]", standing["targets"]), cast("Sequence[Row]", standing["techniques"])
    alarms = cast("Sequence[Row]", standing["alarms"])
    told = [
        f"{alarm['day']}: an answer cost {alarm['cost_per_answer_usd']} USD, over {alarm['limit_usd']}"
        for alarm in alarms
    ]
    return "\n".join([head, money, "", *target_lines(targets), "", *technique_lines(techniques), *told])


def missed(standing: Json) -> bool:
    """Return whether a target was judged and is not met."""
    return any(gap["met"] is False for gap in cast("Sequence[Row]", standing["targets"]))


def target_lines(targets: Sequence[Row]) -> list[str]:
    """Return the table of the targets."""
    if not targets:
        return ["no target is set: [targets] in ragopt.toml holds them, see docs/targets.md"]
    rows = [
        (
            str(gap["name"]),
            shown(gap["target"]),
            shown(gap["reached"]),
            "too few" if gap["gap"] is None else f"{100 * cast('float', gap['gap']):+.0f} %",
            {True: "met", False: "missed", None: "not judged"}[cast("bool | None", gap["met"])],
            str(gap["n"]),
        )
        for gap in targets
    ]
    return aligned([("target", "aim", "reached", "gap", "", "n"), *rows])


def technique_lines(techniques: Sequence[Row]) -> list[str]:
    """Return the table of the techniques; those that do not pay say so."""
    parts = ("saved_usd", "earlier_usd", "later_usd")
    rows = [
        (str(pay["name"]), *(shown(pay[part]) for part in parts), VERDICTS[str(pay["verdict"])]) for pay in techniques
    ]
    head = ("technique", "saved USD", "earlier half", "later half", "")
    return [*aligned([head, *rows]), "(halves: USD for 1,000 answers)"]


def shown(value: object) -> str:
    """Return an amount with six digits at most, `-` for one that is not known."""
    if value is None:
        return "-"
    rounded = format(Decimal(str(value)).quantize(Decimal("0.000001")), "f")
    return rounded.rstrip("0").rstrip(".") if "." in rounded else rounded


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return rows of equal length as lines in columns, the first to the left, the others to the right."""
    listed = list(rows)
    first, *others = (max(map(len, column)) for column in zip(*listed, strict=True))
    return ["  ".join([name.ljust(first), *map(str.rjust, cells, others)]).rstrip() for name, *cells in listed]
