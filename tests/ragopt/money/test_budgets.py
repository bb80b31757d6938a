"""Which budgets apply to whom."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ragopt.money.budgets import STRICTEST, strictest, windows_for
from tests.ragopt.money.questions import budget, question

NEW_YEARS_EVE = datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


def test_day_and_month_are_utc() -> None:
    """A second later both periods are new ones."""
    entry = budget(month="20")
    before, after = (windows_for([entry], question(), at=at) for at in (NEW_YEARS_EVE, NEW_YEARS_EVE + 1))
    assert [(item.period, item.starts) for item in before] == [("day", "2026-12-31"), ("month", "2026-12")]
    assert [(item.period, item.starts) for item in after] == [("day", "2027-01-01"), ("month", "2027-01")]
    assert [item.limit_nano for item in before] == [10**9, 20 * 10**9]


def test_every_scope_that_is_named_applies() -> None:
    """Tenant and key always; user, team and feature where the request says them."""
    entries = [budget(scope) for scope in ("tenant", "key", "user", "team", "feature")]
    full = question(user="ann", team="hr", feature="chat")
    assert [item.scope for item in windows_for(entries, full, at=0)] == ["tenant", "key", "user", "team", "feature"]
    assert [item.scope for item in windows_for(entries, question(user=""), at=0)] == ["tenant", "key"]


def test_a_named_entry_takes_the_place_of_the_star() -> None:
    """The name counts more than the tenant, and a star leaves each name its own."""
    entries = [budget("user", day="1"), budget("user", day="2", tenant="acme"), budget("user", day="3", name="ann")]
    limits = {
        (tenant, user): windows_for(entries, question(tenant, user=user), at=0)[0].limit_nano // 10**9
        for tenant in ("acme", "globex")
        for user in ("ann", "bob")
    }
    assert limits == {("acme", "ann"): 3, ("acme", "bob"): 2, ("globex", "ann"): 3, ("globex", "bob"): 1}


def test_a_label_that_no_key_vouches_for_is_soft_and_counted_per_key() -> None:
    """A stranger who claims to be Ann draws on a sum of his own key's, never on Ann's."""
    (claimed,) = windows_for([budget("user")], question(user="ann", key_id="k9"), at=0)
    (vouched,) = windows_for([budget("user")], question(user="ann", trusted=frozenset({"user"})), at=0)
    assert (claimed.hard, claimed.key_id) == (False, "k9")
    assert (vouched.hard, vouched.key_id) == (True, "")
    (tenant,) = windows_for([budget()], question(), at=0)
    assert tenant.hard


@pytest.mark.parametrize("weaker", STRICTEST[1:])
def test_the_strictest_decides(weaker: str) -> None:
    """Of several spent budgets the one that leaves least is told."""
    found = windows_for([budget(when_spent=weaker), budget("key", when_spent="refuse")], question(), at=0)
    assert strictest(found).when_spent == "refuse"
    assert strictest(found[:1]).when_spent == weaker
