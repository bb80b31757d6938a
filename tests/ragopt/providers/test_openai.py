"""The OpenAI adapter against the stub, over a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import anthropic
import httpx2
import openai
import pytest

from eval.stub import StubServer, serve_in_thread
from ragopt.domain import Turn, Usage
from ragopt.errors import ProviderProtocolError, ProviderRejected
from ragopt.providers.openai import OpenAIProvider, messages_of, usage_of
from ragopt.providers.protocol import Completed, Prompt
from ragopt.providers.sdk import JUDGED_BY_STATUS, KIND_BY_CLASS, LazyClient, translate
from ragopt.providers.usage import estimated_usage
from tests.model_calls import ANSWER, PROMPT, call, collected, provider_for, text_of


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
    assert (last.model_served, last.stop) == ("stub-ok", "stop")
    assert (last.usage.input_tokens, last.usage.estimated) == (stub.calls[-1].prompt_tokens, False)


def test_messages_have_the_stable_part_first() -> None:
    """System, then the history in order, then the user's message: a prompt cache matches from the start."""
    messages = messages_of(PROMPT)
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[0]["content"] == PROMPT.system
    assert messages[-1]["content"] == PROMPT.user


def test_usage_buckets_are_disjoint() -> None:
    """`prompt_tokens` includes what was read from and written to the cache; our input tokens do not."""
    details = openai.types.completion_usage.PromptTokensDetails(cached_tokens=600, cache_write_tokens=300)
    reported = openai.types.CompletionUsage(
        prompt_tokens=1000, completion_tokens=20, total_tokens=1020, prompt_tokens_details=details
    )
    expected = Usage(input_tokens=100, cached_input_tokens=600, cache_write_tokens=300, output_tokens=20)
    assert usage_of(reported) == expected


def test_usage_without_details_is_all_input() -> None:
    """Servers that report no cache details report uncached input."""
    reported = openai.types.CompletionUsage(prompt_tokens=10, completion_tokens=2, total_tokens=12)
    assert usage_of(reported) == Usage(input_tokens=10, output_tokens=2)


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


@pytest.mark.parametrize("root", [openai.OpenAIError, anthropic.AnthropicError])
def test_every_sdk_error_is_mapped(root: type[Exception]) -> None:
    """Every error class of the SDKs carries a status or is named in our table; a new one fails here."""
    raised = [error for error in descendants(root) if raised_by_calls(error)]
    known = KIND_BY_CLASS.keys() | JUDGED_BY_STATUS
    carries_status = [error for error in raised if "APIStatusError" in {base.__name__ for base in error.__mro__}]
    below_named = {"IdentityTokenFileError"}
    unmapped = {error.__name__ for error in raised} - {error.__name__ for error in carries_status} - known - below_named
    assert unmapped == set()
    assert len(carries_status) > 5


def raised_by_calls(error: type[Exception]) -> bool:
    """Return whether a plain call may raise it: not the SDK's add-ons, not its private errors of misuse."""
    return not error.__name__.startswith("_") and ".lib." not in error.__module__ and "_extras" not in error.__module__


def descendants(cls: type[Exception]) -> set[type[Exception]]:
    """Return every class below `cls`."""
    children = set(cls.__subclasses__())
    return children.union(*(descendants(child) for child in children))


def test_every_http_error_is_mapped() -> None:
    """Every error class of the HTTP library falls under a name of our table, and not by its root."""
    library = {cls for cls in vars(httpx2).values() if isinstance(cls, type) and issubclass(cls, Exception)}
    roots = {"HTTPError", "RequestError"}
    unmapped = [
        cls.__name__
        for cls in library
        if cls.__name__ not in roots and not {base.__name__ for base in cls.__mro__} & KIND_BY_CLASS.keys()
    ]
    assert unmapped == []


def test_table_of_errors_holds_no_stale_name() -> None:
    """Every name in our table is a class of an SDK, of the HTTP library or of the JSON parser."""
    modules = (openai, anthropic, httpx2, json, openai._exceptions, anthropic._exceptions, openai._response)
    known = {name for module in modules for name in vars(module)}
    assert set(KIND_BY_CLASS) | set(JUDGED_BY_STATUS) <= known


def test_unknown_error_is_a_protocol_error() -> None:
    """What no table knows becomes a `ProviderProtocolError` that names it."""
    error = translate(KeyError("surprise"), provider="openai")
    assert isinstance(error, ProviderProtocolError)
    assert "KeyError" in str(error)


def test_history_goes_along_unchanged() -> None:
    """Turns of a conversation are sent as they were said."""
    prompt = Prompt(system="s", history=(Turn("assistant", "a"), Turn("user", " b ")), user="c", version="v")
    assert [message.get("content") for message in messages_of(prompt)] == ["s", "a", " b ", "c"]
