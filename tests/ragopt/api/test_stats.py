"""GET /stats: the tenant's own sums, for keys of scope admin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from ragopt.api.stats import StatsResponse
from ragopt.errors import StateUnavailable
from ragopt.state.ledger import DaySums
from tests.ragopt.api.fakes import OTHER_KEY, QUERY_KEY, Served


def fill(http: Served) -> None:
    """Give the tenant acme five days, the last one dear."""
    today = datetime.now(UTC).date()
    for back, spent in enumerate((90, 10, 10, 10, 10)):
        day = today - timedelta(days=back)
        counts = {"answers": 50, "calls": 60, "failed_calls": 2}
        sums = {**counts, "spent": spent * 10**9, "baseline": 10**12, "saved": 10**11}
        by_name = {"total": {"": sums}, "model": {"small": sums}, "technique": {"context": {"saved": 10**11}}}
        http.service.accounts.ledger.read["acme", day] = DaySums(day, by_name)


def test_stats_have_the_documented_fields(http: Served) -> None:
    """Spent and saved in all, by model, technique and day, and the alarm of the dear day."""
    fill(http)
    content = http.get("/stats?days=5").json()
    StatsResponse.model_validate(content, strict=False)
    assert (content["tenant"], content["days"], len(content["by_day"])) == ("acme", 5, 5)
    assert (content["total"]["spent_usd"], content["total"]["saved_usd"]) == ("130", "500")
    assert (content["by_model"]["small"]["calls"], content["by_model"]["small"]["failed_calls"]) == (300, 10)
    assert (content["total"]["failed_calls"], content["by_day"][0]["failed_calls"]) == (10, 2)
    assert (content["by_user"], content["by_technique"]["context"]) == ({}, "500")
    (alarm,) = content["alarms"]
    assert alarm["day"] == content["by_day"][-1]["day"]
    assert (alarm["kind"], Decimal(alarm["cost_per_answer_usd"]), Decimal(alarm["limit_usd"])) == (
        "cost_drift",
        Decimal("1.8"),
        Decimal("0.3"),
    )


def test_days_before_the_asked_ones_are_compared_with_but_not_shown(http: Served) -> None:
    """One day is enough to see that it is dear."""
    fill(http)
    content = http.get("/stats?days=1").json()
    assert (content["total"]["spent_usd"], len(content["by_day"]), len(content["alarms"])) == ("90", 1, 1)


def test_another_tenant_sees_its_own(http: Served) -> None:
    """Nothing of acme's."""
    fill(http)
    content = http.get("/stats", key=OTHER_KEY).json()
    assert (content["tenant"], content["days"], content["total"]["spent_usd"]) == ("globex", 30, "0")


def test_a_key_without_admin_sees_no_costs(http: Served) -> None:
    """A website's key must not show what its users cost."""
    refused = http.get("/stats", key=QUERY_KEY)
    assert (refused.status_code, refused.json()["code"]) == (403, "missing_scope")


@pytest.mark.parametrize("days", ["0", "367", "many"])
def test_days_out_of_range_are_named(http: Served, days: str) -> None:
    """The error says which parameter is wrong."""
    refused = http.get(f"/stats?days={days}")
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/days")


def test_redis_that_does_not_answer_is_503(http: Served) -> None:
    """Costs that cannot be read are not zero."""
    http.service.accounts.ledger.failure = StateUnavailable("Redis does not answer")
    assert http.get("/stats").status_code == 503
