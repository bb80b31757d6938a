"""Errors become problem objects by one table, and say nothing they should not."""

from __future__ import annotations

import inspect
import json
from http import HTTPStatus
from types import ModuleType

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

import indexes.errors
import ragopt.errors
from indexes.errors import DocumentTooLarge, IndexingError
from ragopt.api.problems import KINDS, MEDIA_TYPE, invalid_request, kind_of, problem_of, problem_of_documents
from ragopt.errors import (
    InvalidRequest,
    KeyRefused,
    MissingKey,
    Overloaded,
    ProviderThrottled,
    QuestionRefused,
    RagoptError,
    UnknownModel,
)

MODULES = (indexes.errors, ragopt.errors)


def error_classes(module: ModuleType) -> list[type[Exception]]:
    """Return every error class that a module defines."""
    found = [value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, Exception)]
    return [value for value in found if value.__module__ == module.__name__]


CLASSES = [error for module in MODULES for error in error_classes(module)]


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_every_error_class_has_its_own_entry(error: type[Exception]) -> None:
    """No error class falls back to the entry of another."""
    assert error in KINDS


def test_table_holds_nothing_else() -> None:
    """Every entry belongs to a class that exists in one of the two error modules."""
    assert set(KINDS) == set(CLASSES)


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)
def test_problem_has_every_member(error: type[IndexingError | RagoptError]) -> None:
    """A problem carries the members of RFC 9457, the class's stable code, and the request id."""
    problem = problem_of(error("what happened"))
    content = problem.content(instance="/a b", request_id="r1")
    assert content == {
        "type": f"urn:ragopt:problem:{error.code}",
        "title": kind_of(error).title,
        "status": int(kind_of(error).status),
        "detail": "what happened",
        "instance": "/a%20b",
        "code": error.code,
        "request_id": "r1",
    }


def test_status_says_whose_fault_it_is() -> None:
    """A caller's mistakes are 4xx, what the service or a provider does wrong is 5xx."""
    mistakes = {error for error in CLASSES if issubclass(error, InvalidRequest | indexes.errors.DocumentError)}
    assert {KINDS[error].status // 100 for error in mistakes} == {4}
    assert {KINDS[error].status // 100 for error in CLASSES if issubclass(error, ragopt.errors.ProviderError)} == {5}


def test_unlisted_subclass_takes_the_nearest_entry() -> None:
    """A class without an entry is answered as the class it derives from."""

    class Peculiar(Overloaded):
        """A subclass that nobody listed."""

    assert kind_of(Peculiar) is KINDS[Overloaded]


def test_unexpected_error_reveals_nothing() -> None:
    """The text of an error that nobody raised on purpose does not reach the caller."""
    problem = problem_of(ZeroDivisionError("secret of the house"))
    assert (problem.status, problem.code) == (500, "internal_error")
    assert "secret" not in json.dumps(problem.content(instance="/", request_id="r"))


def test_key_problem_names_the_scheme() -> None:
    """A 401 carries WWW-Authenticate, an overload Retry-After."""
    assert problem_of(MissingKey("no")).headers["WWW-Authenticate"].startswith("Bearer")
    assert problem_of(Overloaded("no")).headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "invalid_json"),
        (408, "request_timeout"),
        (404, "not_found"),
        (405, "method_not_allowed"),
        (413, "payload_too_large"),
    ],
)
def test_framework_errors_have_codes(status: int, code: str) -> None:
    """What the framework refuses by itself has a stable code too, and keeps its headers."""
    problem = problem_of(HTTPException(status, headers={"Allow": "GET"}))
    assert (problem.status, problem.code, problem.headers) == (status, code, {"Allow": "GET"})


def test_validation_error_never_echoes_the_value() -> None:
    """The input stays out of the answer; its place, a code and a sentence are in."""
    error = {"type": "string_type", "loc": ("body", "a/b", 0), "msg": "Input should be a string", "input": "hunter2"}
    problem = problem_of(RequestValidationError([error]))
    expected = {"in": "body", "pointer": "/a~1b/0", "code": "string_type", "detail": "Input should be a string"}
    assert (problem.status, problem.code, problem.errors) == (422, "invalid_request", [expected])
    assert "hunter2" not in json.dumps(problem.content(instance="/", request_id="r"))


def test_lone_surrogate_in_a_field_name_is_escaped() -> None:
    """A field name that is no Unicode text does not break the response that names it."""
    error = {"type": "extra_forbidden", "loc": ("body", "x\ud800"), "msg": "not permitted", "input": 1}
    response = invalid_request([error]).response(instance="/", request_id="r")  # type: ignore[list-item]
    assert response.media_type == MEDIA_TYPE
    assert rb"x\ud800" in bytes(response.body)


@pytest.mark.parametrize(
    ("error", "status", "openai"),
    [
        (UnknownModel("no"), 422, 404),
        (InvalidRequest("no"), 422, 400),
        (QuestionRefused("no"), 422, 400),
        (MissingKey("no"), 401, 401),
        (Overloaded("no"), 503, 503),
    ],
)
def test_only_422_has_another_status_under_v1(error: RagoptError, status: int, openai: int) -> None:
    """There it is OpenAI's own; the code is the same on every path."""
    responses = [problem_of(error).response(instance=path, request_id="r") for path in ("/answer", "/v1/models/x")]
    assert [response.status_code for response in responses] == [status, openai]
    problem, envelope = (json.loads(bytes(response.body)) for response in responses)
    assert problem["code"] == envelope["error"]["code"] == error.code


def test_broken_json_is_400() -> None:
    """A body that is not JSON is a 400 of its own code."""
    error = {"type": "json_invalid", "loc": ("body", 3), "msg": "JSON decode error", "ctx": {"error": "no comma"}}
    problem = problem_of(RequestValidationError([error]))
    assert (problem.status, problem.code) == (HTTPStatus.BAD_REQUEST, "invalid_json")
    assert "no comma" in problem.detail


def test_problem_of_documents_follows_the_first() -> None:
    """Where every document failed, status and code are the first one's and all are listed."""
    failures = [("a", DocumentTooLarge.code, "21 MB"), ("b", "empty_text", "nothing")]
    problem = problem_of_documents(failures)
    assert (problem.status, problem.code, problem.detail) == (413, "document_too_large", "21 MB")
    assert [item["document_id"] for item in problem.errors] == ["a", "b"]


@pytest.mark.parametrize(("told_s", "header"), [(None, "5"), (0.2, "1"), (41.3, "42")])
def test_retry_after_is_what_the_provider_said(told_s: float | None, header: str) -> None:
    """In whole seconds, never 0, and the table's where it said nothing."""
    assert problem_of(ProviderThrottled("x", retry_after_s=told_s)).headers["Retry-After"] == header


def test_retry_after_is_only_said_where_waiting_helps() -> None:
    """A refused key stays refused, whatever the provider asked to wait."""
    assert "Retry-After" not in problem_of(KeyRefused("x", retry_after_s=3)).headers
