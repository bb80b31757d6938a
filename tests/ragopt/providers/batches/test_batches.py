"""Both batch adapters against the stub on a real socket: what goes up comes down, once, whatever happens between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

import pytest

from eval.stub import Step, StubOptions, StubServer, serve_in_thread
from ragopt.errors import (
    IncompleteStream,
    ProviderError,
    ProviderOverloaded,
    ProviderRejected,
    ProviderTimeout,
    ProviderUnavailable,
    QuotaSpent,
)
from ragopt.providers.anthropic import AnthropicProvider
from ragopt.providers.batches.anthropic import AnthropicBatches
from ragopt.providers.batches.openai import OpenAIBatches
from ragopt.providers.batches.protocol import BatchCall, BatchProvider, BatchTag, Lookup
from ragopt.providers.openai import OpenAIProvider
from tests.model_calls import KEY, call

DIALECTS = ("openai", "anthropic")
MODELS = {"openai": "gpt-4o-mini", "anthropic": "claude-haiku-4-5"}
T = TypeVar("T")


@asynccontextmanager
async def batches_of(dialect: str, stub: StubServer) -> AsyncIterator[BatchProvider]:
    """Yield the adapter of a dialect, connected to the stub."""
    if dialect == "openai":
        chat = OpenAIProvider(KEY, stub.openai_url)
        yield OpenAIBatches(chat)
        await chat.close()
    else:
        messages = AnthropicProvider(KEY, stub.anthropic_url)
        yield AnthropicBatches(messages)
        await messages.close()


def with_batches(
    dialect: str, scenario: Callable[[BatchProvider, StubServer], Awaitable[T]], *, batch_s: float = 0
) -> T:
    """Return what the scenario comes to, over a stub of its own."""

    async def run(stub: StubServer) -> T:
        async with batches_of(dialect, stub) as provider:
            return await scenario(provider, stub)

    with serve_in_thread(StubOptions(batch_s=batch_s)) as stub:
        return asyncio.run(run(stub))


def calls_of(dialect: str, *faults: str) -> list[BatchCall]:
    """Return a call for each fault, `""` for a sound one; their ids are `call-0` and so on."""
    names = [f"{MODELS[dialect]}/fault={fault}" if fault else MODELS[dialect] for fault in faults]
    return [BatchCall(f"call-{n}", call(name)) for n, name in enumerate(names)]


def tag_of(calls: list[BatchCall], name: str = "job-0") -> BatchTag:
    """Return the tag of a batch that was submitted just now."""
    return BatchTag(name, frozenset(item.custom_id for item in calls), time.time() - 1)


async def read(provider: BatchProvider, batch_id: str, calls: list[BatchCall]) -> dict[str, object]:
    """Return by custom id the text of each call, or what it failed with."""
    found: dict[str, object] = {}
    asked = {item.custom_id: item.request for item in calls}
    async for line in provider.lines(batch_id):
        try:
            text, completed = line.read(asked[line.custom_id])
            found[line.custom_id] = (text, completed.stop)
        except ProviderError as error:
            found[line.custom_id] = type(error)
    return found


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_call_comes_back_under_its_own_id(dialect: str) -> None:
    """Sound answers, refusals, cut ones, and failures of every kind: each as a live call would be told."""
    faults = ("", "refusal", "length", "529", "400", "quota429", "no_finish")

    async def scenario(provider: BatchProvider, _: StubServer) -> dict[str, object]:
        calls = calls_of(dialect, *faults)
        batch_id = await provider.submit(calls, tag="job-0")
        assert (await provider.status(batch_id)).phase == "ended"
        return await read(provider, batch_id, calls)

    found = with_batches(dialect, scenario)
    text, stop = found["call-0"]  # type: ignore[misc]
    assert ("[1]" in text, stop) == (True, "end")
    assert [found[f"call-{n}"][1] for n in (1, 2)] == ["refusal", "length"]  # type: ignore[index]
    kinds = [found[f"call-{n}"] for n in range(3, 7)]
    assert kinds == [ProviderOverloaded, ProviderRejected, QuotaSpent, IncompleteStream]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_usage_is_that_of_the_provider(dialect: str) -> None:
    """The tokens of an answer in a batch are counted by the provider, not estimated."""

    async def scenario(provider: BatchProvider, _: StubServer) -> tuple[int, bool]:
        calls = calls_of(dialect, "")
        batch_id = await provider.submit(calls, tag="job-0")
        lines = [line async for line in provider.lines(batch_id)]
        usage = lines[0].read(calls[0].request)[1].usage
        return usage.total_input_tokens, usage.estimated

    tokens, estimated = with_batches(dialect, scenario)
    assert tokens > 20
    assert not estimated


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_batch_whose_confirmation_was_lost_is_found(dialect: str) -> None:
    """After a connection that broke once the batch existed, looking finds it, and takes no other one for it."""

    async def scenario(provider: BatchProvider, stub: StubServer) -> tuple[Lookup, Lookup, int]:
        calls = calls_of(dialect, "", "")
        others = [replace(item, custom_id=f"other-{item.custom_id}") for item in calls]
        await provider.submit(others, tag="job-1")
        steps = ["ok", "reset"] if dialect == "openai" else ["reset"]
        stub.plan(*(Step(fault, model="batches") for fault in steps))
        with pytest.raises((ProviderUnavailable, IncompleteStream)):
            await provider.submit(calls, tag="job-0")
        found = await provider.find(tag_of(calls))
        assert found.id is not None
        stranger = [replace(item, custom_id=f"new-{item.custom_id}") for item in calls]
        return found, await provider.find(tag_of(stranger, "job-2")), len(await read(provider, found.id, calls))

    found, stranger, lines = with_batches(dialect, scenario)
    assert found.id
    assert stranger == Lookup(None)
    assert lines == 2


def test_a_running_batch_of_the_same_size_leaves_anthropic_undecided() -> None:
    """Its ids show at its end only: until then it may be ours, and nothing is submitted again."""

    async def scenario(provider: BatchProvider, stub: StubServer) -> tuple[Lookup, Lookup]:
        calls = calls_of("anthropic", "")
        await provider.submit([replace(calls[0], custom_id="somebody-else")], tag="")
        before = await provider.find(tag_of(calls))
        stub.advance(100)
        return before, await provider.find(tag_of(calls))

    assert with_batches("anthropic", scenario, batch_s=50) == (Lookup(None, undecided=True), Lookup(None))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_cancelled_batch_tells_what_was_never_asked(dialect: str) -> None:
    """What had ended is there, the rest failed without having cost anything."""

    async def scenario(provider: BatchProvider, stub: StubServer) -> list[object]:
        calls = calls_of(dialect, "", "", "", "")
        batch_id = await provider.submit(calls, tag="job-0")
        stub.advance(50)
        status = await provider.status(batch_id)
        assert status.phase == "running"
        await provider.cancel(batch_id)
        stub.advance(50)
        assert (await provider.status(batch_id)).phase == "ended"
        return list((await read(provider, batch_id, calls)).values())

    found = with_batches(dialect, scenario, batch_s=100)
    assert sorted(isinstance(item, tuple) for item in found) == [False, False, True, True]
    assert found.count(ProviderUnavailable) == 2


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_expired_call_was_too_late(dialect: str) -> None:
    """A call that the provider never got to within a day fails as a timeout."""

    async def scenario(provider: BatchProvider, stub: StubServer) -> dict[str, object]:
        calls = calls_of(dialect, "", "hang")
        batch_id = await provider.submit(calls, tag="job-0")
        stub.advance(86_401)
        assert (await provider.status(batch_id)).phase == "ended"
        return await read(provider, batch_id, calls)

    found = with_batches(dialect, scenario)
    assert found["call-1"] is ProviderTimeout


def test_a_batch_that_openai_refuses_whole_says_why() -> None:
    """Two models in one file: nothing was asked."""

    async def scenario(provider: BatchProvider, _: StubServer) -> tuple[str, str]:
        calls = [*calls_of("openai", ""), BatchCall("call-1", call("gpt-4o"))]
        status = await provider.status(await provider.submit(calls, tag="job-0"))
        return status.phase, status.detail

    assert with_batches("openai", scenario) == ("failed", "All requests of a batch must name one model.")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_failures_are_classed_as_those_of_live_calls(dialect: str) -> None:
    """A status, a page of HTML and a file that is cut off each become our own error."""

    async def scenario(provider: BatchProvider, stub: StubServer) -> list[type[ProviderError]]:
        calls = calls_of(dialect, "")
        batch_id = await provider.submit(calls, tag="job-0")
        found = []
        for fault in ("529", "402", "reset"):
            stub.plan(Step(fault, model="batches"))
            with pytest.raises(ProviderError) as raised:
                await provider.status(batch_id)
            found.append(type(raised.value))
        return found

    overloaded, spent, lost = with_batches(dialect, scenario)
    assert (overloaded, spent) == (ProviderOverloaded, QuotaSpent)
    assert issubclass(lost, ProviderUnavailable | IncompleteStream)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_batch_that_was_read_is_forgotten(dialect: str) -> None:
    """Afterwards its answers cannot be read there, and forgetting it again changes nothing."""

    async def scenario(provider: BatchProvider, _: StubServer) -> None:
        calls = calls_of(dialect, "")
        batch_id = await provider.submit(calls, tag="job-0")
        assert len(await read(provider, batch_id, calls)) == 1
        await provider.forget(batch_id)
        with pytest.raises(ProviderRejected):
            await read(provider, batch_id, calls)
        await provider.forget(batch_id)

    with_batches(dialect, scenario)


def test_a_running_batch_of_anthropic_is_not_forgotten() -> None:
    """The provider refuses, and the batch goes on."""

    async def scenario(provider: BatchProvider, _: StubServer) -> None:
        batch_id = await provider.submit(calls_of("anthropic", ""), tag="job-0")
        with pytest.raises(ProviderRejected):
            await provider.forget(batch_id)
        assert (await provider.status(batch_id)).phase == "running"

    with_batches("anthropic", scenario, batch_s=60)
