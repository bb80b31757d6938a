"""One id, one trace and one log line per HTTP request; the edge where unexpected errors end."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TypeAlias, cast

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ragopt.api.problems import INTERNAL
from ragopt.api.running import Lifetime
from ragopt.privacy.recognisers import BY_FORM
from ragopt.privacy.recognition import Recognisers
from ragopt.privacy.redaction import redacted
from ragopt.telemetry import RequestSeen, Trace

LOGGER = logging.getLogger("ragopt.requests")
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# What nginx logs for a caller that hung up; it is never sent.
CLIENT_CLOSED = 499
# The route of a path that is none: what strangers make up must not become a label.
UNMATCHED = "other"
# Addresses of hosts are what an operator reads a log for, and of an error's digits most are no telephone number.
REDACTED = Recognisers(BY_FORM - {"ip", "phone"})

Fields: TypeAlias = dict[str, object]


class RequestLog:
    """ASGI middleware, the outermost of ours.

    Gives every request an id (`X-Request-Id`, the caller's if it is sane) and a `Trace`, both in
    the request's state; sends the id back on every response; logs one line when the last byte is
    out; turns an unexpected error into a 500 without its text; counts the open requests.
    """

    def __init__(
        self, app: ASGIApp, *, lifetime: Lifetime, observers: Sequence[Callable[[RequestSeen], None]] = ()
    ) -> None:
        self._app = app
        self._lifetime = lifetime
        self._observers = observers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        trace = Trace(accepted_id(Headers(scope=scope).get("x-request-id")))
        headers = {"X-Request-Id": trace.request_id}
        scope.setdefault("state", {}).update(trace=trace, response_headers=headers)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(headers)
            await send(message)

        self._lifetime.open_requests += 1
        try:
            await self._app(scope, receive, send_with_id)
        except ClientDisconnect:
            status = CLIENT_CLOSED
        except Exception:  # the edge: whatever nobody expected becomes a 500 and one log entry
            LOGGER.exception("unexpected error", extra={"fields": {"request_id": trace.request_id}})
            if not status:
                response = INTERNAL.response(instance=scope["path"], request_id=trace.request_id)
                await response(scope, receive, send_with_id)
        finally:
            self._lifetime.open_requests -= 1
            self._tell(seen_of(scope, trace, status))
        return None

    def _tell(self, seen: RequestSeen) -> None:
        """Write the log line, and tell the observers; what one of them raises ends here."""
        LOGGER.info("request", extra={"fields": request_fields(seen)})
        for observe in self._observers:
            try:
                observe(seen)
            except Exception:  # the edge: counting a request must not fail it
                LOGGER.exception("a request was not counted", extra={"fields": {"request_id": seen.trace.request_id}})


def accepted_id(sent: str | None) -> str:
    """Return the caller's request id if it is short and plain, else a new one of 32 hex digits."""
    return sent if sent is not None and REQUEST_ID.fullmatch(sent) else uuid.uuid4().hex


def trace_of(request: Request) -> Trace:
    """Return the trace that `RequestLog` opened for this request."""
    return cast("Trace", request.state.trace)


def response_headers(request: Request) -> dict[str, str]:
    """Return the headers that every response to the request will have, an error's too; add to them."""
    return cast("dict[str, str]", request.state.response_headers)


def seen_of(scope: Scope, trace: Trace, status: int) -> RequestSeen:
    """Return a request that is over as metrics, spans and the log line tell of it."""
    caller = scope["state"].get("caller")
    return RequestSeen(
        method=scope["method"],
        route=getattr(scope.get("route"), "path", None) or UNMATCHED,
        status=status,
        outcome=outcome_of(trace, status),
        seconds=time.perf_counter() - trace.opened,
        trace=trace,
        tenant=caller.tenant if caller else "",
        key_id=caller.id if caller else "",
        traceparent=Headers(scope=scope).get("traceparent", ""),
    )


def outcome_of(trace: Trace, status: int) -> str:
    """Return `ok`, or the code of the problem that a request ended with, a stream's last event included."""
    if "code" in trace.facts:
        return str(trace.facts["code"])
    if status == CLIENT_CLOSED:
        return "client_closed"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return INTERNAL.code
    return "ok" if status < HTTPStatus.BAD_REQUEST else "http_error"


def request_fields(seen: RequestSeen) -> Fields:
    """Return what is logged of a request: never its text, its query or its key."""
    trace = seen.trace
    timings = trace.timings_ms()
    timings.pop("total")
    return {
        "request_id": trace.request_id,
        "method": seen.method,
        "path": None if seen.route == UNMATCHED else seen.route,
        "status": seen.status,
        "ms": round(1000 * seen.seconds, 3),
        "tenant": seen.tenant or None,
        "key_id": seen.key_id or None,
        "stages_ms": timings,
        "facts": trace.facts,
        "fallbacks": trace.fallbacks,
    }


class JsonLines(logging.Formatter):
    """One JSON object a line: time in UTC, level, logger, message, and the record's own `fields`.

    Texts are in no message of ours; those of other libraries, and of exceptions, go without personal data and keys.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: Fields = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redacted(record.getMessage(), REDACTED).text,
            **cast("Mapping[str, object]", getattr(record, "fields", {})),
        }
        if record.exc_info:
            line["exception"] = redacted(self.formatException(record.exc_info), REDACTED).text
        return json.dumps(line, default=str)


def log_to_stderr(level: int = logging.INFO) -> None:
    """Send every log record of the process to standard error as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # They log every call at INFO, addresses included; the provider SDKs bring the second one.
    for name in ("httpx", "httpx2"):
        logging.getLogger(name).setLevel(logging.WARNING)
