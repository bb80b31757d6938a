"""What the stub can do wrong, and how a request asks for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

STATUSES = (400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 500, 502, 503, 504, 529)
FAULTS: Mapping[str, str] = {
    "ok": "the whole answer",
    **{str(status): f"HTTP {status} in the dialect's own words" for status in STATUSES},
    "429_long": "HTTP 429 that asks to come back in an hour",
    "429_bare": "HTTP 429 that does not say when to come back",
    "429_garbage": "HTTP 429 whose Retry-After is nonsense",
    "429_date": "HTTP 429 whose Retry-After is a date, two seconds from now",
    "429_ms": "HTTP 429 with retry-after-ms",
    "quota429": "HTTP 429 that no waiting cures: the quota is spent",
    "overloaded503": "HTTP 503 `server_is_overloaded`",
    "context_length": "HTTP 400: the prompt does not fit the model's context window",
    "drop": "the connection breaks before any byte of an answer",
    "hang": "accepts the request and never answers",
    "slow": "the whole answer, after a silence",
    "stall": "half of the answer, then silence",
    "drip": "an answer that never ends, a word at a time",
    "cut": "half of the answer, then a clean end without the terminal event",
    "cut_early": "a clean end before the first word",
    "no_finish": "every word and a clean end, but no finish reason",
    "reset": "half of the answer, then the connection breaks",
    "sse_error": "an error event instead of the answer, with HTTP 200",
    "sse_error_late": "half of the answer, then an error event",
    "bad_json": "an event that is not JSON",
    "other_shape": "HTTP 200 with JSON that is no answer, as from a gateway's status page",
    "html200": "HTTP 200 with an HTML page, as from a captive portal",
    "huge_chunk": "a whole answer of 1 MB in a single event",
    "split_utf8": "a whole answer in writes of three bytes, characters cut in two",
    "duplicate_usage": "the whole answer, its usage reported twice",
    "wrong_order": "the whole answer, its second half after the finish reason and the usage",
    "no_usage": "the whole answer without a usage report",
    "empty": "a complete answer without a word",
    "refusal": "a complete answer in which the model refuses",
    "content_filter": "half of an answer, ended by the provider's filter",
    "length": "half of an answer, ended by the output limit",
    "tool_payload": "no text, but a call of a tool with 2 MB of arguments",
}
HEADER = "x-stub-fault"
IN_MODEL_NAME = re.compile(r"(?:^stub-|[/:-]fault=)(?P<fault>[a-z0-9_]+)$")

# Faults that are an HTTP status and nothing else.
FAILING: Mapping[str, int] = {
    **{str(status): status for status in STATUSES},
    **dict.fromkeys(("429_long", "429_bare", "429_garbage", "429_date", "429_ms", "quota429"), 429),
    "overloaded503": 503,
    "context_length": 400,
}
# Without streaming there are no events: an error event is an error answer, half an answer is no JSON.
FAILING_WHOLE: Mapping[str, int] = {"sse_error": 503, "sse_error_late": 503}
ENDLESS = frozenset({"hang", "stall", "drip"})


def chosen_fault(model: str, header: str | None, default: str) -> str:
    """Return the fault: the header's, else the one the model name ends in, else `default`; unknown ones are ignored."""
    named = IN_MODEL_NAME.search(model)
    for wanted in (header, named and named["fault"]):
        if wanted in FAULTS:
            return str(wanted)
    return default


def without_fault(model: str) -> str:
    """Return the model's name without the fault it ends in: `gpt-6-luna/fault=cut` is `gpt-6-luna`."""
    named = IN_MODEL_NAME.search(model)
    return model[: named.start()] if named and named.start() > 0 else model


def failing_status(fault: str, *, streaming: bool) -> int | None:
    """Return the HTTP status `fault` fails with, None where it fails otherwise or not at all."""
    return FAILING.get(fault) or (None if streaming else FAILING_WHOLE.get(fault))


def retry_headers(fault: str, *, now: datetime | None = None) -> tuple[tuple[str, str], ...]:
    """Return the headers with which `fault` says when to come back."""
    soon = (now or datetime.now(UTC)) + timedelta(seconds=2)
    by_fault = {
        "429": ("retry-after", "1"),
        "503": ("retry-after", "1"),
        "529": ("retry-after", "1"),
        "overloaded503": ("retry-after", "1"),
        "429_long": ("retry-after", "3600"),
        "429_garbage": ("retry-after", "soon"),
        "429_date": ("retry-after", format_datetime(soon, usegmt=True)),
        "429_ms": ("retry-after-ms", "1500"),
    }
    return (by_fault[fault],) if fault in by_fault else ()
