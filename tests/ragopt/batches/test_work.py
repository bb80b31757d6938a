"""A batch from its requests to its results: at half the price, each request once, nothing held at the end."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from eval.stub import Step
from ragopt.batches.work import Work
from tests.ragopt.batches.desks import CATS, CHEAP, FEE, REFUND, RULES, Model, Office, ask, in_office
from tests.ragopt.money.questions import budget

DIALECTS = ("openai", "anthropic")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_answers_come_by_custom_id_at_half_the_price(redis_url: str, dialect: str) -> None:
    """Cited answers, one call for equal questions, half a live answer's cost, in the ledger as a batch."""

    async def scenario(office: Office) -> None:
        info, results = await office.answered(ask(CATS), ask(FEE), ask(CATS))
        assert (info.state, list(results)) == ("done", ["q0", "q1", "q2"])
        cats, fee, again = (results[name].answer for name in ("q0", "q1", "q2"))
        assert cats
        assert fee
        assert again
        assert ("sixteen hours" in cats.text, "eight dollars" in fee.text) == (True, True)
        assert [item.citations[0].document_id for item in (cats, fee, again)] == ["cats", "fees", "cats"]
        assert (results["q2"].served, results["q2"].duplicate_of) == ("duplicate", "q0")
        assert (again.text, again.usage.cost_usd) == (cats.text, 0)
        usage, cost = cats.usage, cats.usage.cost_usd
        assert cost == (usage.input_tokens + 10 * usage.output_tokens) * Decimal("0.0000005")
        assert cats.savings is not None
        assert cats.savings.by_technique["batch"] == cost
        assert again.savings is not None
        assert again.savings.saved_usd == again.savings.baseline_cost_usd
        assert "in a batch" in cats.route.reason
        await office.desk.flush()
        rows = await office.desk.accounts.ledger.rows()
        assert [(row["batch"], row["outcome"]) for row in rows] == [(True, "ok")] * 2
        assert sum(Decimal(str(row["cost_usd"])) for row in rows) == cost + (fee.usage.cost_usd or 0)
        assert info.cost_nano == int(1_000_000_000 * (cost + (fee.usage.cost_usd or 0)))
        assert office.batches_made() == 1

    in_office(redis_url, scenario, Model("small", dialect))


def test_the_response_cache_is_read_and_written(redis_url: str) -> None:
    """What a batch answered is a cache hit for the next one, which asks nobody."""

    async def scenario(office: Office) -> None:
        await office.answered(ask(CATS, cache="on"))
        made = office.stub.state.total
        _, results = await office.answered(ask(CATS, cache="on"))
        assert (results["q0"].served, office.stub.state.total) == ("cache", made)
        assert results["q0"].answer
        assert results["q0"].answer.cache.status == "hit"

    in_office(redis_url, scenario)


def test_a_question_without_passages_costs_nothing(redis_url: str) -> None:
    """It is answered at once with the abstention; an unknown collection fails alone."""

    async def scenario(office: Office) -> None:
        strict = replace(ask("zebra quagga").knobs, min_relevance=1.0)
        info, results = await office.answered(ask("zebra quagga", knobs=strict), ask(CATS, collection="nowhere"))
        assert results["q0"].answer
        assert results["q0"].answer.abstained
        assert (results["q1"].answer, results["q1"].error and results["q1"].error[0]) == (None, "collection_not_found")
        assert (info.counts["live"], info.counts["none"], office.stub.state.total) == (1, 1, 0)

    in_office(redis_url, scenario)


def test_without_a_batch_api_everything_is_asked_live(redis_url: str) -> None:
    """A model whose server has no batches is asked like any live question, at the full price."""

    async def scenario(office: Office) -> None:
        info, results = await office.answered(ask(CATS), ask(CATS))
        assert [results[name].served for name in ("q0", "q1")] == ["live", "duplicate"]
        assert info.cost_nano > 0
        assert {call.path for call in office.stub.calls} == {"/v1/chat/completions"}

    in_office(redis_url, scenario, Model("local", batch=False))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_fails_in_a_batch_is_asked_live_of_the_next_model(redis_url: str, dialect: str) -> None:
    """The answer's route tells both attempts, and its usage is that of both."""

    async def scenario(office: Office) -> None:
        _, results = await office.answered(ask(CATS))
        answer = results["q0"].answer
        assert answer
        assert results["q0"].served == "live"
        assert [(item.model, item.outcome) for item in answer.route.attempts] == [
            ("bad", "error"),
            ("bad", "error"),
            ("good", "ok"),
        ]

    in_office(redis_url, scenario, Model("bad", dialect, fault="529"), Model("good", dialect))


def test_without_leave_to_ask_live_a_failure_keeps_its_code(redis_url: str) -> None:
    """`live` false: the request fails with what its call failed with."""

    async def scenario(office: Office) -> None:
        info, results = await office.answered(ask(CATS), live=False)
        assert (results["q0"].error or ("", ""))[0] == "provider_overloaded"
        assert (info.state, info.counts["none"]) == ("done", 1)

    in_office(redis_url, scenario, Model("bad", fault="529"))


def test_a_bad_answer_goes_up_a_tier_in_a_second_batch(redis_url: str) -> None:
    """The quality gate holds in batches too: both calls are paid, both at half the price."""

    async def scenario(office: Office) -> None:
        _, results = await office.answered(ask(CATS))
        answer = results["q0"].answer
        assert answer
        assert [(item.model, item.outcome) for item in answer.route.attempts] == [("cheap", "rejected"), ("dear", "ok")]
        assert (results["q0"].served, office.batches_made()) == ("batch", 2)
        await office.desk.flush()
        rows = await office.desk.accounts.ledger.rows()
        assert [row["batch"] for row in rows] == [True, True]
        assert answer.usage.cost_usd == sum(Decimal(str(row["cost_usd"])) for row in rows)

    in_office(redis_url, scenario, Model("cheap", fault="refusal"), Model("dear", "anthropic", tier="complex"))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_deadline_is_met_by_asking_live(redis_url: str, dialect: str) -> None:
    """What the provider has not done in time is asked live; its batch is stopped, and its money settled later."""

    async def scenario(office: Office) -> None:
        batch_id = await office.accept(ask(CATS), ask(FEE), deadline_s=3_600)
        (claim,) = await office.desk.store.claim()
        work = Work(office.desk, claim)
        for _ in range(4):
            await work.turn()
        assert (await office.results(batch_id), await office.held()) == ({}, 2)
        office.clock.seconds += 3_600 - 2 * RULES.live_s
        await work.turn()
        info = await office.desk.store.info(batch_id)
        assert info.ended_at is not None
        assert info.ended_at <= (info.terms.deadline_at or 0)
        assert (info.state, info.counts["live"]) == ("done", 2)
        office.stub.advance(10_000)
        await work.run()
        assert await office.held() == 0

    in_office(redis_url, scenario, Model("small", dialect), budgets=[budget()], batch_s=1_000)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_cancelling_keeps_what_was_done_and_holds_nothing(redis_url: str, dialect: str) -> None:
    """A cancelled batch keeps the answers that were paid for; the others end as cancelled."""

    async def scenario(office: Office) -> None:
        batch_id = await office.accept(ask(CATS), ask(FEE), ask(REFUND), ask("Do cats purr?"))
        (claim,) = await office.desk.store.claim()
        work = Work(office.desk, claim)
        while not (await office.desk.store.info(batch_id)).parts:
            await work.turn()
        await work.turn()
        assert await office.held() == 4
        office.stub.advance(50)
        await office.desk.store.cancel(batch_id)
        await work.turn()
        office.stub.advance(50)
        await work.run()
        info, results = await office.desk.store.info(batch_id), await office.results(batch_id)
        codes = [item.error[0] for item in results.values() if item.error]
        assert (info.state, info.counts["batch"], codes) == ("cancelled", 2, ["batch_cancelled"] * 2)
        assert (await office.held(), await office.spent()) == (0, info.cost_nano)

    in_office(redis_url, scenario, Model("small", dialect), budgets=[budget()], batch_s=100)


@pytest.mark.parametrize(
    ("when_spent", "outcome"),
    [("refuse", "budget_spent"), ("extractive", "extractive"), ("cheaper_tier", "extractive")],
)
def test_a_budget_too_small_leaves_what_it_says(redis_url: str, when_spent: str, outcome: str) -> None:
    """Nothing is sent to a provider that no budget pays for; nothing is held."""

    async def scenario(office: Office) -> None:
        _, results = await office.answered(ask(CATS))
        answer, error = results["q0"].answer, results["q0"].error
        assert (answer.route.model if answer else (error or ("",))[0]) == outcome
        assert (office.stub.state.total, await office.held(), await office.spent()) == (0, 0, 0)

    entry = budget(day="0.0000001", when_spent=when_spent)
    in_office(redis_url, scenario, Model("small"), budgets=[entry])


def test_a_budget_pays_for_a_cheaper_model_in_the_batch(redis_url: str) -> None:
    """`cheaper_tier`: the model of a lower tier that the budget pays for is asked, in a batch as well."""

    async def scenario(office: Office) -> None:
        info, results = await office.answered(ask(CATS, model="dear"))
        answer = results["q0"].answer
        assert answer
        assert (answer.route.model, results["q0"].served) == ("cheap", "batch")
        assert "a budget does not pay for dear" in answer.route.reason
        assert (await office.held(), await office.spent()) == (0, info.cost_nano)

    models = Model("cheap", price=CHEAP), Model("dear", tier="complex")
    in_office(redis_url, scenario, *models, budgets=[budget(day="0.001")])


@pytest.mark.parametrize(("regions", "model", "served"), [(("eu",), "cheap", "batch"), ((), "extractive", "live")])
def test_no_batch_goes_where_the_collection_may_not(
    redis_url: str, regions: tuple[str, ...], model: str, served: str
) -> None:
    """The cheaper model that a budget pays for is not asked where it may run outside the collection's regions."""

    async def scenario(office: Office) -> None:
        _, results = await office.answered(ask(CATS, model="dear"))
        answer = results["q0"].answer
        assert answer
        assert (answer.route.model, results["q0"].served) == (model, served)
        assert office.batches_made() == (served == "batch")
        assert await office.held() == 0

    models = Model("cheap", price=CHEAP, regions=regions), Model("dear", tier="complex", regions=("eu",))
    in_office(redis_url, scenario, *models, budgets=[budget(day="0.001")], regions=("eu",))


@pytest.mark.parametrize(("dialect", "deleted"), [("openai", 2), ("anthropic", 1)])
def test_what_was_read_is_deleted_at_the_provider(redis_url: str, dialect: str, deleted: int) -> None:
    """Input and output file, or the batch: once, after the answers are kept; the operator may keep them there."""

    async def scenario(office: Office) -> int:
        info, results = await office.answered(ask(CATS))
        assert (info.state, results["q0"].served) == ("done", "batch")
        assert [part.state for part in await office.desk.store.parts(info.id)] == ["closed"]
        return office.deleted()

    assert in_office(redis_url, scenario, Model("small", dialect)) == deleted
    kept = RULES.model_copy(update={"delete_when_read": False})
    assert in_office(redis_url, scenario, Model("small", dialect), rules=kept) == 0


@pytest.mark.parametrize(("fault", "tries"), [("500", 2), ("400", 1)])
def test_a_deletion_that_fails_is_tried_again_unless_it_is_refused(redis_url: str, fault: str, tries: int) -> None:
    """The answers are there at once; the batch is closed when the provider has nothing left, or will not delete."""

    async def scenario(office: Office) -> None:
        batch_id = await office.accept(ask(CATS))
        (claim,) = await office.desk.store.claim()
        work = Work(office.desk, claim)
        while "read" not in [part.state for part in await office.desk.store.parts(batch_id)]:
            assert not await work.turn()
        assert (await office.results(batch_id))["q0"].served == "batch"
        office.stub.plan(Step(fault, model="batches"))
        await work.run()
        assert (await office.desk.store.info(batch_id)).state == "done"
        assert sum(call.method == "DELETE" for call in office.stub.calls) == tries

    in_office(redis_url, scenario, Model("small", "anthropic"))


def test_budgets_are_held_at_half_the_price_and_settled_to_the_cent(redis_url: str) -> None:
    """A budget that a live call would not fit pays for the same call in a batch."""

    async def scenario(office: Office) -> None:
        info, results = await office.answered(ask(CATS))
        assert results["q0"].served == "batch"
        assert (await office.held(), await office.spent()) == (0, info.cost_nano)

    # 1,024 tokens of output at 10 USD a million: a live call holds 0.0102 USD for it, one in a batch half of that.
    in_office(redis_url, scenario, Model("small"), budgets=[budget(day="0.0060")])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_submission_that_was_not_confirmed_is_not_made_again(redis_url: str, dialect: str) -> None:
    """The connection broke after the batch existed: it is found, and asked once."""

    async def scenario(office: Office) -> None:
        steps = ("ok", "reset") if dialect == "openai" else ("reset",)
        office.stub.plan(*(Step(fault, model="batches") for fault in steps))
        _, results = await office.answered(ask(CATS))
        assert results["q0"].served == "batch"
        assert office.batches_made() == 1

    in_office(redis_url, scenario, Model("small", dialect))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_submission_that_was_lost_is_made_again(redis_url: str, dialect: str) -> None:
    """The provider failed before anything was done: it is looked for in vain, and then submitted."""

    async def scenario(office: Office) -> None:
        office.stub.plan(Step("500", model="batches"))
        _, results = await office.answered(ask(CATS))
        assert (results["q0"].served, office.batches_made()) == ("batch", 1)

    in_office(redis_url, scenario, Model("small", dialect))


@pytest.mark.parametrize("fault", ["401", "402", "413"])
def test_a_provider_that_will_not_have_the_batch_leaves_it_to_live_calls(redis_url: str, fault: str) -> None:
    """A refusal is not repeated: the calls are asked live at once, and nothing is held for the batch."""

    async def scenario(office: Office) -> None:
        office.stub.plan(Step(fault, model="batches"))
        _, results = await office.answered(ask(CATS))
        assert (results["q0"].served, office.batches_made()) == ("live", 0)
        assert await office.held() == 0

    in_office(redis_url, scenario, Model("small"), Model("spare", "anthropic"), budgets=[budget()])


def test_failures_while_polling_and_reading_are_tried_again(redis_url: str) -> None:
    """A poll, a list and a download that fail cost time, never an answer and never a second batch."""

    async def scenario(office: Office) -> None:
        steps = ["ok", "ok", "529", "reset", "ok", "ok", "reset", "500"]
        office.stub.plan(*(Step(fault, model="batches") for fault in steps))
        info, results = await office.answered(ask(CATS), ask(FEE))
        assert (info.counts["batch"], office.batches_made()) == (2, 1)
        assert all(item.answer for item in results.values())

    in_office(redis_url, scenario)
