"""What the ledger says of calls of a batch of which nothing came."""

from __future__ import annotations

import pytest

from eval.stub import Step
from eval.stub.batches import EXPIRES_S
from ragopt.batches.work import Work
from tests.ragopt.batches.desks import CATS, FEE, Model, Office, ask, in_office
from tests.ragopt.money.questions import budget

DIALECTS = ("openai", "anthropic")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("fault", "code"), [("529", "provider_overloaded"), ("hang", "provider_timeout")])
def test_a_call_that_failed_or_expired_has_a_row_without_tokens(
    redis_url: str, dialect: str, fault: str, code: str
) -> None:
    """It is a failed call that cost nothing, and nothing is held for it."""

    async def scenario(office: Office) -> None:
        await office.accept(ask(CATS), ask(FEE), live=False)
        (claim,) = await office.desk.store.claim()
        work = Work(office.desk, claim)
        while not await work.turn():
            office.stub.advance(EXPIRES_S)
        assert (await office.held(), await office.spent()) == (0, 0)
        rows = await office.desk.accounts.ledger.rows()
        assert [(row["batch"], row["outcome"], row["error"]) for row in rows] == [(True, "error", code)] * 2
        assert {(row["cost_usd"], row["input_tokens"], row["output_tokens"]) for row in rows} == {("0", 0, 0)}

    in_office(redis_url, scenario, Model("bad", dialect, fault=fault), budgets=[budget()])


def test_a_call_that_a_provider_has_when_its_batch_is_given_up_counts_as_the_most_it_can_cost(redis_url: str) -> None:
    """A budget never counts too little; the row says that nobody knows the tokens."""

    async def scenario(office: Office) -> None:
        await office.accept(ask(CATS), ask(FEE), live=False)
        (claim,) = await office.desk.store.claim()
        work = Work(office.desk, claim)
        while not any(call.state == "sent" for call in work.calls.values()):
            await work.turn()
            work.calls = await office.desk.store.calls(work.id)
        most = sum(call.hold.nano for call in work.calls.values() if call.hold is not None)
        await work.abandon("a fault of ours")
        assert (await office.held(), await office.spent()) == (0, most)
        rows = await office.desk.accounts.ledger.rows()
        assert [(row["outcome"], row["error"], row["input_tokens"]) for row in rows] == [("error", "abandoned", 0)] * 2

    in_office(redis_url, scenario, Model("small"), batch_s=500, budgets=[budget()])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_call_whose_batch_was_refused_has_no_row(redis_url: str, dialect: str) -> None:
    """The provider took none of its calls: there is nothing to write down, and nothing is held."""

    async def scenario(office: Office) -> None:
        office.stub.plan(Step("401", model="batches"))
        _, results = await office.answered(ask(CATS), live=False)
        assert (results["q0"].error or ("", ""))[0] == "provider_key_refused"
        assert (await office.held(), await office.spent()) == (0, 0)
        assert await office.desk.accounts.ledger.rows() == []

    in_office(redis_url, scenario, Model("small", dialect), budgets=[budget()])
