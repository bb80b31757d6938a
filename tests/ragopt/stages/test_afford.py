"""What a spent budget leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from decimal import Decimal

import pytest

from ragopt.domain import BilledCall, Route, Usage
from ragopt.errors import BudgetSpent, BudgetUnreachable, ProviderUnavailable, RagoptError, UnknownModel, WhenSpent
from ragopt.providers.protocol import TextDelta
from ragopt.results import Generated, Prepared
from ragopt.stages.afford import GenerateWithinBudget
from ragopt.telemetry import ModelCall, Trace
from tests.model_calls import prepared
from tests.ragopt.money.questions import deployment

MODELS = (deployment("small"), deployment("middle", tier="medium"), deployment("large", tier="complex"))


class Planned:
    """Answers as the model that is asked for, `auto` as large; fails for those that `failures` names."""

    def __init__(self, **failures: RagoptError) -> None:
        self.failures = failures
        self.asked: list[str] = []
        # What each plan that fails has paid for before it did.
        self.calls: list[ModelCall] = []

    async def __call__(self, prepared: Prepared, *, trace: Trace) -> AsyncGenerator[TextDelta | Generated, None]:
        """Yield one delta and the end."""
        trace.note(asked=prepared.question.model)
        self.asked.append(prepared.question.model)
        if prepared.question.model in self.failures:
            trace.calls += self.calls
            raise self.failures[prepared.question.model]
        yield TextDelta("text")
        route = Route("openai", prepared.question.model, "simple", None, "planned", ())
        yield Generated(route, Usage(cost_usd=Decimal(0)), partial=False, abstained=False)


def spent(when_spent: WhenSpent) -> BudgetSpent:
    """Return the error of one model that sums up a budget's."""
    error = BudgetSpent("no model answered")
    error.__cause__ = BudgetSpent("the tenant's budget is spent", when_spent=when_spent)
    return error


def answered(planned: Planned, *, model: str = "auto") -> tuple[Generated, Planned, Trace]:
    """Return the end of an answer, the extractive stage and the trace."""
    extractive, trace = Planned(), Trace("r")
    stage = GenerateWithinBudget(planned, extractive, MODELS)

    async def run() -> Generated:
        *_, last = [event async for event in stage(prepared(model=model), trace=trace)]
        assert isinstance(last, Generated)
        return last

    return asyncio.run(run()), extractive, trace


def test_an_answer_that_is_paid_for_is_left_alone() -> None:
    """Nothing else is asked, and the reason is the plan's."""
    planned = Planned()
    last, extractive, trace = answered(planned)
    assert (planned.asked, extractive.asked, last.route.reason, trace.fallbacks) == (["auto"], [], "planned", {})


def test_a_cheaper_tier_answers() -> None:
    """Tiers are tried from the dearest down, and the route says why."""
    planned = Planned(auto=spent("cheaper_tier"), large=spent("cheaper_tier"))
    last, extractive, _ = answered(planned)
    assert planned.asked == ["auto", "large", "middle"]
    assert (last.route.model, last.route.reason) == ("middle", "the tenant's budget is spent; planned")
    assert extractive.asked == []


def test_a_tier_that_the_key_may_not_have_is_passed_over() -> None:
    """A cheaper model that the plan refuses is no failure; one that the caller named is."""
    planned = Planned(auto=spent("cheaper_tier"), large=UnknownModel("over the ceiling"))
    last, _, _ = answered(planned)
    assert last.route.model == "middle"
    with pytest.raises(UnknownModel):
        answered(Planned(other=UnknownModel("no such model")), model="other")


def test_at_last_the_passages_answer() -> None:
    """Where no model fits, and at once where the budget says so; the trace tells of the fallback."""
    nothing = Planned(**dict.fromkeys(("auto", "large", "middle", "small"), spent("cheaper_tier")))
    last, extractive, trace = answered(nothing)
    assert nothing.asked == ["auto", "large", "middle", "small"]
    assert extractive.asked == ["auto"]
    assert trace.fallbacks == {"afford": "the tenant's budget is spent"}
    assert last.route.reason.startswith("the tenant's budget is spent")
    at_once = Planned(auto=BudgetUnreachable("Redis is down", when_spent="extractive"))
    _, extractive, _ = answered(at_once)
    assert (at_once.asked, extractive.asked) == (["auto"], ["auto"])


def test_usage_counts_what_was_billed_before_the_budget_ended_it() -> None:
    """Calls of plans that a budget ended are in the answer's usage, its bill and its attempts, each once."""
    paid = Usage(input_tokens=100, output_tokens=10, cost_usd=Decimal("0.02"))
    planned = Planned(auto=spent("cheaper_tier"), large=spent("cheaper_tier"))
    planned.calls = [
        ModelCall("small", "openai", "gpt-4o-mini", "rejected", 0.5, 0.6, 1.5, paid),
        ModelCall("large", "openai", "gpt-4o", "rejected", 1.5, None, 1.5, None, "budget_spent"),
    ]
    last, _, _ = answered(planned)
    assert last.usage == Usage(input_tokens=200, output_tokens=20, cost_usd=Decimal("0.04"))
    assert last.billed == (BilledCall("small", paid),) * 2
    told = [(item.model, item.outcome, item.detail, item.ms) for item in last.route.attempts]
    assert told == [("small", "rejected", "", 1000.0), ("large", "rejected", "budget_spent", 0.0)] * 2


@pytest.mark.parametrize("when_spent", ["refuse", "cached_only"])
def test_a_budget_may_leave_no_answer(when_spent: WhenSpent) -> None:
    """Then the budget's own error is raised, and nothing else is asked."""
    planned = Planned(auto=spent(when_spent))
    with pytest.raises(BudgetSpent, match="the tenant's budget is spent"):
        answered(planned)
    assert planned.asked == ["auto"]


def test_a_provider_that_fails_is_no_matter_of_budgets() -> None:
    """Its error is raised as it is, after a cheaper model's too."""
    with pytest.raises(ProviderUnavailable):
        answered(Planned(auto=ProviderUnavailable("down")))
    with pytest.raises(ProviderUnavailable):
        answered(Planned(auto=spent("cheaper_tier"), large=ProviderUnavailable("down")))
