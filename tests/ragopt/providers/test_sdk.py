"""What both adapters do alike, over a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from eval.stub import SeenCall, StubOptions, StubServer, serve_in_thread
from ragopt.providers.anthropic import AnthropicProvider
from ragopt.providers.capabilities import Effort, capabilities_of
from ragopt.providers.keys import KeyFile
from ragopt.providers.openai import OpenAIProvider
from ragopt.providers.protocol import Completed, CompletionRequest, Provider
from tests.model_calls import ANSWER, KEY, call, collected, provider_for, text_of

DIALECTS = ("openai", "anthropic")


@pytest.fixture(scope="module")
def stub() -> Iterator[StubServer]:
    """One stub for the module, whose limits are small enough to see."""
    with serve_in_thread(StubOptions(requests_per_minute=1_000, tokens_per_minute=1_000_000)) as server:
        yield server


async def in_turn(provider: Provider, requests: Sequence[CompletionRequest]) -> list[Completed]:
    """Return the ends of several calls, one after the other, over one provider."""
    ends = []
    try:
        for request in requests:
            events = [event async for event in provider.stream(request)]
            ends.append(events[-1])
    finally:
        await provider.close()
    return [end for end in ends if isinstance(end, Completed)]


def asked(dialect: str, model: str, *, effort: Effort | None = None) -> CompletionRequest:
    """Return a call of a model with what it is known to take."""
    request = call(model, effort=effort)
    return replace(request, capabilities=capabilities_of(dialect, model))


def latest(stub: StubServer) -> SeenCall:
    """Return the latest request the stub saw."""
    return stub.calls[-1]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_model_that_cannot_stream_answers_in_one_piece(stub: StubServer, dialect: str) -> None:
    """The same text and the same usage as a stream, in one delta; nothing asks for a stream."""
    whole = asyncio.run(collected(provider_for(dialect, stub), call("stub-ok", streaming=False)))
    streamed = asyncio.run(collected(provider_for(dialect, stub), call("stub-ok")))
    assert (text_of(whole), len(whole)) == (text_of(streamed), 2)
    first, second = whole[-1], streamed[-1]
    assert isinstance(first, Completed)
    assert isinstance(second, Completed)
    assert (first.usage, first.stop, first.model_served) == (second.usage, second.stop, second.model_served)
    assert [seen.stream for seen in stub.calls[-2:]] == [False, True]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_answer_tells_limits_request_id_and_report(stub: StubServer, dialect: str) -> None:
    """What a router and a ledger need comes with the terminal event."""
    (end,) = asyncio.run(in_turn(provider_for(dialect, stub), [call("stub-ok")]))
    assert end.request_id == f"req_stub_{latest(stub).n}"
    assert end.limits
    assert end.limits.requests
    assert end.limits.tokens
    assert (end.limits.requests.limit, end.limits.tokens.limit) == (1_000, 1_000_000)
    assert end.limits.tokens.remaining < 1_000_000
    assert end.reported
    assert end.service_tier in ("default", "standard")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_connections_are_pooled(stub: StubServer, dialect: str) -> None:
    """Calls in turn share one connection."""
    asyncio.run(in_turn(provider_for(dialect, stub), [call("stub-ok")] * 4))
    assert len({seen.port for seen in stub.calls[-4:]}) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_rotated_key_is_sent_without_a_restart(stub: StubServer, dialect: str, tmp_path: Path) -> None:
    """The next call of the same provider carries the key that is in the file by then."""
    path = tmp_path / "key"
    path.write_text("sk-first")
    if dialect == "openai":
        provider: Provider = OpenAIProvider(KeyFile(path), stub.openai_url)
    else:
        provider = AnthropicProvider(KeyFile(path), stub.anthropic_url)

    async def rotate() -> list[str]:
        accounts = []
        for key in ("sk-first", "sk-first", "sk-other"):
            path.write_text(key)
            async for _ in provider.stream(call("stub-ok")):
                pass
            accounts.append(latest(stub).account)
        await provider.close()
        return accounts

    first, again, other = asyncio.run(rotate())
    assert first == again != other


@pytest.mark.parametrize(
    ("dialect", "model", "fields"),
    [
        ("openai", "gpt-6-luna", {"reasoning_effort": "low"}),
        ("anthropic", "claude-opus-5-5", {"output_config": {"effort": "low"}}),
    ],
)
def test_effort_is_sent_and_reasoning_is_counted(
    stub: StubServer, dialect: str, model: str, fields: dict[str, object]
) -> None:
    """The effort goes where the provider wants it, and its reasoning is a part of the billed output."""
    (end,) = asyncio.run(in_turn(provider_for(dialect, stub), [asked(dialect, model, effort="low")]))
    assert latest(stub).body.items() >= fields.items()
    assert end.usage.output_tokens > end.usage.reasoning_tokens == 64


@pytest.mark.parametrize(
    ("model", "has", "lacks"),
    [
        ("gpt-6-luna", {"max_completion_tokens", "prompt_cache_options"}, {"max_tokens"}),
        ("gpt-4o-mini", {"max_completion_tokens"}, {"max_tokens", "prompt_cache_options"}),
        ("qwen2.5-7b-instruct", {"max_tokens"}, {"max_completion_tokens", "prompt_cache_options", "reasoning_effort"}),
    ],
)
def test_each_model_gets_the_fields_it_takes(stub: StubServer, model: str, has: set[str], lacks: set[str]) -> None:
    """Servers other than OpenAI know no newer fields; GPT-5.6 and later are told not to cache what changes."""
    asyncio.run(in_turn(provider_for("openai", stub), [asked("openai", model)]))
    sent = set(latest(stub).body)
    assert has <= sent
    assert not lacks & sent


def test_server_without_stream_options_is_not_asked_for_usage(stub: StubServer) -> None:
    """Then no usage is reported, and it is estimated."""
    request = call("stub-ok")
    plain = replace(request, capabilities=replace(request.capabilities, stream_usage=False))
    (end,) = asyncio.run(in_turn(provider_for("openai", stub), [plain]))
    assert "stream_options" not in latest(stub).body
    assert end.usage.estimated


@pytest.mark.parametrize("dialect", DIALECTS)
def test_many_calls_at_once_do_not_mix(stub: StubServer, dialect: str) -> None:
    """Fifty concurrent calls over one provider each get a whole answer."""

    async def crowd() -> list[str]:
        provider = provider_for(dialect, stub)

        async def one() -> str:
            return text_of([event async for event in provider.stream(call("stub-ok"))])

        try:
            return await asyncio.gather(*(one() for _ in range(50)))
        finally:
            await provider.close()

    assert asyncio.run(crowd()) == [ANSWER] * 50


def test_anthropic_key_is_sent_as_bearer(stub: StubServer) -> None:
    """The API version of the SDK wants no x-api-key; the stub tells accounts apart by the key alone."""
    asyncio.run(in_turn(AnthropicProvider(KEY, stub.anthropic_url), [call("stub-ok")]))
    asyncio.run(in_turn(OpenAIProvider(KEY, stub.openai_url), [call("stub-ok")]))
    assert len({seen.account for seen in stub.calls[-2:]}) == 1
