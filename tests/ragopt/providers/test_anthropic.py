"""The Anthropic adapter against the stub, over a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from eval.stub import StubServer, serve_in_thread
from ragopt.domain import Turn
from ragopt.errors import IncompleteStream, ProviderRejected
from ragopt.providers.anthropic import AnthropicProvider, AnthropicReply, address, messages_of
from ragopt.providers.protocol import Completed
from ragopt.providers.sdk import Head
from ragopt.providers.usage import estimated_usage
from tests.model_calls import ANSWER, KEY, PROMPT, call, collected, laid_out, provider_for, text_of


@pytest.fixture(scope="module")
def stub() -> Iterator[StubServer]:
    """One stub for the module."""
    with serve_in_thread() as server:
        yield server


def test_streams_deltas_then_completed(stub: StubServer) -> None:
    """The text comes in several pieces, and the last event carries usage, served model and stop reason."""
    events = asyncio.run(collected(provider_for("anthropic", stub), call("stub-ok")))
    assert text_of(events) == ANSWER
    assert len(events) > 3
    last = events[-1]
    assert isinstance(last, Completed)
    assert (last.model_served, last.stop) == ("stub-ok", "end")
    assert (last.usage.input_tokens, last.usage.estimated) == (stub.calls[-1].prompt_tokens, False)
    assert last.usage.output_tokens > 1


def test_base_url_may_end_in_v1(stub: StubServer) -> None:
    """The SDK adds /v1 itself; an address written in OpenAI's way works too."""
    events = asyncio.run(collected(AnthropicProvider(KEY, stub.openai_url), call("stub-ok")))
    assert text_of(events) == ANSWER
    assert address(None) == "https://api.anthropic.com"


def test_missing_usage_is_estimated(stub: StubServer) -> None:
    """A stream without a usage report is complete, and its usage is an estimate that says so."""
    last = asyncio.run(collected(provider_for("anthropic", stub), call("stub-no_usage")))[-1]
    assert isinstance(last, Completed)
    assert last.usage == estimated_usage(PROMPT, ANSWER)


@pytest.mark.parametrize(("stop", "ended"), [("end_turn", False), (None, True)])
def test_complete_needs_stop_reason_and_message_stop(stop: str | None, *, ended: bool) -> None:
    """Either of the two alone is an incomplete stream."""
    with pytest.raises(IncompleteStream):
        AnthropicReply(stop=stop, ended=ended).completed(call("m"), Head("", None))


def test_history_starts_with_the_user() -> None:
    """The dialect wants a user's message first and no empty ones: such turns are left out, one role's go together."""
    turns = (Turn("assistant", "cut off"), Turn("user", "one"), Turn("assistant", " "), Turn("user", "two"))
    prompt = laid_out(system="s", history=(*turns, Turn("assistant", "ok")), user="three")
    messages = messages_of(replace(call("m"), prompt=prompt))
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[0]["content"] == [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert [message["content"] for message in messages[1:]] == ["ok", "three"]


def test_key_is_needed_at_the_providers_own_address() -> None:
    """Without a key and an address of one's own the call is refused before anything is sent."""
    with pytest.raises(ProviderRejected, match="ANTHROPIC_API_KEY"):
        asyncio.run(collected(AnthropicProvider(None, None), call("claude-haiku-5-5")))
