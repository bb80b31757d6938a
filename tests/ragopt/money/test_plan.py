"""What batches, a fine-tuned model and a server of one's own would save, from the calls in the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from ragopt.domain import Tier, Usage
from ragopt.money.plan import DAY_S, Call, Option, Way, call_of, plan_of
from ragopt.settings.plan import PlanSettings

USAGE = Usage(input_tokens=900, output_tokens=100)
CALL = Call(0.0, "simple", "", Decimal("0.001"), USAGE, batch=False, streamed=True)
ROW = {
    "at": 5.0,
    "tier": "complex",
    "feature": "reports",
    "cost_usd": "0.01",
    "input_tokens": 1,
    "cached_input_tokens": 2,
    "cache_write_tokens": 3,
    "cache_write_1h_tokens": 4,
    "output_tokens": 5,
    "batch": False,
}


def spread(count: int, *, days: int = 10, call: Call = CALL) -> list[Call]:
    """Return calls at equal distances over some days."""
    return [replace(call, at=at * days * DAY_S / count) for at in range(count)]


def option(
    way: Way, calls: Sequence[Call], settings: PlanSettings | None = None, *, small: str | None = "0.0002"
) -> Option:
    """Return what one way would save of these calls of ten days; small: what a call costs at the small model."""
    price = None if small is None else Decimal(small)
    plan = plan_of(calls, settings or PlanSettings(), days=10, small_usd=lambda _: price)
    (found,) = (option for option in plan.options if option.way == way)
    return found


@pytest.mark.parametrize("calls", [[], spread(999), spread(5_000, days=6)], ids=["none", "few", "six days"])
def test_little_data_is_said_to_be_little(calls: list[Call]) -> None:
    """No number is given for anything, and the sentence says how much there is and how much is needed."""
    plan = plan_of(calls, PlanSettings(), days=10, small_usd=lambda _: None)
    assert {found.verdict for found in plan.options} == {"not_enough_data"}
    assert {found.saved_usd for found in plan.options} == {None}
    assert f"{len(calls)} paid calls" in plan.options[0].why


def test_what_can_wait_costs_half_in_a_batch() -> None:
    """Calls that are neither streamed nor in a batch already, for thirty days; a named feature takes their place."""
    calls = [
        *spread(1_000),
        *spread(500, call=replace(CALL, streamed=False, feature="reports")),
        *spread(500, call=replace(CALL, streamed=False, batch=True)),
    ]
    found = option("batch", calls)
    assert (found.now_usd, found.saved_usd, found.verdict) == (Decimal("1.5"), Decimal("0.75"), "pays")
    assert "reports 1.50" in found.why
    assert "upper bound" in found.assumptions[0]
    assert option("batch", calls, PlanSettings(can_wait=("nightly",))).verdict == "does_not_pay"


def test_a_fine_tuned_model_is_priced_from_the_small_one_and_its_training_is_paid_back() -> None:
    """Half of a thousand strong calls at 0.01 USD move to twice the small model's price."""
    strong: Tier = "complex"
    calls = [*spread(1_000), *spread(1_000, call=replace(CALL, tier=strong, cost_usd=Decimal("0.01")))]
    found = option("fine_tune", calls)
    assert (found.now_usd, found.then_usd) == (Decimal(15), Decimal("0.6"))
    assert found.once_usd == Decimal("15")
    assert "back after 31 days" in found.why
    assert option("fine_tune", calls, small=None).verdict == "not_enough_data"
    assert option("fine_tune", spread(1_000)).why == "no call went to a stronger tier"


def test_a_server_pays_from_some_tokens_a_day_on() -> None:
    """One server costs 1,800 USD a month; the busiest hour says how many are needed."""
    found = option("self_host", spread(1_000))
    assert (found.then_usd, found.verdict) == (Decimal(1_800), "does_not_pay")
    assert "it would pay from 60.0 million a day on" in found.why
    dear = replace(CALL, cost_usd=Decimal(1))
    assert option("self_host", spread(1_000, call=dear)).verdict == "pays"
    burst = [replace(dear, at=DAY_S * 3.0, usage=Usage(output_tokens=5_000))] * 1_000
    assert "needs 3 servers" in option("self_host", [*spread(1_000, call=dear), *burst]).why


def test_a_row_of_the_ledger_is_a_call() -> None:
    """Its buckets are kept apart; one without a price or that was free is none; an old row counts as streamed."""
    call = call_of(ROW)
    assert call is not None
    assert (call.usage.total_input_tokens, call.usage.output_tokens, call.streamed) == (10, 5, True)
    assert call_of({**ROW, "streamed": False}) == replace(call, streamed=False)
    assert (call_of({**ROW, "cost_usd": None}), call_of({**ROW, "cost_usd": "0"})) == (None, None)
