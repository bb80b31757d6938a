"""Answers that have to pass before any of them is released."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from ragopt.domain import Tier
from ragopt.errors import ProviderError, ProviderUnavailable, UnusableAnswer
from ragopt.pipeline import ABSTENTION
from ragopt.providers.deployment import Deployment, Plan
from ragopt.providers.protocol import CompletionRequest, ProviderEvent, TextDelta
from ragopt.results import Generated
from ragopt.settings.collections import CollectionSettings, Unsupported
from ragopt.stages.cite.checker import CitationChecking
from ragopt.stages.cite.inspection import Inspections
from ragopt.stages.cite.judging import ClaimJudge
from ragopt.stages.generate import GenerateWithFallback
from ragopt.telemetry import Trace
from tests.model_calls import ANSWER, ScriptedProvider, caller, prepared, text_of
from tests.ragopt.stages.test_generate import DONE

WRONG = "Cats sleep nine hours a day [1]. They purr as well [1]."
WORSE = "Dogs bark nine hours a day [1]. Zebras gallop at night [1]."
SCHEMA = '{"type": "object", "required": ["hours"]}'


class Answers:
    """A provider that gives these answers one after the other; remembers what it was asked."""

    name = "scripted"

    def __init__(self, answers: Sequence[str]) -> None:
        self.answers = iter(answers)
        self.prompts: list[str] = []

    async def stream(self, request: CompletionRequest) -> AsyncIterator[ProviderEvent]:
        """Yield the next answer in two deltas."""
        self.prompts.append(request.prompt.user)
        answer = next(self.answers)
        yield TextDelta(answer[:9])
        yield TextDelta(answer[9:])
        yield DONE

    async def close(self) -> None:
        """Do nothing."""


def model(name: str, *answers: str, tier: Tier = "simple") -> Deployment:
    """Return a model that gives these answers one after the other."""
    return Deployment(name, Answers(answers), name, tier, 10)


def answered(*deployments: Deployment, policy: Unsupported = "flag", schema: str = "") -> tuple[list[str], Generated]:
    """Return the deltas and the terminal event of a streamed answer."""
    asked = prepared()
    asked = replace(asked, question=replace(asked.question, streamed=True, answer_schema=schema))
    collections = (CollectionSettings(unsupported=policy),)
    stage = GenerateWithFallback(
        lambda _: Plan(deployments, "a test"),
        caller=caller(),
        max_output_tokens=100,
        inspect=Inspections(CitationChecking(ClaimJudge.lexical()), collections),
    )

    async def run() -> list[TextDelta | Generated]:
        return [event async for event in stage(asked, trace=Trace("r"))]

    events = asyncio.run(run())
    last = events[-1]
    assert isinstance(last, Generated)
    return [event.text for event in events if isinstance(event, TextDelta)], last


def outcomes(generated: Generated) -> list[tuple[str, str]]:
    """Return who was asked and what came of it."""
    return [(attempt.model, attempt.outcome) for attempt in generated.route.attempts]


def prompts_of(deployment: Deployment) -> list[str]:
    """Return the last message of each call of a scripted model."""
    assert isinstance(deployment.provider, Answers)
    return deployment.provider.prompts


@pytest.mark.parametrize("policy", ["flag", "drop"])
def test_where_nothing_acts_before_release_deltas_pass(policy: Unsupported) -> None:
    """The answer streams as it is written."""
    deltas, generated = answered(model("small", WRONG), policy=policy)
    assert len(deltas) > 1
    assert outcomes(generated) == [("small", "ok")]


def test_a_good_answer_is_released_whole() -> None:
    """Nothing comes before its end, and it costs no further call."""
    deltas, generated = answered(model("small", ANSWER), policy="correct")
    assert deltas == [ANSWER]
    assert (outcomes(generated), generated.corrections) == ([("small", "ok")], 0)


def test_a_model_mends_what_is_named_to_it() -> None:
    """One corrective retry: it sees its draft and the unsupported claim, and both calls are counted."""
    small = model("small", WRONG, ANSWER)
    deltas, generated = answered(small, policy="correct")
    assert deltas == [ANSWER]
    assert (outcomes(generated), generated.corrections) == ([("small", "rejected"), ("small", "ok")], 1)
    assert "- Cats sleep nine hours a day\n" in prompts_of(small)[1]
    assert len(generated.billed) == 2


def test_after_one_correction_the_next_tier_is_asked_then_the_best_draft_is_left() -> None:
    """It is not asked to mend again; what is released at last is the draft with fewest unsupported claims."""
    small, large = model("small", WORSE, WORSE), model("large", WRONG, tier="complex")
    deltas, generated = answered(small, large, policy="correct")
    assert deltas == [WRONG]
    assert outcomes(generated) == [("small", "rejected"), ("small", "rejected"), ("large", "rejected")]
    assert (generated.route.model, generated.corrections) == ("large", 1)


def test_escalation_asks_the_next_tier_at_once() -> None:
    """Without a corrective retry."""
    deltas, generated = answered(model("small", WRONG), model("large", ANSWER, tier="complex"), policy="escalate")
    assert (deltas, outcomes(generated)) == ([ANSWER], [("small", "rejected"), ("large", "ok")])


def test_abstention_asks_nobody_else() -> None:
    """One unsupported claim, and nothing is said."""
    deltas, generated = answered(model("small", WRONG), model("large", ANSWER, tier="complex"), policy="abstain")
    assert (deltas, generated.abstained) == ([ABSTENTION], True)
    assert outcomes(generated) == [("small", "rejected")]


def test_an_abstention_passes() -> None:
    """A model that says that it does not know claims nothing."""
    assert answered(model("small", ABSTENTION), policy="correct")[0] == [ABSTENTION]


def test_a_higher_tier_that_fails_leaves_the_draft() -> None:
    """Better an honest part of an answer than an error."""
    down = Deployment("large", ScriptedProvider(ProviderUnavailable("down")), "large", "complex", 10)
    deltas, generated = answered(model("small", WRONG), down, policy="escalate")
    assert (deltas, generated.route.model) == ([WRONG], "small")


def test_json_is_mended_and_what_never_matches_is_an_error() -> None:
    """The model is told what is wrong with its JSON; without any that matches there is no answer."""
    small = model("small", "Sixteen hours [1].", '{"hours": "Cats sleep sixteen hours a day [1]"}')
    deltas, generated = answered(small, schema=SCHEMA)
    assert (deltas, generated.corrections) == (['{"hours": "Cats sleep sixteen hours a day [1]"}'], 1)
    assert "it is not JSON" in prompts_of(small)[1]
    with pytest.raises(UnusableAnswer, match="'hours' is a required property"):
        answered(model("small", "{}", "{}"), schema=SCHEMA)
    assert issubclass(UnusableAnswer, ProviderError)


def test_text_of_a_released_answer_is_what_was_held() -> None:
    """The deltas joined are the answer."""
    deltas, _ = answered(model("small", ANSWER), policy="abstain")
    assert text_of([TextDelta(delta) for delta in deltas]) == ANSWER
