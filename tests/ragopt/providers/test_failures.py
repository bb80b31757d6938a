"""The seam between the SDKs' errors and ours."""

from __future__ import annotations

import json

import anthropic
import httpx2
import openai
import pytest

from ragopt.errors import (
    KeyRefused,
    PromptTooLong,
    ProviderError,
    ProviderOverloaded,
    ProviderProtocolError,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
    QuotaSpent,
)
from ragopt.providers.failures import JUDGED_BY_STATUS, KIND_BY_CLASS, kind_of_answer, shown, translate


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


@pytest.mark.parametrize(
    ("status", "codes", "message", "kind"),
    [
        (429, {"rate_limit_exceeded"}, "", ProviderThrottled),
        (429, {"insufficient_quota", "rate_limit_exceeded"}, "", QuotaSpent),
        (400, {"invalid_request_error", "billing_error"}, "", QuotaSpent),
        (400, {"invalid_request_error"}, "Your credit balance is too low to access the API", QuotaSpent),
        (400, {"invalid_request_error"}, "prompt is too long: 205547 tokens > 200000 maximum", PromptTooLong),
        (400, {"invalid_request_error"}, "input length and `max_tokens` exceed context limit", PromptTooLong),
        (400, {"context_length_exceeded"}, "", PromptTooLong),
        (400, {"invalid_request_error"}, "messages: at least one message is required", ProviderRejected),
        (200, {"overloaded_error"}, "", ProviderOverloaded),
        (200, {"invalid_request_error"}, "", ProviderRejected),
        (200, {"server_error"}, "", ProviderUnavailable),
        (503, {"server_is_overloaded"}, "", ProviderOverloaded),
        (529, set(), "", ProviderOverloaded),
        (403, {"organization_on_hold"}, "", KeyRefused),
        (418, set(), "", ProviderRejected),
        (520, set(), "", ProviderUnavailable),
        (302, set(), "", ProviderProtocolError),
    ],
)
def test_error_answer_is_classed_by_code_then_status(
    status: int, codes: set[str], message: str, kind: type[ProviderError]
) -> None:
    """The same code comes with several statuses and inside streams; a sentence decides where nothing else does."""
    assert kind_of_answer(status, frozenset(codes), message=message) is kind


def test_what_looks_like_a_key_is_not_shown() -> None:
    """A provider that echoes a key does not get it into our log."""
    assert shown("Incorrect API key provided: sk-proj-abcdef123456.") == "Incorrect API key provided: sk-…."
