"""One seam between the errors of both SDKs and ours.

Both SDKs come from one generator and name their errors alike, so one table of names serves both
and the HTTP library under them, and translating an error imports neither.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from json import JSONDecodeError

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
from ragopt.providers.limits import retry_after_s

MESSAGE_CHARS = 200

# By the first name on an error's chain of classes; `APIStatusError` and `APIError` are judged by what they carry.
KIND_BY_CLASS: Mapping[str, type[ProviderError]] = {
    "APITimeoutError": ProviderTimeout,
    "APIConnectionError": ProviderUnavailable,
    "APIResponseValidationError": ProviderProtocolError,
    "APIWebhookValidationError": ProviderProtocolError,
    "RetryableError": ProviderUnavailable,
    "CredentialsError": KeyRefused,
    "SubjectTokenProviderError": KeyRefused,
    "ContentFilterFinishReasonError": ProviderRejected,
    "LengthFinishReasonError": ProviderProtocolError,
    "StreamAlreadyConsumed": ProviderProtocolError,
    "WebSocketConnectionClosedError": ProviderProtocolError,
    "WebSocketQueueFullError": ProviderProtocolError,
    "UnsupportedProtocol": ProviderRejected,
    "TimeoutException": ProviderTimeout,
    "TransportError": ProviderUnavailable,
    "DecodingError": ProviderProtocolError,
    "TooManyRedirects": ProviderProtocolError,
    "HTTPStatusError": ProviderProtocolError,
    "InvalidURL": ProviderRejected,
    "CookieConflict": ProviderProtocolError,
    "StreamError": ProviderProtocolError,
    "JSONDecodeError": ProviderProtocolError,
}
JUDGED_BY_STATUS = frozenset({"APIStatusError", "APIError"})
TIMEOUTS = frozenset({"APITimeoutError", "TimeoutException"})
LOST_CONNECTIONS = frozenset({"APIConnectionError", "TransportError"})

# What an error's body says, before its status: the same code comes with several statuses, and as an event inside a
# stream whose status is 200. Source: OpenAI's API reference, error codes; anthropic 2.11, `types/shared`.
KIND_BY_CODE: Mapping[str, type[ProviderError]] = {
    **dict.fromkeys(
        (
            "insufficient_quota",
            "credit_balance_exhausted",
            "enforced_spend_limit_reached",
            "contract_spend_limit_reached",
            "linked_organization_spend_limit_reached",
            "billing_error",
        ),
        QuotaSpent,
    ),
    "context_length_exceeded": PromptTooLong,
    "request_too_large": PromptTooLong,
    "overloaded_error": ProviderOverloaded,
    "server_is_overloaded": ProviderOverloaded,
    "rate_limit_error": ProviderThrottled,
    "rate_limit_exceeded": ProviderThrottled,
    "authentication_error": KeyRefused,
    "permission_error": KeyRefused,
    "invalid_api_key": KeyRefused,
    "not_found_error": ProviderRejected,
}
KIND_BY_STATUS: Mapping[int, type[ProviderError]] = {
    **dict.fromkeys((408, 409, 425), ProviderUnavailable),
    **dict.fromkeys((401, 403), KeyRefused),
    402: QuotaSpent,
    413: PromptTooLong,
    429: ProviderThrottled,
    529: ProviderOverloaded,
}
# Only the sentence tells these two, which come as a 400 `invalid_request_error`.
SAYS_TOO_LONG = re.compile(
    r"prompt is too long|maximum context length|context (?:limit|window|length)|input is too long", re.IGNORECASE
)
SAYS_SPENT = re.compile(r"credit balance is too low|reached your specified API usage limits", re.IGNORECASE)
LOOKS_LIKE_A_KEY = re.compile(r"\b(sk|rag|key|xai|gsk)[-_][\w*-]{6,}")


def translate(error: Exception, *, provider: str, streaming: bool = False) -> ProviderError:
    """Return our error for one of an SDK, of its HTTP library, or of parsing what came back.

    streaming: the answer had begun, so that a lost connection means an incomplete one. Anything
    unknown is a `ProviderProtocolError`.
    """
    if isinstance(error, ProviderError):
        return error
    names = class_names(error)
    lost = LOST_CONNECTIONS.intersection(names) and not TIMEOUTS.intersection(names)
    cut = bool(lost) if streaming else is_cut_json(error)
    kind = IncompleteStream if cut else kind_of(error, names)
    headers = headers_of(error)
    return kind(
        f"{provider}: {sentence(error, kind=kind)}",
        status=status if (status := status_of(error)) >= 300 else None,
        retry_after_s=retry_after_s(headers) if kind.retryable else None,
        request_id=headers.get("x-request-id") or headers.get("request-id") or "",
    )


def class_names(error: Exception) -> list[str]:
    """Return the names on the error's chain of classes, those of timeouts left out where a connection was lost.

    The SDKs' transport over aiohttp says that connecting took too long where a server hung up.
    """
    names = [cls.__name__ for cls in type(error).__mro__]
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    lost = any(cls.__name__ == "ClientConnectionError" for cls in type(root).__mro__)
    return [name for name in names if name not in TIMEOUTS] if lost and not isinstance(root, TimeoutError) else names


def told_failure(body: object, *, status: int, provider: str) -> ProviderError:
    """Return our error for one in a batch's results: its body, and its status, 200 where that is not told."""
    parts = parts_of(body)
    codes, message = codes_in(parts), message_in(parts)
    kind = kind_of_answer(status, codes, message=message)
    told = status if status >= 300 else None
    return kind(f"{provider}: {answer_sentence(status, codes, message=message, kind=kind)}", status=told)


def kind_of(error: Exception, names: list[str]) -> type[ProviderError]:
    """Return our class for `error`, whose chain of class names is `names`."""
    for name in names:
        if name in KIND_BY_CLASS:
            return KIND_BY_CLASS[name]
        if name in JUDGED_BY_STATUS:
            parts = body_of(error)
            return kind_of_answer(status_of(error), codes_in(parts), message=message_in(parts))
    return ProviderProtocolError


def kind_of_answer(status: int, codes: frozenset[str], *, message: str) -> type[ProviderError]:
    """Return our class for an error answer; `status` below 300 is an error event inside a stream."""
    # Dict order: what no waiting cures first, for a spent quota is also called a rate limit.
    by_code = next((kind for code, kind in KIND_BY_CODE.items() if code in codes), None)
    if by_code is not None:
        return by_code
    if status in KIND_BY_STATUS:
        return KIND_BY_STATUS[status]
    if SAYS_TOO_LONG.search(message):
        return PromptTooLong
    if SAYS_SPENT.search(message):
        return QuotaSpent
    if status < 300:
        return ProviderRejected if "invalid_request_error" in codes else ProviderUnavailable
    if status >= 500:
        return ProviderUnavailable
    return ProviderRejected if status >= 400 else ProviderProtocolError


def is_cut_json(error: Exception) -> bool:
    """Return whether `error` is of parsing an object whose end is missing: an answer that was cut off."""
    if not isinstance(error, JSONDecodeError):
        return False
    return error.doc.lstrip().startswith("{") and not error.doc.rstrip().endswith("}")


def status_of(error: Exception) -> int:
    """Return the HTTP status an SDK error carries; 200 for an error event of a stream that had begun."""
    status: object = getattr(error, "status_code", None)
    return status if isinstance(status, int) else 200


def headers_of(error: Exception) -> Mapping[str, str]:
    """Return the headers of the response that an SDK error carries, names in any case; {} for none."""
    headers: object = getattr(getattr(error, "response", None), "headers", None)
    return headers if isinstance(headers, Mapping) else {}


def codes_in(parts: Sequence[Mapping[str, object]]) -> frozenset[str]:
    """Return every code and type in the parts of an error's body, wherever the dialect puts them."""
    found = (part.get(key) for part in parts for key in ("code", "type", "error_code"))
    return frozenset(value for value in found if isinstance(value, str))


def message_in(parts: Sequence[Mapping[str, object]]) -> str:
    """Return the innermost message in the parts of an error's body, "" if there is none."""
    found = [part["message"] for part in parts if isinstance(part.get("message"), str)]
    return str(found[-1]) if found else ""


def parts_of(body: object) -> list[Mapping[str, object]]:
    """Return the JSON objects of an error's body: the outer one, its `error`, and that one's `details`; [] for none."""
    parts = [body] if isinstance(body, Mapping) else []
    for key in ("error", "details"):
        inner = parts[-1].get(key) if parts else None
        if isinstance(inner, Mapping):
            parts.append(inner)
    return parts


def body_of(error: Exception) -> list[Mapping[str, object]]:
    """Return the parts of the body that an SDK error carries."""
    return parts_of(getattr(error, "body", None))


def sentence(error: Exception, *, kind: type[ProviderError]) -> str:
    """Return what went wrong in one line, without anything a provider might echo of a key."""
    names = {cls.__name__ for cls in type(error).__mro__}
    if not names & JUDGED_BY_STATUS or names & LOST_CONNECTIONS:
        cause = error.__cause__ or error
        return f"{type(cause).__name__}: {shown(str(cause))}".rstrip(": ")
    parts = body_of(error)
    return answer_sentence(status_of(error), codes_in(parts), message=message_in(parts), kind=kind)


def answer_sentence(status: int, codes: frozenset[str], *, message: str, kind: type[ProviderError]) -> str:
    """Return what an error answer says: its status, its codes and, unless a key was refused, its message."""
    parts = [f"HTTP {status}" if status >= 300 else "error event", *sorted(codes - {"error"})]
    # Refusals of a key quote parts of it.
    if message and not issubclass(kind, KeyRefused):
        parts.append(f"“{shown(message)}”")
    return " ".join(parts)


def shown(text: str) -> str:
    """Return the beginning of a text, without what looks like a key."""
    return LOOKS_LIKE_A_KEY.sub(r"\1-…", text)[:MESSAGE_CHARS]
