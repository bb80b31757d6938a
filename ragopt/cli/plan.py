"""`ragopt plan`: when a batch, a fine-tuned small model or a server of one's own would pay, from the ledger."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict
from decimal import Decimal

from ragopt.api.rendering import money
from ragopt.cli.arguments import add_data_dir, add_json
from ragopt.cli.terminal import say, say_json, say_table
from ragopt.config import Settings, configured_address, load_settings
from ragopt.domain import Usage
from ragopt.errors import InvalidRequest
from ragopt.money.plan import DAY_S, Call, Plan, call_of, cents, plan_of
from ragopt.money.prices import FREE_PROVIDERS, Priced, Prices
from ragopt.state.key_records import DEFAULT_TENANT
from ragopt.wiring.books import opened_books

EXAMPLE = "ragopt plan --days 30 --can-wait reports,nightly"
NAMES = {"batch": "batch what can wait", "fine_tune": "a fine-tuned small model", "self_host": "a server of your own"}
VERDICTS = {"pays": "pays", "does_not_pay": "does not pay", "not_enough_data": "not enough data"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--days", type=int, default=30, metavar="N", help="days to look back (default: 30)")
    parser.add_argument("--tenant", default=DEFAULT_TENANT, metavar="T", help="whose calls (default: default)")
    parser.add_argument("--can-wait", metavar="FEATURE,…", help="features that can wait, instead of [plan] can_wait")
    add_data_dir(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print what each way would save. Raises: `InvalidRequest`, `StateUnavailable`."""
    if arguments.days < 1:
        raise InvalidRequest("--days: at least 1 is needed")
    settings = load_settings(data_dir=arguments.data_dir)
    wanted = settings.plan
    if arguments.can_wait:
        wanted = wanted.model_copy(update={"can_wait": tuple(arguments.can_wait.split(","))})
    now = time.time()
    calls, since = asyncio.run(read(settings, arguments.tenant, since=now - arguments.days * DAY_S))
    days = (now - since) / DAY_S if calls else 0.0
    plan = plan_of(calls, wanted, days=days, small_usd=price_of_small(settings))
    if arguments.json:
        say_json(plan_json(plan))
    else:
        tell(plan, arguments.tenant)
    return 0


async def read(settings: Settings, tenant: str, *, since: float) -> tuple[list[Call], float]:
    """Return the tenant's paid calls since a Unix time, and since when they are all there."""
    async with opened_books(settings) as books:
        rows, complete_since = await books.ledger.rows_since(since)
    calls = [call for row in rows if row["tenant"] == tenant and (call := call_of(row))]
    first = min((call.at for call in calls), default=since)
    return calls, max(since, complete_since, first)


def price_of_small(settings: Settings) -> Callable[[Usage], Decimal | None]:
    """Return what prices a usage at the first paid model of the tier simple; None of every usage where none is."""
    small = next(
        (item for item in settings.models if item.tier == "simple" and item.provider not in FREE_PROVIDERS), None
    )
    if small is None:
        return lambda _: None
    prices, found = Prices(), Priced(small.provider, small.model, configured_address(small), small.price)
    return lambda usage: prices.cost(found, usage)


def plan_json(plan: Plan) -> dict[str, object]:
    """Return the plan with money as decimal strings."""
    return {
        "calls": plan.calls,
        "days": round(plan.days, 2),
        "spent_usd": rounded(plan.spent_usd),
        "options": [
            {
                **asdict(option),
                **{name: rounded(getattr(option, name)) for name in ("now_usd", "then_usd", "once_usd", "saved_usd")},
            }
            for option in plan.options
        ],
    }


def rounded(amount_usd: Decimal | None) -> str | None:
    """Return an amount in USD with as many digits as an estimate is worth."""
    return None if amount_usd is None else money(amount_usd.quantize(Decimal("0.0001")))


def tell(plan: Plan, tenant: str) -> None:
    """Print the plan for a person: a table for 30 days, then each way with its numbers and what was assumed."""
    say(f"{tenant}: {plan.calls} paid calls over {plan.days:.1f} days, {cents(plan.spent_usd)} USD")
    say()
    rows = [
        (NAMES[option.way], *map(shown, (option.now_usd, option.then_usd, option.saved_usd)), VERDICTS[option.verdict])
        for option in plan.options
    ]
    say_table([("USD in 30 days", "now", "then", "saved", ""), *rows])
    for option in plan.options:
        say()
        say(f"{NAMES[option.way]}: {option.why}.")
        for assumption in option.assumptions:
            say(f"  assumed: {assumption}")


def shown(amount_usd: Decimal | None) -> str:
    """Return an amount in USD, `-` where nothing can be said."""
    return "-" if amount_usd is None else cents(amount_usd)
