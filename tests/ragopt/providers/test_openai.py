"""The OpenAI adapter against the stub, over a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import openai
import pytest

from eval.stub import StubServer, serve_in_thread
from ragopt.domain import Turn
from ragopt.errors import ProviderRejected
from ragopt.providers.openai import OpenAIProvider, messages_of
from ragopt.providers.protocol import Completed
from ragopt.providers.sdk import LazyClient
from ragopt.providers.usage import estimated_usage
from tests.model_calls import ANSWER, PROMPT, call, collected, laid_out, provider_for, text_of


@pytest.fixture(scope="module")
def stub() -> Iterator[StubServer]:
    """One stub for the module."""
    with serve_in_thread() as server:
        yield server


def test_streams_deltas_then_completed(stub: StubServer) -> None:
    """The text comes in several pieces, and the last event carries usage, served model and stop reason."""
    events = asyncio.run(collected(provider_for("openai", stub), call("stub-ok")))
    assert text_of(events) == ANSWER
    assert len(events) > 3
    last = events[-1]
    assert isinstance(last, Completed)
    assert (last.model_served, last.stop) == ("stub-ok", "end")
    assert (last.usage.input_tokens, last.usage.estimated) == (stub.calls[-1].prompt_tokens, False)


def test_messages_have_the_stable_part_first() -> None:
    """System, then the history in order, then the user's message: a prompt cache matches from the start."""
    messages = messages_of(call("m"))
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[0]["content"] == PROMPT.system
    assert messages[-1]["content"] == PROMPT.user


def test_missing_usage_is_estimated(stub: StubServer) -> None:
    """A stream without a usage report is complete, and its usage is an estimate that says so."""
    events = asyncio.run(collected(provider_for("openai", stub), call("stub-no_usage")))
    last = events[-1]
    assert isinstance(last, Completed)
    assert last.usage == estimated_usage(PROMPT, ANSWER)
    assert last.usage.estimated
    assert last.usage.input_tokens == stub.calls[-1].prompt_tokens


def test_key_is_needed_at_the_providers_own_address() -> None:
    """Without a key and an address of one's own the call is refused before anything is sent."""
    with pytest.raises(ProviderRejected, match="OPENAI_API_KEY"):
        asyncio.run(collected(OpenAIProvider(None, None), call("gpt-4o-mini")))


def test_own_server_needs_no_key(stub: StubServer) -> None:
    """A server at one's own address is called without a key."""
    events = asyncio.run(collected(OpenAIProvider(None, stub.openai_url), call("stub-ok")))
    assert text_of(events) == ANSWER


def test_error_never_quotes_a_refused_key(stub: StubServer) -> None:
    """The sentence of a 401 leaves out the provider's message, which quotes parts of keys."""
    with pytest.raises(ProviderRejected) as caught:
        asyncio.run(collected(provider_for("openai", stub), call("stub-401")))
    assert "told to fail" not in str(caught.value)


def test_client_is_made_once_for_concurrent_calls(stub: StubServer) -> None:
    """Two first calls at the same time share one client."""
    made: list[object] = []

    def connect() -> openai.AsyncOpenAI:
        made.append(None)
        return openai.AsyncOpenAI(api_key="k", base_url=stub.openai_url)

    async def twice() -> None:
        lazy = LazyClient("openai", connect)
        first, second = await asyncio.gather(lazy.get(), lazy.get())
        assert first is second
        await lazy.close()

    asyncio.run(twice())
    assert len(made) == 1


def test_history_goes_along_unchanged() -> None:
    """Turns of a conversation are sent as they were said."""
    prompt = laid_out(system="s", history=(Turn("assistant", "a"), Turn("user", " b ")), user="c")
    assert [message.get("content") for message in messages_of(replace(call("m"), prompt=prompt))] == [
        "s",
        "a",
        " b ",
        "c",
    ]
