"""Falling back, ending partial, and what is told about it; with scripted providers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal

import pytest

from ragopt.domain import Usage
from ragopt.errors import IncompleteStream, ProviderRejected, ProviderThrottled, ProviderUnavailable, UnknownModel
from ragopt.pipeline import ABSTENTION
from ragopt.providers.call import RetryRules
from ragopt.providers.deployment import Deployment, Plan
from ragopt.providers.protocol import Completed, CompletionRequest, Provider, ProviderEvent, TextDelta
from ragopt.providers.usage import estimated_usage
from ragopt.results import Generated, Prepared
from ragopt.settings.models import PriceSettings
from ragopt.stages.generate import GenerateWithFallback
from ragopt.telemetry import Trace
from tests.model_calls import CONTEXT, PROMPT, Instants, ScriptedProvider, caller, prepared, text_of

USAGE = Usage(input_tokens=100, output_tokens=10)
DONE = Completed(usage=USAGE, model_served="m-2026", stop="end")
PRICE = PriceSettings(input=Decimal(1), output=Decimal(10))
DOWN = ProviderUnavailable("scripted: HTTP 500")


def deployed(name: str, provider: Provider, *, price: PriceSettings | None = PRICE) -> Deployment:
    """Return a deployment of `provider`."""
    return Deployment(name, provider, f"{name}-model", "simple", 5, price)


async def events_of(
    *deployments: Deployment, asked: Prepared | None = None, trace: Trace | None = None
) -> list[TextDelta | Generated]:
    """Return every event of one answer."""
    stage = GenerateWithFallback(lambda _: Plan(deployments, "a test"), caller=caller(), max_output_tokens=50)
    return [event async for event in stage(asked or prepared(), trace=trace or Trace("r"))]


def answered(*deployments: Deployment, asked: Prepared | None = None) -> tuple[str, Generated]:
    """Return the text and the terminal event of one answer."""
    events = asyncio.run(events_of(*deployments, asked=asked))
    last = events[-1]
    assert isinstance(last, Generated)
    assert not any(isinstance(event, Generated) for event in events[:-1])
    return text_of(events), last


def test_first_model_answers() -> None:
    """The text is released as it comes, and route, usage and price tell of the one call."""
    text, last = answered(deployed("small", ScriptedProvider(TextDelta("Yes "), TextDelta("[1]."), DONE)))
    assert text == "Yes [1]."
    assert (last.route.provider, last.route.model, last.route.reason) == ("scripted", "small", "a test")
    assert [attempt.outcome for attempt in last.route.attempts] == ["ok"]
    assert last.usage == replace(USAGE, cost_usd=Decimal("0.0002"))
    assert (last.partial, last.abstained) == (False, False)


def test_request_carries_the_deployments_model_and_timeout() -> None:
    """The provider is asked for its own name of the model, within the deployment's time."""
    provider = ScriptedProvider(TextDelta("x"), DONE)
    answered(deployed("small", provider))
    request = provider.requests[0]
    assert (request.model, request.timeout_s, request.prompt) == ("small-model", 5, PROMPT)


@pytest.mark.parametrize(("asked", "sent"), [(None, 50), (20, 20), (900, 50)])
def test_output_limit_is_the_smaller_one(asked: int | None, sent: int) -> None:
    """A request may ask for less than the configured limit, never for more."""
    provider = ScriptedProvider(TextDelta("x"), DONE)
    answered(deployed("small", provider), asked=prepared(max_output_tokens=asked))
    assert provider.requests[0].max_output_tokens == sent


@pytest.mark.parametrize("error", [DOWN, ProviderRejected("scripted: HTTP 400")])
def test_error_before_text_falls_over(error: ProviderUnavailable | ProviderRejected) -> None:
    """Also a rejected request is tried at the next model, and a failed call costs nothing."""
    text, last = answered(
        deployed("first", ScriptedProvider(error)), deployed("second", ScriptedProvider(TextDelta("x"), DONE))
    )
    assert (text, last.route.model) == ("x", "second")
    failed = last.route.attempts[0]
    assert (failed.model, failed.outcome, failed.detail) == ("first", "error", f"{error.code}: {error}")
    assert failed.ms >= 0
    assert last.usage.input_tokens == USAGE.input_tokens


def test_stream_cut_before_text_falls_over_and_is_paid_for() -> None:
    """The provider had read the prompt: its estimate is added to what the answering model used."""
    text, last = answered(
        deployed("first", ScriptedProvider(IncompleteStream("scripted: cut"))),
        deployed("second", ScriptedProvider(TextDelta("x"), DONE)),
    )
    lost = estimated_usage(PROMPT, "")
    assert (text, last.partial) == ("x", False)
    assert last.usage.input_tokens == USAGE.input_tokens + lost.input_tokens
    assert last.usage.estimated


def test_error_after_text_ends_partial() -> None:
    """No second model is called, and the usage of what came is estimated."""
    spare = ScriptedProvider(TextDelta("never"), DONE)
    text, last = answered(deployed("first", ScriptedProvider(TextDelta("Half"), DOWN)), deployed("second", spare))
    assert (text, last.partial, last.route.model) == ("Half", True, "first")
    assert spare.requests == []
    assert last.usage == replace(estimated_usage(PROMPT, "Half"), cost_usd=last.usage.cost_usd)
    assert last.usage.cost_usd is not None


def test_stream_without_terminal_event_is_partial() -> None:
    """A provider that just stops has not completed, whatever it delivered."""
    _, last = answered(deployed("first", ScriptedProvider(TextDelta("Half"))))
    assert last.partial
    assert last.route.attempts[0].detail.startswith("incomplete_stream: ")


@pytest.mark.parametrize("script", [(DONE,), (TextDelta(""), TextDelta(" \n"), DONE)])
def test_empty_answer_falls_over(script: tuple[TextDelta | Completed, ...]) -> None:
    """A complete answer without a word is none; what it used counts all the same."""
    text, last = answered(
        deployed("first", ScriptedProvider(*script)), deployed("second", ScriptedProvider(TextDelta("x"), DONE))
    )
    assert (text, last.route.attempts[0].outcome) == ("x", "error")
    assert last.usage.output_tokens == 2 * USAGE.output_tokens


def test_white_space_before_the_answer_is_dropped() -> None:
    """Only what stands before the first word; white space inside stays."""
    text, _ = answered(deployed("a", ScriptedProvider(TextDelta("\n"), TextDelta(" A"), TextDelta(" b\n"), DONE)))
    assert text == "A b\n"


def test_all_models_down_raises_the_last_error() -> None:
    """Its kind is the last one's, its message tells of all, its cause is the original."""
    last = ProviderRejected("scripted: HTTP 401")
    with pytest.raises(
        ProviderRejected, match=r"first: provider_unavailable: .*; second: provider_rejected: "
    ) as caught:
        asyncio.run(events_of(deployed("first", ScriptedProvider(DOWN)), deployed("second", ScriptedProvider(last))))
    assert caught.value.__cause__ is last


def test_unknown_price_makes_the_sum_unknown() -> None:
    """A cost that leaves out one attempt would be wrong: it is None."""
    first = deployed("first", ScriptedProvider(DONE), price=None)
    _, last = answered(first, deployed("second", ScriptedProvider(TextDelta("x"), DONE)))
    assert last.usage.cost_usd is None


@pytest.mark.parametrize(("text", "abstained"), [(ABSTENTION, True), (f"{ABSTENTION} Sorry.", True), ("Yes.", False)])
def test_abstention_is_told_by_its_sentence(text: str, *, abstained: bool) -> None:
    """An answer that begins with the abstention's sentence is one."""
    _, last = answered(deployed("a", ScriptedProvider(TextDelta(text[:5]), TextDelta(text[5:]), DONE)))
    assert last.abstained is abstained


def test_answer_without_passages_is_an_abstention() -> None:
    """With nothing to answer from, whatever is said is not an answer."""
    asked = prepared(context=replace(CONTEXT, passages=(), tokens=0))
    _, last = answered(deployed("a", ScriptedProvider(TextDelta("I know it."), DONE)), asked=asked)
    assert last.abstained


def test_trace_tells_model_and_time_to_first_token() -> None:
    """Both stages are timed, and the facts name the model, what served it and the first token's time."""
    trace = Trace("r")
    asyncio.run(events_of(deployed("small", ScriptedProvider(TextDelta("x"), DONE)), trace=trace))
    assert {span.stage for span in trace.spans} == {"route", "generate"}
    assert (trace.facts["model"], trace.facts["model_served"], trace.facts["stop"]) == ("small", "m-2026", "end")
    assert isinstance(trace.facts["ttft_ms"], float)


def test_closing_early_closes_the_provider_at_once() -> None:
    """The provider's iterator is closed before the stage's `aclose` returns."""
    provider = ScriptedProvider(TextDelta("one"), TextDelta("two"), DONE)

    async def leave() -> None:
        stage = GenerateWithFallback(
            lambda _: Plan((deployed("a", provider),), "a test"), caller=caller(), max_output_tokens=50
        )
        events = stage(prepared(), trace=Trace("r"))
        await anext(events)
        await events.aclose()

    asyncio.run(leave())
    assert provider.closed_early


def test_unknown_model_is_raised_before_any_call() -> None:
    """What the planner refuses comes through as it is."""

    def refuse(requested: str) -> Plan:
        raise UnknownModel(requested)

    async def run() -> None:
        stage = GenerateWithFallback(refuse, caller=caller(), max_output_tokens=50)
        await anext(stage(prepared(model="gpt-9"), trace=Trace("r")))

    with pytest.raises(UnknownModel, match="gpt-9"):
        asyncio.run(run())


def test_soonest_retry_after_is_kept() -> None:
    """When every model failed, the error says when the first of them may be asked again."""
    first = deployed("first", ScriptedProvider(ProviderThrottled("scripted: HTTP 429", retry_after_s=40)))
    second = deployed("second", ScriptedProvider(ProviderThrottled("scripted: HTTP 429", retry_after_s=60)))
    with pytest.raises(ProviderThrottled) as caught:
        asyncio.run(events_of(first, second))
    assert caught.value.retry_after_s == 40


def test_no_model_is_asked_after_the_deadline() -> None:
    """A request whose time is over ends with the failure it had, not with one of a model that was never asked."""
    clock, spare = Instants(), ScriptedProvider(TextDelta("never"), DONE)

    class Slow(ScriptedProvider):
        """Fails when the time is over."""

        async def stream(self, request: CompletionRequest) -> AsyncIterator[ProviderEvent]:
            """Let the time pass, and fail."""
            clock.now += request.timeout_s
            async for event in super().stream(request):
                yield event

    stage = GenerateWithFallback(
        lambda _: Plan((deployed("slow", Slow(DOWN)), deployed("spare", spare)), "a test"),
        caller=caller(clock=clock),
        max_output_tokens=50,
    )

    async def run() -> None:
        await anext(stage(prepared(), trace=Trace("r", ends=clock.now + 3)))

    with pytest.raises(ProviderUnavailable, match=r"no model answered \(slow: [^;]*\)"):
        asyncio.run(run())
    assert spare.requests == []


def test_retry_is_not_seen_and_is_told() -> None:
    """The reader gets one answer; the route lists both calls of the model."""
    provider = ScriptedProvider(TextDelta("x"), DONE)

    class Flaky(ScriptedProvider):
        """Fails once."""

        async def stream(self, request: CompletionRequest) -> AsyncIterator[ProviderEvent]:
            """Fail, and then answer."""
            self.requests.append(request)
            if len(self.requests) == 1:
                raise DOWN
            async for event in provider.stream(request):
                yield event

    stage = GenerateWithFallback(
        lambda _: Plan((deployed("flaky", Flaky()),), "a test"),
        caller=caller(retries=RetryRules(attempts=2)),
        max_output_tokens=50,
    )

    async def run() -> list[TextDelta | Generated]:
        return [event async for event in stage(prepared(), trace=Trace("r"))]

    *deltas, last = asyncio.run(run())
    assert isinstance(last, Generated)
    assert text_of(deltas) == "x"
    assert [attempt.outcome for attempt in last.route.attempts] == ["error", "ok"]
