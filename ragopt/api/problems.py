"""Errors as HTTP: the one table of statuses, RFC 9457 problem objects, and OpenAI's envelope and statuses under `/v1`.

Source: RFC 9457, Problem Details for HTTP APIs; OpenAI API reference, "Error codes".
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import TypeAlias
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

from indexes import errors as indexing
from ragopt import errors as service

MEDIA_TYPE = "application/problem+json"
SHOWN_KEY_CHARS = 80
OPENAI_PREFIX = "/v1/"

ErrorItem: TypeAlias = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Kind:
    """What HTTP says of one error class: status, the title that never changes, and response headers."""

    status: HTTPStatus
    title: str
    headers: Mapping[str, str] = field(default_factory=dict)


KINDS: Mapping[type[Exception], Kind] = MappingProxyType(
    {
        indexing.IndexingError: Kind(HTTPStatus.INTERNAL_SERVER_ERROR, "Indexing failed"),
        indexing.DocumentError: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "The document cannot be stored"),
        indexing.EmptyText: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "The document holds no text"),
        indexing.InvalidText: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "The text is not valid Unicode"),
        indexing.DocumentTooLarge: Kind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The document is too large"),
        indexing.AccessDenied: Kind(HTTPStatus.FORBIDDEN, "The key may not write this document"),
        indexing.UnreadableDocument: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "The file cannot be read"),
        indexing.UnsupportedFormat: Kind(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The file type is not supported"),
        indexing.CollectionNotFound: Kind(HTTPStatus.NOT_FOUND, "No such collection"),
        indexing.DocumentNotFound: Kind(HTTPStatus.NOT_FOUND, "No such document"),
        indexing.SettingsMismatch: Kind(HTTPStatus.CONFLICT, "The collection was built with other settings"),
        indexing.StorageFull: Kind(HTTPStatus.INSUFFICIENT_STORAGE, "The disk is full"),
        indexing.StoreUnavailable: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE, "The index does not answer", {"Retry-After": "2"}
        ),
        indexing.EmbeddingUnavailable: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE, "The embedding model does not answer", {"Retry-After": "2"}
        ),
        indexing.StoreLocked: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "The data dir is held by another process"),
        indexing.ModelUnavailable: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "The embedding model is not available"),
        service.RagoptError: Kind(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error"),
        service.ConfigError: Kind(HTTPStatus.INTERNAL_SERVER_ERROR, "The service is not configured for this"),
        service.InvalidRequest: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "The request cannot be served"),
        service.QuestionTooLong: Kind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The question is too long"),
        service.UnknownModel: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "No such model"),
        service.ModelNotAllowed: Kind(HTTPStatus.FORBIDDEN, "The key may not use this model"),
        service.UrlsOff: Kind(HTTPStatus.FORBIDDEN, "Documents by URL are off"),
        service.UrlRefused: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "The URL may not be fetched"),
        service.UrlUnreachable: Kind(HTTPStatus.FAILED_DEPENDENCY, "The URL could not be fetched"),
        service.ModelBarred: Kind(HTTPStatus.FORBIDDEN, "No model may read this collection"),
        service.QuestionRefused: Kind(HTTPStatus.UNPROCESSABLE_ENTITY, "The question was refused"),
        service.PayloadTooLarge: Kind(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The request body is too large"),
        service.AuthError: Kind(HTTPStatus.UNAUTHORIZED, "Not authorized", {"WWW-Authenticate": "Bearer"}),
        service.MissingKey: Kind(
            HTTPStatus.UNAUTHORIZED, "The API key is missing or wrong", {"WWW-Authenticate": 'Bearer realm="ragopt"'}
        ),
        service.MissingScope: Kind(HTTPStatus.FORBIDDEN, "The API key may not do this"),
        service.NotFound: Kind(HTTPStatus.NOT_FOUND, "Not found"),
        service.TwoSecrets: Kind(HTTPStatus.CONFLICT, "The key has two live secrets"),
        service.IdempotencyConflict: Kind(HTTPStatus.CONFLICT, "The Idempotency-Key is in use"),
        service.Overloaded: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "The service is at its limit", {"Retry-After": "1"}),
        service.Draining: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "The service is shutting down", {"Retry-After": "1"}),
        service.RateLimited: Kind(
            HTTPStatus.TOO_MANY_REQUESTS, "The rate limit of the key is reached", {"Retry-After": "1"}
        ),
        service.DeadlineExceeded: Kind(HTTPStatus.GATEWAY_TIMEOUT, "The request took too long"),
        service.BatchCancelled: Kind(HTTPStatus.CONFLICT, "The batch was cancelled"),
        service.BudgetSpent: Kind(HTTPStatus.PAYMENT_REQUIRED, "The budget is spent"),
        service.BudgetUnreachable: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE, "The budget is not reachable", {"Retry-After": "2"}
        ),
        service.PriceUnknown: Kind(HTTPStatus.PAYMENT_REQUIRED, "The model has no known price"),
        service.StateUnavailable: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE, "The service's state is not reachable", {"Retry-After": "2"}
        ),
        service.ConversationUnavailable: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE, "The conversation is not reachable", {"Retry-After": "2"}
        ),
        service.ProviderError: Kind(HTTPStatus.BAD_GATEWAY, "The model call failed"),
        service.ProviderUnavailable: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE, "The model provider does not answer", {"Retry-After": "5"}
        ),
        service.ProviderTimeout: Kind(HTTPStatus.SERVICE_UNAVAILABLE, "The model took too long", {"Retry-After": "5"}),
        service.ProviderThrottled: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE, "The model provider's rate limit is reached", {"Retry-After": "5"}
        ),
        service.ProviderOverloaded: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE, "The model provider is overloaded", {"Retry-After": "10"}
        ),
        service.ModelPaused: Kind(
            HTTPStatus.SERVICE_UNAVAILABLE, "The model is not asked for now", {"Retry-After": "5"}
        ),
        service.ProviderRejected: Kind(HTTPStatus.BAD_GATEWAY, "The model provider refused the call"),
        service.KeyRefused: Kind(HTTPStatus.BAD_GATEWAY, "The model provider refused its key"),
        service.QuotaSpent: Kind(HTTPStatus.BAD_GATEWAY, "The quota at the model provider is spent"),
        service.PromptTooLong: Kind(HTTPStatus.BAD_GATEWAY, "The prompt does not fit the model"),
        service.UnusableAnswer: Kind(HTTPStatus.BAD_GATEWAY, "The answer did not match the schema"),
        service.IncompleteStream: Kind(HTTPStatus.BAD_GATEWAY, "The model's answer was cut off"),
        service.ProviderProtocolError: Kind(HTTPStatus.BAD_GATEWAY, "The model provider answered nonsense"),
    }
)

# Statuses that the framework raises by itself, before any code of ours runs.
FRAMEWORK_CODES: Mapping[int, tuple[str, str]] = MappingProxyType(
    {
        HTTPStatus.BAD_REQUEST: ("invalid_json", "The body is not valid JSON"),
        HTTPStatus.NOT_FOUND: ("not_found", "No such path"),
        HTTPStatus.REQUEST_TIMEOUT: ("request_timeout", "The request body did not arrive in time"),
        HTTPStatus.METHOD_NOT_ALLOWED: ("method_not_allowed", "The path does not take this method"),
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("payload_too_large", "The request body is too large"),
    }
)

# What OpenAI's clients call these statuses; other 4xx are `invalid_request_error`, 5xx `server_error`.
OPENAI_TYPES: Mapping[int, str] = MappingProxyType(
    {
        HTTPStatus.UNAUTHORIZED: "authentication_error",
        HTTPStatus.PAYMENT_REQUIRED: "insufficient_quota",
        HTTPStatus.FORBIDDEN: "permission_error",
        HTTPStatus.TOO_MANY_REQUESTS: "rate_limit_error",
    }
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One failed request, as the caller sees it. `errors` lists its parts where there are several."""

    status: int
    title: str
    code: str
    detail: str
    errors: Sequence[ErrorItem] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def content(self, *, instance: str, request_id: str) -> dict[str, object]:
        """Return the problem object; `errors` is left out where there are none."""
        content: dict[str, object] = {
            "type": f"urn:ragopt:problem:{self.code}",
            "title": self.title,
            "status": int(self.status),
            "detail": self.detail,
            "instance": quote(instance),
            "code": self.code,
            "request_id": request_id,
        }
        return {**content, "errors": [dict(item) for item in self.errors]} if self.errors else content

    def envelope(self, *, request_id: str) -> dict[str, object]:
        """Return the error object that OpenAI's clients read; `param` is the first field that is wrong."""
        pointers = [item["pointer"].strip("/").replace("/", ".") for item in self.errors if "pointer" in item]
        other = "server_error" if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "invalid_request_error"
        error = {
            "message": self.detail,
            "type": OPENAI_TYPES.get(self.status, other),
            "param": (pointers or [""])[0] or None,
            "code": self.code,
            "request_id": request_id,
        }
        return {"error": error}

    def response(self, *, instance: str, request_id: str) -> Response:
        """Return the HTTP response, with OpenAI's envelope and status for a path under `/v1`."""
        openai = instance.startswith(OPENAI_PREFIX)
        content = (
            self.envelope(request_id=request_id) if openai else self.content(instance=instance, request_id=request_id)
        )
        # ASCII escapes: a lone surrogate in an unknown field's name must not break the reply that names it.
        body = json.dumps(content, ensure_ascii=True)
        status = self.openai_status() if openai else int(self.status)
        media_type = "application/json" if openai else MEDIA_TYPE
        return Response(body, status, headers=dict(self.headers), media_type=media_type)

    def openai_status(self) -> int:
        """Return the status under `/v1`: 404 for an unknown model and 400 for any other 422, else as it is."""
        # OpenAI answers neither with 422, and its clients raise by the status what callers catch.
        if self.status != HTTPStatus.UNPROCESSABLE_ENTITY:
            return int(self.status)
        return int(HTTPStatus.NOT_FOUND if self.code == service.UnknownModel.code else HTTPStatus.BAD_REQUEST)


INTERNAL = Problem(
    status=HTTPStatus.INTERNAL_SERVER_ERROR,
    title="Internal error",
    code="internal_error",
    detail="Something went wrong; the request id finds it in the log.",
)


def problem_of(error: Exception) -> Problem:
    """Return what the caller is told of `error`; nothing of an error that is not raised on purpose."""
    if isinstance(error, RequestValidationError):
        return invalid_request(error.errors())
    if isinstance(error, HTTPException):
        code, title = FRAMEWORK_CODES.get(error.status_code, ("http_error", HTTPStatus(error.status_code).phrase))
        return Problem(error.status_code, title, code, str(error.detail), headers=error.headers or {})
    if isinstance(error, indexing.IndexingError | service.RagoptError):
        kind = kind_of(type(error))
        return Problem(kind.status, kind.title, error.code, error.detail or kind.title, headers=headers_of(error, kind))
    return INTERNAL


def headers_of(error: Exception, kind: Kind) -> Mapping[str, str]:
    """Return the kind's headers; Retry-After, where it has one, in whole seconds as the error says."""
    told_s = error.retry_after_s if isinstance(error, service.RagoptError) else None
    if told_s is None or "Retry-After" not in kind.headers:
        return kind.headers
    return {**kind.headers, "Retry-After": str(max(1, math.ceil(told_s)))}


def kind_of(error_class: type[Exception]) -> Kind:
    """Return the entry of the class, else of the nearest class it derives from."""
    return next(KINDS[ancestor] for ancestor in error_class.__mro__ if ancestor in KINDS)


def problem_of_documents(failures: Sequence[tuple[str, str, str]]) -> Problem:
    """Return the problem of a request of which every document failed, given (id, code, detail) of each.

    Code and status are the first one's; `errors` lists all.
    """
    _, code, detail = failures[0]
    kind = next(
        (kind for known, kind in KINDS.items() if vars(known).get("code") == code), KINDS[indexing.DocumentError]
    )
    items = [{"document_id": name, "code": code, "detail": detail} for name, code, detail in failures]
    return Problem(kind.status, kind.title, code, detail, errors=items)


def invalid_request(errors: Iterable[ErrorDetails]) -> Problem:
    """Return 400 for a body that is not JSON, else 422; where each error is and what is wrong, never the value."""
    found = list(errors)
    broken = next((item for item in found if item["type"] == "json_invalid"), None)
    if broken is not None:
        code, title = FRAMEWORK_CODES[HTTPStatus.BAD_REQUEST]
        return Problem(HTTPStatus.BAD_REQUEST, title, code, f"The body is not valid JSON: {broken['ctx']['error']}")
    kind = KINDS[service.InvalidRequest]
    items = [error_item(item) for item in found]
    summary = "; ".join(f"{item['pointer']}: {item['detail']}" for item in items[:3])
    return Problem(kind.status, kind.title, service.InvalidRequest.code, summary, errors=items)


def error_item(error: ErrorDetails) -> dict[str, str]:
    """Return one validation error: a JSON pointer into the body, query, path or header, a code and a sentence."""
    place, *path = error["loc"] or ("body",)
    pointer = "".join(f"/{str(part)[:SHOWN_KEY_CHARS].replace('~', '~0').replace('/', '~1')}" for part in path)
    return {"in": str(place), "pointer": pointer or "/", "code": error["type"], "detail": error["msg"]}


def too_large(limit_bytes: int) -> HTTPException:
    """Return the error to raise while a body is read: the framework lets only this class through unchanged."""
    return HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The body is over the limit of {limit_bytes} bytes.")


def stalled(limit_s: float) -> HTTPException:
    """Return the error for a body whose next part did not come."""
    return HTTPException(HTTPStatus.REQUEST_TIMEOUT, f"No byte of the body came for {limit_s:g} s.")


def not_json(reason: str) -> HTTPException:
    """Return the error for a body that cannot be parsed."""
    return HTTPException(HTTPStatus.BAD_REQUEST, reason)


async def answer_with_problem(request: Request, error: Exception) -> Response:
    """Return the problem response of any error that reaches the framework's handlers."""
    problem = problem_of(error)
    request.state.trace.note(code=problem.code)
    return problem.response(instance=request.url.path, request_id=request.state.trace.request_id)


HANDLED: tuple[type[Exception], ...] = (
    HTTPException,
    RequestValidationError,
    indexing.IndexingError,
    service.RagoptError,
)
