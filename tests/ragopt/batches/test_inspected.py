"""What has to pass before a live answer is released has to pass in a batch: policies and schemas, over real sockets."""

from __future__ import annotations

from decimal import Decimal

import pytest

from eval.stub import Step
from ragopt.batches.work import Work
from ragopt.domain import Answer
from ragopt.pipeline import ABSTENTION
from ragopt.settings.collections import Unsupported
from ragopt.settings.money import BudgetSettings
from ragopt.stages.retrieve import HybridRetriever
from ragopt.state.batch_records import BatchResult
from tests.ragopt.batches.desks import CATS, DOCUMENTS, Model, Office, ask, in_office

DIALECTS = ["openai", "anthropic"]
WRONG = "Cats sleep nine hours a day [1]. They purr as well [1]."
RIGHT = "Cats sleep sixteen hours a day [1]."
SCHEMA = '{"type": "object", "required": ["hours"]}'
JSON = '{"hours": "Cats sleep sixteen hours a day [1]"}'
NAMES = {"openai": "gpt-4o-mini", "anthropic": "claude-haiku-4-5"}
BUDGET = BudgetSettings(scope="tenant", usd_per_day=Decimal(1))


def answered(result: BatchResult) -> Answer:
    """Return the answer of a result that has one."""
    assert result.answer, result.error
    return result.answer


def outcomes(answer: Answer) -> list[tuple[str, str]]:
    """Return who was asked and what came of it."""
    return [(attempt.model, attempt.outcome) for attempt in answer.route.attempts]


def says(model: str, *answers: str) -> list[Step]:
    """Return the steps that make a model give these answers one after the other."""
    return [Step(answer=answer, model=model) for answer in answers]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_json_that_does_not_match_is_mended_in_a_further_batch(redis_url: str, dialect: str) -> None:
    """The model sees its draft and what is wrong with it; both calls cost half, and nothing stays held."""

    async def scenario(office: Office) -> None:
        office.stub.plan(*says(NAMES[dialect], "Sixteen hours [1].", JSON))
        info, results = await office.answered(ask(CATS, answer_schema=SCHEMA), ask(CATS, answer_schema=SCHEMA))
        answer = answered(results["q0"])
        assert (answer.text, answer.checks.corrections) == (JSON, 1)
        assert outcomes(answer) == [("small", "rejected"), ("small", "ok")]
        assert "it is not JSON" in answer.route.attempts[0].detail
        assert (results["q0"].served, results["q1"].served, office.batches_made()) == ("batch", "duplicate", 2)
        assert answered(results["q1"]).text == JSON
        assert (await office.held(), await office.spent()) == (0, info.cost_nano)
        rows = await office.desk.accounts.ledger.rows()
        assert [row["batch"] for row in rows] == [True, True]
        assert answer.usage.cost_usd == sum(Decimal(str(row["cost_usd"])) for row in rows)
        assert [name.rpartition("-")[2] for name in office.stub.state.asked_in_batches] == ["0", "1"]

    in_office(redis_url, scenario, Model("small", dialect), budgets=[BUDGET])


def test_json_that_never_matches_is_an_error_of_every_request(redis_url: str) -> None:
    """The code is that of a live answer, the duplicate has it too, and what the drafts cost is counted."""

    async def scenario(office: Office) -> None:
        office.stub.plan(*says(NAMES["openai"], "{}", "{}"))
        info, results = await office.answered(ask(CATS, answer_schema=SCHEMA), ask(CATS, answer_schema=SCHEMA))
        assert [(item.error or ("",))[0] for item in results.values()] == ["unusable_answer"] * 2
        assert "'hours' is a required property" in (results["q0"].error or ("", ""))[1]
        assert (info.counts["none"], office.stub.state.steps) == (2, [])
        assert (await office.held(), await office.spent()) == (0, info.cost_nano)
        assert info.cost_nano > 0

    in_office(redis_url, scenario, Model("small"), budgets=[BUDGET])


def test_after_one_correction_the_next_tier_is_asked(redis_url: str) -> None:
    """A request that names its model goes up as well: three batches in all."""

    async def scenario(office: Office) -> None:
        office.stub.plan(*says(NAMES["openai"], "{}", "[]"), *says(NAMES["anthropic"], JSON))
        _, results = await office.answered(ask(CATS, model="cheap", answer_schema=SCHEMA))
        answer = answered(results["q0"])
        assert outcomes(answer) == [("cheap", "rejected"), ("cheap", "rejected"), ("dear", "ok")]
        assert (answer.text, results["q0"].served, office.batches_made()) == (JSON, "batch", 3)

    in_office(redis_url, scenario, Model("cheap"), Model("dear", "anthropic", tier="complex"))


def test_the_next_tier_without_batches_is_asked_live(redis_url: str) -> None:
    """Its answer has to pass there too, and the route tells of both."""

    async def scenario(office: Office) -> None:
        office.stub.plan(*says(NAMES["openai"], WRONG), *says(NAMES["anthropic"], RIGHT))
        info, results = await office.answered(ask(CATS))
        answer = answered(results["q0"])
        assert (answer.text, results["q0"].served) == (RIGHT, "live")
        assert outcomes(answer) == [("cheap", "rejected"), ("dear", "ok")]
        assert (await office.held(), await office.spent()) == (0, info.cost_nano)

    models = Model("cheap"), Model("dear", "anthropic", tier="complex", batch=False)
    in_office(redis_url, scenario, *models, unsupported="escalate", budgets=[BUDGET])


@pytest.mark.parametrize(
    ("policy", "text", "asked"),
    [
        ("flag", WRONG, 1),
        ("drop", "They purr as well [1].", 1),
        ("correct", "They purr as well [1].", 2),
        ("escalate", "They purr as well [1].", 1),
        ("abstain", ABSTENTION, 1),
    ],
)
def test_a_policy_means_in_a_batch_what_it_means_live(
    redis_url: str, policy: Unsupported, text: str, asked: int
) -> None:
    """The same text and the same number of calls come of the same model live."""

    async def scenario(office: Office) -> None:
        for live in (False, True):
            office.stub.plan(*says(NAMES["openai"], *[WRONG] * asked))
            model = "live" if live else "small"
            _, results = await office.answered(ask(CATS, model=model))
            answer = answered(results["q0"])
            assert (answer.text.strip(), results["q0"].served) == (text, "live" if live else "batch")
            assert (len(answer.route.attempts), answer.abstained) == (asked, policy == "abstain")
            assert (answer.partial, office.stub.state.steps) == (policy in ("drop", "correct", "escalate"), [])

    in_office(redis_url, scenario, Model("small"), Model("live", batch=False), unsupported=policy)


def test_an_abstaining_collection_asks_no_higher_tier(redis_url: str) -> None:
    """What the gate lets pass and the policy does not is the abstention at once."""

    async def scenario(office: Office) -> None:
        office.stub.plan(*says(NAMES["openai"], WRONG))
        _, results = await office.answered(ask(CATS))
        answer = answered(results["q0"])
        assert (answer.text, outcomes(answer)) == (ABSTENTION, [("cheap", "rejected")])
        assert office.batches_made() == 1

    models = Model("cheap"), Model("dear", "anthropic", tier="complex")
    in_office(redis_url, scenario, *models, unsupported="abstain")


def test_at_the_deadline_a_correction_is_asked_live(redis_url: str) -> None:
    """The draft is not given as it is: the model is asked once more, and what it says then has to pass."""

    async def scenario(office: Office) -> None:
        office.stub.plan(*says(NAMES["openai"], "Sixteen hours [1].", JSON))
        batch_id = await office.accept(ask(CATS, answer_schema=SCHEMA), deadline_s=3_600)
        (claim,) = await office.desk.store.claim()
        work = Work(office.desk, claim)
        while not any(call.mends for call in work.calls.values()):
            office.stub.advance(1_000)
            await work.turn()
            work.calls = await office.desk.store.calls(batch_id)
        office.clock.seconds += 3_600
        await work.turn()
        result = (await office.results(batch_id))["q0"]
        assert (answered(result).text, result.served) == (JSON, "live")
        office.stub.advance(10_000)
        await work.run()
        assert await office.held() == 0

    in_office(redis_url, scenario, Model("small"), budgets=[BUDGET], batch_s=1_000)


def test_requests_of_two_collections_share_no_call(redis_url: str) -> None:
    """The same question over the same document is asked for each: their policies may differ."""

    async def scenario(office: Office) -> None:
        retriever = office.desk.pipeline.retrieve
        assert isinstance(retriever, HybridRetriever)
        await retriever.library.ingest("acme", "other", DOCUMENTS)
        _, results = await office.answered(ask(CATS), ask(CATS, collection="other"))
        assert [item.served for item in results.values()] == ["batch", "batch"]

    in_office(redis_url, scenario)
