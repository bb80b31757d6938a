"""Every request has an id and one line in the log; neither a text nor a key is ever in it."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from ragopt.api.request_log import JsonLines, accepted_id
from tests.ragopt.api.fakes import KEY, Served, eventually


@pytest.mark.parametrize("sent", ["abc", "A.b_c-1", "x" * 64])
def test_sane_request_id_is_kept(sent: str) -> None:
    """A short and plain id of the caller's is used as it is."""
    assert accepted_id(sent) == sent


@pytest.mark.parametrize("sent", [None, "", "x" * 65, "a b", "a\n", 'a"b', "é"])
def test_other_request_ids_are_replaced(sent: str | None) -> None:
    """Anything else is replaced by a new id: it would end up in logs and headers."""
    made = accepted_id(sent)
    assert made != sent
    assert len(made) == 32


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/documents"])
def test_every_response_carries_its_id(http: Served, path: str) -> None:
    """Success or failure, the id is in the headers, and in the problem object where there is one."""
    with http.client(None) as client:
        response = client.get(path, headers={"X-Request-Id": "mine-1"})
    assert response.headers["x-request-id"] == "mine-1"
    assert response.json().get("request_id", "mine-1") == "mine-1"


def test_one_line_per_request(http: Served, caplog: pytest.LogCaptureFixture) -> None:
    """The line says who asked for what, how it went and where the time went, in a template instead of an id."""
    # The last byte of an earlier test's response came before its line.
    eventually(lambda: http.lifetime.open_requests == 0)
    with caplog.at_level(logging.INFO, logger="ragopt.requests"):
        http.post("/ingest", {"documents": [{"id": "secret-id", "text": "secret-text"}]})
        http.get("/documents/secret-id?collection=default")
        http.post("/answer", {"question": "secret-question"}, X_Request_Id="mine-1")
        eventually(lambda: len(caplog.records) == 3)
    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    # A line is written when the last byte is out, so two requests in a row may be logged in either order.
    by_path = {line["path"]: line for line in lines}
    assert by_path.keys() == {"/ingest", "/documents/{document_id:path}", "/answer"}
    asked = by_path["/answer"]
    assert (asked["method"], asked["status"], asked["request_id"]) == ("POST", 200, "mine-1")
    assert (asked["tenant"], asked["key_id"]) == ("acme", "acme-ingest-query-admin")
    assert {"auth", "generate"} <= asked["stages_ms"].keys()
    assert asked["ms"] > 0
    assert "secret" not in str(lines)
    assert KEY not in str(lines)


def test_unexpected_error_is_logged_once(http: Served, caplog: pytest.LogCaptureFixture) -> None:
    """A bug is one log entry with its traceback and the request id, beside the request's own line."""
    http.service.pipeline.refusal = ZeroDivisionError("boom")
    with caplog.at_level(logging.INFO):
        http.post("/context", {"question": "Why?"}, X_Request_Id="mine-2")
        eventually(lambda: any(record.getMessage() == "request" for record in caplog.records))
    errors = [json.loads(JsonLines().format(record)) for record in caplog.records if record.levelno >= logging.ERROR]
    assert [(line["request_id"], line["message"]) for line in errors] == [("mine-2", "unexpected error")]
    assert "ZeroDivisionError: boom" in errors[0]["exception"]


def test_a_log_line_goes_without_personal_data_and_keys() -> None:
    """Messages and exceptions of other libraries are redacted; addresses of hosts stay."""
    try:
        raise ValueError("bad row: jo@example.org")
    except ValueError:
        error = sys.exc_info()
    message = "card 4111111111111111 from 192.168.1.17"
    line = json.loads(JsonLines().format(logging.LogRecord("x", logging.ERROR, "", 1, message, None, error)))
    assert line["message"] == "card [CARD] from 192.168.1.17"
    assert "ValueError: bad row: [EMAIL]" in line["exception"]
