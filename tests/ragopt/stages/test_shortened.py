"""A prompt over a model's window: asked once more with a shorter one, over the provider stub on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from decimal import Decimal

import pytest

from eval.stub import Step
from ragopt.domain import Answer
from ragopt.errors import PromptTooLong
from ragopt.events import Finished
from ragopt.prompt import build_prompt
from ragopt.providers.deployment import Flaw, Plan
from ragopt.providers.protocol import CompletionRequest, ProviderEvent, TextDelta
from ragopt.providers.shortening import PromptShortener
from ragopt.results import Generated, Prepared, Shortened
from ragopt.settings.money import BudgetSettings
from ragopt.stages.generate import GenerateWithFallback
from ragopt.telemetry import Trace
from ragopt.tokens import count_tokens
from tests.model_calls import ScriptedProvider, caller, text_of
from tests.ragopt.batches.desks import FEE, Model, Office, ask, in_office
from tests.ragopt.providers.test_shortening import first_half
from tests.ragopt.stages.test_generate import DONE, DOWN, deployed

DIALECTS = ["openai", "anthropic"]
BUDGET = BudgetSettings(scope="tenant", usd_per_day=Decimal(1))
WIDE = replace(ask(FEE).knobs, relevance_floor=0.0)
LONG = Step("context_length")
DRAFT = "The late fee is nine dollars [1]. Refunds take ten days [1]."
SAID = {
    "WORSE": "The late fee is nine dollars [1]. Refunds take twelve days [1].",
    "RIGHT": "Refunds take ten days [1].",
}


async def answered(office: Office, **more: object) -> tuple[Answer, Trace]:
    """Return the answer to a question over both documents, and its trace."""
    trace = Trace("r")
    question = ask(FEE, answer_id="ans_1", knobs=WIDE, **more)
    events = [event async for event in office.desk.pipeline.answer(question, trace=trace)]
    last = events[-1]
    assert isinstance(last, Finished)
    return last.answer, trace


def outcomes(answer: Answer) -> list[tuple[str, str, str]]:
    """Return who was asked, what came of it, and the code of its failure."""
    return [(item.model, item.outcome, item.detail.partition(":")[0]) for item in answer.route.attempts]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_prompt_over_the_window_is_asked_again_with_fewer_passages(redis_url: str, dialect: str) -> None:
    """Sources, citations and tokens are those of what was sent; route and trace tell; the refusal costs nothing."""

    async def scenario(office: Office) -> None:
        office.stub.plan(LONG)
        answer, trace = await answered(office)
        assert outcomes(answer) == [("small", "error", "prompt_too_long"), ("small", "ok", "stopped")]
        assert [passage.document_id for passage in answer.context.passages] == ["fees"]
        assert {(item.n, item.document_id) for item in answer.citations} == {(1, "fees")}
        assert trace.fallbacks == {
            "generate": "the prompt does not fit the window of small: asked again with 1 of 2 passages"
        }
        first, second = office.stub.calls
        assert second.prompt_tokens < first.prompt_tokens
        assert second.usage
        assert (answer.usage.total_input_tokens, answer.usage.estimated) == (second.prompt_tokens, False)
        assert await office.held() == 0
        assert answer.usage.cost_usd
        assert await office.spent() == int(1_000_000_000 * answer.usage.cost_usd)

    in_office(redis_url, scenario, Model("small", dialect, batch=False), budgets=[BUDGET])


def test_a_marker_of_a_passage_that_was_left_out_is_removed(redis_url: str) -> None:
    """The passage had the number in the first prompt; the model that answers has not seen it."""

    async def scenario(office: Office) -> None:
        office.stub.plan(LONG, Step(answer="The late fee is eight dollars [1][2]."))
        answer, _ = await answered(office)
        assert answer.text == "The late fee is eight dollars [1]."
        assert [item.n for item in answer.citations] == [1]

    in_office(redis_url, scenario, Model("small", batch=False))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_it_is_made_shorter_once_for_each_model(redis_url: str, dialect: str) -> None:
    """The next model gets the whole prompt first: its window may be larger."""

    async def scenario(office: Office) -> None:
        office.stub.plan(LONG, LONG)
        answer, trace = await answered(office)
        long, fits = ("small", "error", "prompt_too_long"), ("large", "ok", "stopped")
        assert outcomes(answer) == [long, long, fits]
        assert len(answer.context.passages) == 2
        assert "small" in trace.fallbacks["generate"]
        tokens = [call.prompt_tokens for call in office.stub.calls]
        assert tokens[2] == tokens[0] > tokens[1]

    models = Model("small", dialect, batch=False), Model("large", dialect, batch=False)
    in_office(redis_url, scenario, *models)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_never_fits_is_refused_after_two_calls(redis_url: str, dialect: str) -> None:
    """One model alone: asked with the whole prompt and with the shorter one, never again."""

    async def scenario(office: Office) -> None:
        with pytest.raises(PromptTooLong):
            await answered(office)
        assert (len(office.stub.calls), await office.held(), await office.spent()) == (2, 0, 0)

    models = Model("small", dialect, fault="context_length", batch=False)
    in_office(redis_url, scenario, models, budgets=[BUDGET])


def test_the_response_cache_keeps_no_answer_from_fewer_passages(redis_url: str) -> None:
    """The same question is asked again, with all of its passages."""

    async def scenario(office: Office) -> None:
        office.stub.plan(LONG)
        short, _ = await answered(office, cache="on")
        whole, _ = await answered(office, cache="on")
        assert (len(short.context.passages), len(whole.context.passages)) == (1, 2)
        assert (short.cache.status, whole.cache.status) == ("miss", "miss")
        assert (await answered(office, cache="on"))[0].cache.status == "hit"

    in_office(redis_url, scenario, Model("small", batch=False))


def test_a_call_of_a_batch_over_the_window_is_asked_live_with_fewer_passages(redis_url: str) -> None:
    """The duplicate shares what was really sent."""

    async def scenario(office: Office) -> None:
        office.stub.plan(Step("context_length", model="gpt-4o-mini"), Step("context_length", model="gpt-4o-mini"))
        _, results = await office.answered(ask(FEE, knobs=WIDE), ask(FEE, knobs=WIDE))
        answers = [item.answer for item in results.values() if item.answer]
        assert [item.served for item in results.values()] == ["live", "duplicate"]
        assert [len(answer.context.passages) for answer in answers] == [1, 1]
        assert [outcome for _, outcome, _ in outcomes(answers[0])] == ["error", "error", "ok"]

    in_office(redis_url, scenario, Model("small"))


@pytest.mark.parametrize(("again", "outcome", "passages"), [("WORSE", "rejected", 2), ("RIGHT", "ok", 1)])
def test_a_correction_over_the_window_is_asked_afresh(redis_url: str, again: str, outcome: str, passages: int) -> None:
    """The draft stays that of the whole prompt: given at last, it comes with all of its passages."""

    async def scenario(office: Office) -> None:
        office.stub.plan(Step(answer=DRAFT), LONG, Step(answer=SAID[again]))
        answer, trace = await answered(office)
        assert [item[1] for item in outcomes(answer)] == ["rejected", "error", outcome]
        assert len(answer.context.passages) == passages
        assert answer.text.strip() == "Refunds take ten days [1]."
        assert "generate" in trace.fallbacks

    in_office(redis_url, scenario, Model("small", batch=False), unsupported="correct")


class Tight(ScriptedProvider):
    """A provider whose window does not take the first prompt."""

    async def stream(self, request: CompletionRequest) -> AsyncIterator[ProviderEvent]:
        """Refuse the first call, and then answer."""
        if not self.requests:
            self.requests.append(request)
            raise PromptTooLong("scripted: too long")
        async for event in super().stream(request):
            yield event


@dataclass
class Witness:
    """A gate that rejects everything; remembers by how many passages it was to judge."""

    seen: list[int] = field(default_factory=list)

    def ready(self, _text: str) -> bool:
        """Return that nothing can be judged before its end."""
        return False

    async def flaw(self, text: str, prepared: Prepared, *, ended: bool, trace: Trace) -> Flaw | None:
        """Reject."""
        self.seen.append(len(prepared.context.passages))
        return Flaw("a test")


def test_a_draft_is_judged_and_given_by_what_was_sent_for_it() -> None:
    """The gate sees the passages of the shorter prompt; asked once more at last, the model gets that prompt again."""
    asked, witness = first_half("One. " * 20, "Two. " * 20, "Three. " * 20), Witness()
    tight = Tight(TextDelta("One [1]."), DONE)
    small = deployed("small", tight)
    large = replace(deployed("large", ScriptedProvider(DOWN)), tier="complex")
    stage = GenerateWithFallback(
        lambda _: Plan((small, large), "a test", 0.1, witness),
        caller=caller(),
        max_output_tokens=50,
        shorten=PromptShortener(build_prompt, count_tokens),
    )

    async def run() -> list[object]:
        return [event async for event in stage(asked, trace=Trace("r"))]

    shorter, *deltas, last = asyncio.run(run())
    assert isinstance(shorter, Shortened)
    assert isinstance(last, Generated)
    assert (text_of(deltas), witness.seen, len(shorter.context.passages)) == ("One [1].", [1], 1)
    assert [len(request.context.passages) for request in tight.requests] == [3, 1, 1]
    assert [request.prompt == asked.prompt for request in tight.requests] == [True, False, False]
    assert [item.usage.total_input_tokens for item in last.billed] == [100, 100]
