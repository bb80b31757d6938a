"""Every way in which a provider fails, in both dialects, over a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator

import anyio
import pytest

from eval.stub import StubServer, serve_in_thread
from eval.stub.faults import FAULTS
from ragopt.errors import (
    IncompleteStream,
    ProviderError,
    ProviderProtocolError,
    ProviderRejected,
    ProviderUnavailable,
)
from ragopt.money.prices import Prices
from ragopt.pipeline import Generated
from ragopt.providers.deployment import Deployment, Plan
from ragopt.providers.protocol import TextDelta
from ragopt.stages.generate import GenerateWithFallback
from ragopt.telemetry import Trace
from tests.model_calls import ANSWER, call, collected, prepared, provider_for, text_of

DIALECTS = ("openai", "anthropic")
UNAVAILABLE = ("408", "429", "500", "502", "503", "529", "hang", "stall", "drip", "sse_error")
REJECTED = ("400", "401", "403", "404", "413", "422", "quota429")
EXPECTED: dict[str, type[ProviderError]] = {
    **dict.fromkeys(UNAVAILABLE, ProviderUnavailable),
    **dict.fromkeys(REJECTED, ProviderRejected),
    **dict.fromkeys(("cut", "cut_early", "reset"), IncompleteStream),
    **dict.fromkeys(("bad_json", "html200"), ProviderProtocolError),
}
COMPLETE = {"ok", "no_usage", "empty"}
ENDLESS = {"hang", "stall", "drip"}
BEFORE_TEXT = sorted(EXPECTED.keys() - {"cut", "stall", "drip", "reset"})
AFTER_TEXT = ("cut", "stall", "drip", "reset")


@pytest.fixture(scope="module")
def stub() -> Iterator[StubServer]:
    """One stub for the module."""
    with serve_in_thread() as server:
        yield server


def timeout_for(fault: str) -> float:
    """Return a short timeout for what never ends and one that never fires for the rest."""
    return 0.3 if fault in ENDLESS else 10


def deployed(name: str, stub: StubServer, *, fault: str, dialect: str = "openai") -> Deployment:
    """Return a deployment that fails with `fault`."""
    provider = provider_for(dialect, stub)
    return Deployment(name, provider, f"stub-{fault}", "simple", timeout_for(fault))


async def generated(*deployments: Deployment) -> list[TextDelta | Generated]:
    """Return every event of one answer over the deployments."""
    stage = GenerateWithFallback(lambda _: Plan(deployments, "a test"), prices=Prices(), max_output_tokens=100)
    try:
        return [event async for event in stage(prepared(), trace=Trace("r"))]
    finally:
        for deployment in deployments:
            await deployment.provider.close()


def test_every_fault_is_expected() -> None:
    """No fault of the stub is left out of the tables above."""
    assert EXPECTED.keys() | COMPLETE == FAULTS.keys()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("fault", sorted(EXPECTED))
def test_fault_is_a_typed_error(stub: StubServer, fault: str, dialect: str) -> None:
    """Each fault raises its error class, with the SDK's error as the cause where there was one."""
    with pytest.raises(ProviderError) as caught:
        asyncio.run(collected(provider_for(dialect, stub), call(f"stub-{fault}", timeout_s=timeout_for(fault))))
    assert type(caught.value) is EXPECTED[fault]
    assert str(caught.value).startswith(f"{dialect}: ")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_refused_connection_is_unavailable(dialect: str) -> None:
    """Nobody listening is a provider that is down."""
    with serve_in_thread() as gone:
        provider = provider_for(dialect, gone)
    with pytest.raises(ProviderUnavailable):
        asyncio.run(collected(provider, call("stub-ok")))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("fault", sorted(ENDLESS))
def test_timeout_closes_the_connection(stub: StubServer, fault: str, dialect: str) -> None:
    """The whole call is bounded, however steadily words drip, and the provider sees the client leave."""
    with pytest.raises(ProviderUnavailable, match=r"within 0\.3 s"):
        asyncio.run(collected(provider_for(dialect, stub), call(f"stub-{fault}", timeout_s=0.3)))
    assert stub.last_call_left()


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


@pytest.mark.parametrize("fault", BEFORE_TEXT)
def test_failure_before_the_first_word_falls_over(stub: StubServer, fault: str) -> None:
    """The next model answers as if nothing had happened, and the route tells of both."""
    events = asyncio.run(
        generated(deployed("broken", stub, fault=fault), deployed("spare", stub, fault="ok", dialect="anthropic"))
    )
    last = events[-1]
    assert isinstance(last, Generated)
    assert (text_of(events), last.partial, last.route.model) == (ANSWER, False, "spare")
    assert [(attempt.model, attempt.outcome) for attempt in last.route.attempts] == [
        ("broken", "error"),
        ("spare", "ok"),
    ]
    assert last.route.attempts[0].detail.startswith(f"{EXPECTED[fault].code}: openai: ")


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("fault", AFTER_TEXT)
def test_failure_after_the_first_word_ends_partial(stub: StubServer, fault: str, dialect: str) -> None:
    """What was released stays, no other model is called, and the usage is an estimate."""
    before = len(stub.calls)
    events = asyncio.run(
        generated(deployed("broken", stub, fault=fault, dialect=dialect), deployed("spare", stub, fault="ok"))
    )
    last = events[-1]
    assert isinstance(last, Generated)
    assert (last.partial, last.route.model, last.usage.estimated) == (True, "broken", True)
    assert text_of(events).startswith("Cats sleep")
    assert last.usage.output_tokens > 0
    assert len(stub.calls) == before + 1


def test_every_model_down_raises_with_all_attempts(stub: StubServer) -> None:
    """The error is of the last one's kind and names every model that was tried."""
    with pytest.raises(ProviderRejected, match=r"first: provider_unavailable: .*; second: provider_rejected: "):
        asyncio.run(generated(deployed("first", stub, fault="500"), deployed("second", stub, fault="401")))


def test_client_that_leaves_ends_the_model_call(stub: StubServer) -> None:
    """Closing the stage's iterator closes the provider's connection."""

    async def leave() -> bool:
        deployment = Deployment("slow", provider_for("openai", stub), "stub-drip", "simple", 30)
        stage = GenerateWithFallback(lambda _: Plan((deployment,), "a test"), prices=Prices(), max_output_tokens=100)
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
            async for _ in provider.stream(call("stub-drip", timeout_s=0.1)):
                await asyncio.sleep(0.15)
                said = "worked to the end"
        except ProviderUnavailable:
            return said
        finally:
            await provider.close()
        return "no timeout"

    assert asyncio.run(dawdle()) == "worked to the end"
