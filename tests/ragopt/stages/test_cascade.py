"""Escalation before the first release, over the provider stub and with scripted models."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from eval.stub import Step, StubServer, serve_in_thread
from ragopt.domain import Tier
from ragopt.errors import IncompleteStream, ProviderUnavailable
from ragopt.pipeline import ABSTENTION
from ragopt.providers.deployment import Deployment, Plan
from ragopt.providers.protocol import Completed, Provider, TextDelta
from ragopt.results import Generated
from ragopt.stages.generate import GenerateWithFallback
from ragopt.stages.route.gate import QualityGate
from ragopt.telemetry import Trace
from tests.model_calls import ANSWER, CONTEXT, ScriptedProvider, caller, prepared, provider_for, text_of
from tests.ragopt.stages.test_generate import DONE, DOWN, USAGE

COVERED = replace(CONTEXT, standalone_question="Do cats purr?")
UNCITED = "Cats sleep sixteen hours a day. They also purr."


@pytest.fixture(scope="module")
def stub() -> Iterator[StubServer]:
    """One stub for the module."""
    with serve_in_thread() as server:
        yield server


def deployed(name: str, provider: Provider, tier: Tier = "simple") -> Deployment:
    """Return a deployment of `provider`."""
    return Deployment(name, provider, name, tier, 10)


async def events_of(deployments: tuple[Deployment, ...], *, streamed: bool) -> list[TextDelta | Generated]:
    """Return every event of one gated answer, and close the providers."""
    asked = prepared(context=COVERED)
    asked = replace(asked, question=replace(asked.question, streamed=streamed))
    plan = Plan(deployments, "a test", 0.1, QualityGate())
    stage = GenerateWithFallback(lambda _: plan, caller=caller(), max_output_tokens=100)
    try:
        return [event async for event in stage(asked, trace=Trace("r"))]
    finally:
        for deployment in deployments:
            await deployment.provider.close()


def answered(*deployments: Deployment, streamed: bool = False) -> tuple[str, Generated]:
    """Return the text and the terminal event."""
    events = asyncio.run(events_of(deployments, streamed=streamed))
    last = events[-1]
    assert isinstance(last, Generated)
    return text_of(events), last


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("bad", [ABSTENTION, UNCITED])
def test_a_bad_cheap_answer_is_escalated(stub: StubServer, dialect: str, bad: str, *, streamed: bool) -> None:
    """An abstention over evidence or a claim without citation never reaches the caller; the next tier answers."""
    stub.plan(Step(answer=bad, model="cheap"))
    text, last = answered(
        deployed("cheap", provider_for(dialect, stub)),
        deployed("strong", provider_for(dialect, stub), "complex"),
        streamed=streamed,
    )
    assert text == ANSWER
    assert (last.route.model, last.partial, last.abstained) == ("strong", False, False)
    first, second = last.route.attempts
    assert (first.outcome, second.outcome) == ("rejected", "ok")
    assert ("abstains" in first.detail) is (bad == ABSTENTION)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_good_cheap_answer_is_released_whole(stub: StubServer, *, streamed: bool) -> None:
    """The gate costs no call and no word."""
    text, last = answered(
        deployed("cheap", provider_for("openai", stub)),
        deployed("strong", provider_for("openai", stub), "complex"),
        streamed=streamed,
    )
    assert text == ANSWER
    assert [(attempt.model, attempt.outcome) for attempt in last.route.attempts] == [("cheap", "ok")]


def test_escalation_skips_the_rest_of_the_tier() -> None:
    """Another model of the tier is a fallback for a failure, not for a bad answer."""
    peer = ScriptedProvider(TextDelta(ANSWER), DONE)
    text, last = answered(
        deployed("cheap", ScriptedProvider(TextDelta(UNCITED), DONE)),
        deployed("peer", peer),
        deployed("strong", ScriptedProvider(TextDelta(ANSWER), DONE), "medium"),
    )
    assert (text, last.route.model, peer.requests) == (ANSWER, "strong", [])


def test_the_highest_tier_is_not_gated() -> None:
    """What nobody stands above is released as it comes."""
    text, last = answered(deployed("only", ScriptedProvider(TextDelta(UNCITED), DONE)))
    assert (text, last.route.attempts[0].outcome) == (UNCITED, "ok")


def test_a_failure_falls_back_within_the_tier() -> None:
    """An error before the end of a held answer is an error, not a rejection."""
    text, last = answered(
        deployed("cheap", ScriptedProvider(TextDelta("Half"), IncompleteStream("cut"))),
        deployed("peer", ScriptedProvider(TextDelta(ANSWER), DONE)),
        deployed("strong", ScriptedProvider(TextDelta("never"), DONE), "medium"),
    )
    assert (text, last.route.model) == (ANSWER, "peer")
    assert [attempt.outcome for attempt in last.route.attempts] == ["error", "ok"]


def test_after_the_first_release_nothing_is_escalated() -> None:
    """A stream whose opening passed is the answer, whatever follows; it is never spliced with another."""
    strong = ScriptedProvider(TextDelta("never"), DONE)
    cheap = ScriptedProvider(TextDelta(f"{ANSWER} "), TextDelta("And they fly."), DOWN)
    text, last = answered(deployed("cheap", cheap), deployed("strong", strong, "complex"), streamed=True)
    assert (text, last.partial, strong.requests) == (f"{ANSWER} And they fly.", True, [])


def test_a_stream_is_released_from_its_opening_on() -> None:
    """The first delta holds the sentence that was judged, the rest comes as it is written."""
    parts = ("Cats sleep sixteen ", "hours a day [1]. ", "They ", "purr [1].")
    cheap = deployed("cheap", ScriptedProvider(*map(TextDelta, parts), DONE))
    strong = deployed("strong", ScriptedProvider(), "complex")
    events = asyncio.run(events_of((cheap, strong), streamed=True))
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["".join(parts[:3]), parts[3]]


def test_a_rejected_stream_is_closed_at_once_and_counted() -> None:
    """The rest of a bad answer is not read; what it used is estimated and added."""
    cheap = ScriptedProvider(TextDelta("Cats sleep sixteen hours a day. "), TextDelta("More."), DONE)
    _, last = answered(
        deployed("cheap", cheap),
        deployed("strong", ScriptedProvider(TextDelta(ANSWER), DONE), "complex"),
        streamed=True,
    )
    assert cheap.closed_early
    assert last.usage.estimated
    assert last.usage.input_tokens > USAGE.input_tokens


def test_a_rejected_answer_is_paid_as_reported() -> None:
    """A whole answer that is rejected counts with the usage its provider told."""
    _, last = answered(
        deployed("cheap", ScriptedProvider(TextDelta(UNCITED), DONE)),
        deployed("strong", ScriptedProvider(TextDelta(ANSWER), DONE), "complex"),
    )
    assert (last.usage.input_tokens, last.usage.estimated) == (2 * USAGE.input_tokens, False)


def test_a_rejected_model_answers_where_every_other_is_down() -> None:
    """Its answer is better than an error: it is asked again, without the gate."""
    text, last = answered(
        deployed("cheap", ScriptedProvider(TextDelta(UNCITED), DONE)),
        deployed("strong", ScriptedProvider(DOWN), "complex"),
    )
    assert text == UNCITED
    assert [attempt.outcome for attempt in last.route.attempts] == ["rejected", "error", "ok"]


def test_nobody_answers_is_an_error() -> None:
    """A gate does not hide that every model is down."""
    with pytest.raises(ProviderUnavailable, match="no model answered"):
        answered(deployed("cheap", ScriptedProvider(DOWN)), deployed("strong", ScriptedProvider(DOWN), "complex"))


def test_an_empty_answer_falls_back_within_the_tier() -> None:
    """A model that says nothing has failed."""
    empty = Completed(usage=USAGE, model_served="m", stop="end")
    _, last = answered(
        deployed("cheap", ScriptedProvider(empty)),
        deployed("peer", ScriptedProvider(TextDelta(ANSWER), DONE)),
        deployed("strong", ScriptedProvider(), "complex"),
    )
    assert [(attempt.model, attempt.outcome) for attempt in last.route.attempts] == [("cheap", "error"), ("peer", "ok")]
