"""Every way in which a provider fails, in both dialects, over a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Iterator
from dataclasses import dataclass

import anyio
import pytest

from eval.stub import StubServer, serve_in_thread
from eval.stub.faults import FAULTS
from eval.stub.replying import FOREIGN, REFUSAL
from ragopt.errors import (
    IncompleteStream,
    KeyRefused,
    PromptTooLong,
    ProviderError,
    ProviderOverloaded,
    ProviderProtocolError,
    ProviderRejected,
    ProviderThrottled,
    ProviderTimeout,
    ProviderUnavailable,
    QuotaSpent,
)
from ragopt.providers.capabilities import Capabilities
from ragopt.providers.deployment import Deployment, Plan
from ragopt.providers.protocol import Completed, CompletionRequest, Provider, ProviderEvent, Stop, TextDelta
from ragopt.results import Generated
from ragopt.stages.generate import GenerateWithFallback
from ragopt.telemetry import Trace
from ragopt.tokens import count_tokens
from tests.model_calls import ANSWER, call, caller, collected, prepared, provider_for, text_of

DIALECTS = ("openai", "anthropic")
THROTTLED = ("429", "429_long", "429_bare", "429_garbage", "429_date", "429_ms")
EXPECTED: dict[str, type[ProviderError]] = {
    **dict.fromkeys(("408", "409", "500", "502", "503", "504", "drop"), ProviderUnavailable),
    **dict.fromkeys(("hang", "stall", "drip"), ProviderTimeout),
    **dict.fromkeys(THROTTLED, ProviderThrottled),
    **dict.fromkeys(("529", "overloaded503", "sse_error", "sse_error_late"), ProviderOverloaded),
    **dict.fromkeys(("400", "404", "422"), ProviderRejected),
    **dict.fromkeys(("401", "403"), KeyRefused),
    **dict.fromkeys(("402", "quota429"), QuotaSpent),
    **dict.fromkeys(("413", "context_length"), PromptTooLong),
    **dict.fromkeys(("cut", "cut_early", "no_finish", "reset"), IncompleteStream),
    **dict.fromkeys(("bad_json", "html200", "other_shape"), ProviderProtocolError),
}
# Complete answers: what is read of them, and why they end.
COMPLETE: dict[str, tuple[str, Stop]] = {
    **dict.fromkeys(("ok", "slow", "duplicate_usage", "wrong_order", "no_usage"), (ANSWER, "end")),
    "huge_chunk": (ANSWER + " huge" * 200_000, "end"),
    "split_utf8": (ANSWER + FOREIGN, "end"),
    "empty": ("", "end"),
    "refusal": (REFUSAL, "refusal"),
    "content_filter": ("Cats sleep sixteen ", "refusal"),
    "length": ("Cats sleep sixteen ", "length"),
    "tool_payload": ("", "tool"),
}
ENDLESS = {"hang", "stall", "drip"}
AFTER_TEXT = ("cut", "stall", "drip", "reset", "sse_error_late", "no_finish")
BEFORE_TEXT = sorted(EXPECTED.keys() - set(AFTER_TEXT))


def expected_error(fault: str, dialect: str, *, streaming: bool) -> type[ProviderError]:
    """Return what a fault raises. OpenAI's error event says `server_error`; whole, both are a 503."""
    if fault.startswith("sse_error") and (dialect == "openai" or not streaming):
        return ProviderUnavailable
    # Anthropic has no word for it, and nothing had begun when the connection of a whole answer broke.
    if (fault, dialect) == ("overloaded503", "anthropic") or (fault == "reset" and not streaming):
        return ProviderUnavailable
    # Events of unknown types say nothing: what is missed is the end.
    return IncompleteStream if fault == "other_shape" and streaming else EXPECTED[fault]


@pytest.fixture(scope="module")
def stub() -> Iterator[StubServer]:
    """One stub for the module."""
    with serve_in_thread() as server:
        yield server


def timeout_for(fault: str) -> float:
    """Return a short timeout for what never ends and one that never fires for the rest."""
    return 1 if fault in ENDLESS else 10


def deployed(name: str, stub: StubServer, *, fault: str, dialect: str = "openai") -> Deployment:
    """Return a deployment that fails with `fault`."""
    provider = provider_for(dialect, stub)
    return Deployment(name, provider, f"stub-{fault}", "simple", timeout_for(fault))


async def generated(*deployments: Deployment) -> list[TextDelta | Generated]:
    """Return every event of one answer over the deployments."""
    stage = GenerateWithFallback(lambda _: Plan(deployments, "a test"), caller=caller(), max_output_tokens=100)
    try:
        return [event async for event in stage(prepared(), trace=Trace("r"))]
    finally:
        for deployment in deployments:
            await deployment.provider.close()


def test_every_fault_is_expected() -> None:
    """No fault of the stub is left out of the tables above."""
    assert EXPECTED.keys() | COMPLETE.keys() == FAULTS.keys()
    assert not EXPECTED.keys() & COMPLETE.keys()


@dataclass(frozen=True)
class Outcome:
    """What one call came to: every event, and the error it ended with."""

    events: list[ProviderEvent]
    error: ProviderError | None


async def outcome(provider: Provider, request: CompletionRequest) -> Outcome:
    """Return what one call comes to."""
    events: list[ProviderEvent] = []
    try:
        async for event in provider.stream(request):
            events.append(event)  # noqa: PERF401 - what came before an error counts
    except ProviderError as error:
        return Outcome(events, error)
    return Outcome(events, None)


def outcomes(dialect: str, stub: StubServer, faults: Collection[str], *, streaming: bool = True) -> dict[str, Outcome]:
    """Return what one call per fault comes to, all of them at once over one provider's pool."""

    async def run() -> dict[str, Outcome]:
        provider = provider_for(dialect, stub)
        asked = [call(f"stub-{fault}", timeout_s=timeout_for(fault), streaming=streaming) for fault in faults]
        try:
            found = await asyncio.gather(*(outcome(provider, request) for request in asked))
        finally:
            await provider.close()
        return dict(zip(faults, found, strict=True))

    return asyncio.run(run())


@pytest.mark.parametrize("streaming", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_fault_is_a_typed_error(stub: StubServer, dialect: str, *, streaming: bool) -> None:
    """Each fault raises its error class in time, and no answer that failed says it is complete."""
    found = outcomes(dialect, stub, EXPECTED, streaming=streaming)
    kinds = {fault: type(came.error) for fault, came in found.items()}
    assert kinds == {fault: expected_error(fault, dialect, streaming=streaming) for fault in EXPECTED}
    assert [fault for fault, came in found.items() if not str(came.error).startswith(f"{dialect}: ")] == []
    assert [fault for fault, came in found.items() for event in came.events if isinstance(event, Completed)] == []
    texts = {fault: text_of(came.events) for fault, came in found.items() if fault != "drip"}
    assert [fault for fault, text in texts.items() if not ANSWER.startswith(text)] == []


@pytest.mark.parametrize("streaming", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_odd_answer_is_complete(stub: StubServer, dialect: str, *, streaming: bool) -> None:
    """An answer that is only odd arrives whole, says why it ended, and its usage is counted once."""
    found = outcomes(dialect, stub, COMPLETE, streaming=streaming)
    ends = {fault: came.events[-1] for fault, came in found.items()}
    completed = {fault: end for fault, end in ends.items() if isinstance(end, Completed)}
    read = {fault: (text_of(found[fault].events), end.stop) for fault, end in completed.items()}
    assert read == COMPLETE
    assert [fault for fault, end in completed.items() if end.usage.estimated] == ["no_usage"]
    assert {end.usage.total_input_tokens for end in completed.values()} == {stub.calls[-1].prompt_tokens}
    told = completed.keys() - {"no_usage", "tool_payload"}
    assert {fault: completed[fault].usage.output_tokens for fault in told} == {
        fault: count_tokens(COMPLETE[fault][0]) for fault in told
    }


# Seconds to wait, at least and at most; None: not said.
WAITS: dict[str, tuple[float, float] | None] = {
    "429": (1, 1),
    "429_long": (3600, 3600),
    "429_bare": None,
    "429_garbage": None,
    "429_date": (0, 2),
    "429_ms": (1.5, 1.5),
    "529": (1, 1),
    "quota429": None,
    "500": None,
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_error_says_when_to_come_back(stub: StubServer, dialect: str) -> None:
    """Retry-After is read in all its forms, and nonsense is none; the provider's request id is kept."""
    for fault, came in outcomes(dialect, stub, WAITS).items():
        assert came.error
        assert came.error.request_id.startswith("req_stub_")
        said, expected = came.error.retry_after_s, WAITS[fault]
        assert (said is None) == (expected is None), fault
        assert said is None or expected is None or expected[0] <= said <= expected[1], fault


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("streaming", [True, False], ids=["stream", "whole"])
def test_endless_call_ends_in_time_and_hangs_up(stub: StubServer, dialect: str, *, streaming: bool) -> None:
    """Every call that never ends is over at its timeout, and the provider sees the client leave."""
    before = len(stub.calls)
    found = outcomes(dialect, stub, sorted(ENDLESS), streaming=streaming)
    assert {type(came.error) for came in found.values()} == {ProviderTimeout}
    assert all("within 1 s" in str(came.error) for came in found.values())
    assert stub.all_left(stub.calls[before:])


@pytest.mark.parametrize("dialect", DIALECTS)
def test_sdk_never_calls_twice(stub: StubServer, dialect: str) -> None:
    """A failure that the SDKs would retry by themselves makes one call."""
    before = len(stub.calls)
    outcomes(dialect, stub, ["503"])
    assert len(stub.calls) == before + 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_refused_connection_is_unavailable(dialect: str) -> None:
    """Nobody listening is a provider that is down."""
    with serve_in_thread() as gone:
        provider = provider_for(dialect, gone)
    with pytest.raises(ProviderUnavailable):
        asyncio.run(collected(provider, call("stub-ok")))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_closing_the_iterator_closes_the_connection(stub: StubServer, dialect: str) -> None:
    """A consumer that stops reading ends the upstream call while the provider's pool stays open."""

    async def read_one() -> bool:
        provider = provider_for(dialect, stub)
        events = provider.stream(call("stub-drip"))
        await anext(events)
        assert isinstance(events, AsyncGenerator)
        await events.aclose()
        left = await asyncio.to_thread(stub.last_call_left)
        await provider.close()
        return left

    assert asyncio.run(read_one())


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_cancelling_the_task_closes_the_connection(stub: StubServer, fault: str, dialect: str) -> None:
    """A cancelled request ends the upstream call, also in a cancel scope that cancels every later await."""

    async def cancelled() -> bool:
        provider = provider_for(dialect, stub)
        known = len(stub.calls)
        async with anyio.create_task_group() as group:
            group.start_soon(read_all, provider.stream(call(f"stub-{fault}")))
            while len(stub.calls) == known:
                await asyncio.sleep(0.01)
            group.cancel_scope.cancel()
        left = await asyncio.to_thread(stub.last_call_left)
        await provider.close()
        return left

    assert asyncio.run(cancelled())


async def read_all(events: object) -> None:
    """Read `events` to their end."""
    assert isinstance(events, AsyncGenerator)
    async for _ in events:
        pass


@pytest.mark.parametrize("streaming", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_failure_before_the_first_word_falls_over(stub: StubServer, dialect: str, *, streaming: bool) -> None:
    """The next model answers as if nothing had happened, and the route tells of both."""
    faults = sorted(EXPECTED) if not streaming else BEFORE_TEXT
    found = answers_with_spare(stub, faults, dialect=dialect, streaming=streaming)
    for fault, events in found.items():
        last = events[-1]
        assert isinstance(last, Generated)
        assert (text_of(events), last.partial, last.route.model) == (ANSWER, False, "spare"), fault
        first, second = last.route.attempts
        assert (first.model, first.outcome, second.model, second.outcome) == ("broken", "error", "spare", "ok")
        assert first.detail.startswith(f"{expected_error(fault, dialect, streaming=streaming).code}: {dialect}: ")


def answers_with_spare(
    stub: StubServer, faults: Collection[str], *, dialect: str, streaming: bool = True
) -> dict[str, list[TextDelta | Generated]]:
    """Return every event of one answer per fault: a model with that fault, then a healthy one of the other dialect."""
    other = DIALECTS[1 - DIALECTS.index(dialect)]

    async def run() -> dict[str, list[TextDelta | Generated]]:
        broken, spare = provider_for(dialect, stub), provider_for(other, stub)
        healthy = Deployment("spare", spare, "stub-ok", "simple", 10)
        takes = Capabilities(streaming=streaming)
        try:
            chains = [
                (
                    Deployment("broken", broken, f"stub-{fault}", "simple", timeout_for(fault), capabilities=takes),
                    healthy,
                )
                for fault in faults
            ]
            return dict(zip(faults, await asyncio.gather(*(answer_of(chain) for chain in chains)), strict=True))
        finally:
            await broken.close()
            await spare.close()

    return asyncio.run(run())


async def answer_of(deployments: tuple[Deployment, ...]) -> list[TextDelta | Generated]:
    """Return every event of one answer."""
    stage = GenerateWithFallback(lambda _: Plan(deployments, "a test"), caller=caller(), max_output_tokens=100)
    return [event async for event in stage(prepared(), trace=Trace("r"))]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_failure_after_the_first_word_ends_partial(stub: StubServer, dialect: str) -> None:
    """What was released stays, no other model is called, and the usage is an estimate."""
    before = len(stub.calls)
    found = answers_with_spare(stub, AFTER_TEXT, dialect=dialect)
    for fault, events in found.items():
        last = events[-1]
        assert isinstance(last, Generated)
        assert (last.partial, last.route.model, last.usage.estimated) == (True, "broken", True), fault
        assert text_of(events).startswith("Cats sleep")
        assert last.usage.output_tokens > 0
    assert len(stub.calls) == before + len(AFTER_TEXT)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("streaming", [True, False], ids=["stream", "whole"])
def test_answer_that_a_limit_or_filter_cut_is_partial(stub: StubServer, dialect: str, *, streaming: bool) -> None:
    """Complete for the provider, it is not the whole answer to the reader."""
    found = answers_with_spare(stub, ("length", "content_filter"), dialect=dialect, streaming=streaming)
    ends = [events[-1] for events in found.values()]
    assert [(end.partial, end.route.model) for end in ends if isinstance(end, Generated)] == [(True, "broken")] * 2


@pytest.mark.parametrize("dialect", DIALECTS)
def test_answer_without_a_word_falls_over_and_is_paid_for(stub: StubServer, dialect: str) -> None:
    """An empty completion and a tool call of 2 MB are no answers: the next model is asked, and both are counted."""
    for events in answers_with_spare(stub, ("empty", "tool_payload"), dialect=dialect).values():
        last = events[-1]
        assert isinstance(last, Generated)
        assert (text_of(events), last.partial, last.route.model) == (ANSWER, False, "spare")
        assert last.route.attempts[0].detail.startswith(f"provider_protocol_error: {dialect}: an empty answer")
        assert last.usage.input_tokens == 2 * stub.calls[-1].prompt_tokens


def test_every_model_down_raises_with_all_attempts(stub: StubServer) -> None:
    """The error is of the last one's kind and names every model that was tried."""
    with pytest.raises(ProviderRejected, match=r"first: provider_unavailable: .*; second: provider_key_refused: "):
        asyncio.run(generated(deployed("first", stub, fault="500"), deployed("second", stub, fault="401")))


def test_client_that_leaves_ends_the_model_call(stub: StubServer) -> None:
    """Closing the stage's iterator closes the provider's connection."""

    async def leave() -> bool:
        deployment = Deployment("slow", provider_for("openai", stub), "stub-drip", "simple", 30)
        stage = GenerateWithFallback(lambda _: Plan((deployment,), "a test"), caller=caller(), max_output_tokens=100)
        events = stage(prepared(), trace=Trace("r"))
        await anext(events)
        await events.aclose()
        left = await asyncio.to_thread(stub.last_call_left)
        await deployment.provider.close()
        return left

    assert asyncio.run(leave())


def test_slow_consumer_is_not_cancelled_by_the_call_timeout(stub: StubServer) -> None:
    """A timeout that runs out while the consumer works ends the call at the next read, not the consumer's work."""

    async def dawdle() -> str:
        provider = provider_for("openai", stub)
        said = "nothing"
        try:
            async for _ in provider.stream(call("stub-drip", timeout_s=1)):
                await asyncio.sleep(1.05)
                said = "worked to the end"
        except ProviderUnavailable:
            return said
        finally:
            await provider.close()
        return "no timeout"

    assert asyncio.run(dawdle()) == "worked to the end"
