"""The service on a socket, asked for whatever its OpenAPI page allows and for what it does not."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from eval.bench.service import RunningService, running_service
from tests.environment import campaign_examples

TIMEOUT_S = 60
# Where a request names a collection, nearly always one of these: each new one takes the engine a folder and a while.
COLLECTIONS = ("default", "other", "third")
RARELY = 20
STEADY = settings(
    deadline=None, derandomize=True, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
# What the HTTP parser itself says to bytes that are no request.
NO_HTTP = "Invalid HTTP request received."
DOCUMENTS = [{"id": "cats", "text": "Cats sleep sixteen hours a day. They purr as well."}]

Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def service(module_dir: Path) -> Iterator[RunningService]:
    """Yield a service that holds a document in each of its collections."""
    folder = module_dir
    with running_service(folder, data_dir=folder / "data") as made:
        for name in COLLECTIONS:
            body = {"documents": DOCUMENTS, "collection": name}
            httpx.post(f"{made.url}/ingest", json=body, headers=made.headers(), timeout=60).raise_for_status()
        yield made


def wrong_with(response: requests.Response) -> str:
    """Return what is wrong with a response, "" for nothing: an error nobody expected, or one without a known shape."""
    text = response.text
    if response.status_code < 400:
        streams = response.headers.get("content-type", "").startswith("text/event-stream")
        return "an error nobody expected in a stream" if streams and '"internal_error"' in text else ""
    if response.status_code == 400 and text == NO_HTTP:
        return ""
    try:
        content = json.loads(text)
    except ValueError:
        return f"{response.status_code} is no JSON: {text[:100]!r}"
    under_v1 = httpx.URL(str(response.url)).path.startswith("/v1/")
    problem = content.get("error", {}) if under_v1 else content
    kind = "application/json" if under_v1 else "application/problem+json"
    if response.headers.get("content-type") != kind or not {"code", "request_id"} <= problem.keys():
        return f"{response.status_code} has no known shape: {text[:200]}"
    return f"{response.status_code}: {text[:200]}" if problem["code"] == "internal_error" else ""


def tamed(case: schemathesis.Case) -> schemathesis.Case:
    """Return the case with its collection nearly always one of those that are there."""
    for holder in (case.body, case.query):
        if isinstance(holder, dict) and isinstance(name := holder.get("collection"), str):
            number = zlib.crc32(name.encode("utf-8", "surrogatepass"))
            holder["collection"] = name if number % RARELY == 0 else COLLECTIONS[number % len(COLLECTIONS)]
    return case


class Seen:
    """What the requests of a test came to."""

    def __init__(self) -> None:
        self.statuses: Counter[int] = Counter()
        self.problems: list[str] = []
        self.session = requests.Session()

    def look(self, what: str, ask: Callable[[], requests.Response]) -> None:
        """Send a request and note what is wrong with its response."""
        try:
            response = ask()
        except (requests.ConnectionError, requests.Timeout) as error:
            self.problems.append(f"{what}: {type(error).__name__}: {error}")
            return
        except (requests.RequestException, UnicodeError):
            return  # no client can send it
        self.statuses[response.status_code] += 1
        if problem := wrong_with(response):
            self.problems.append(f"{what}: {problem}")

    def tell(self, record: Record) -> None:
        """Hand the counts to the report of the campaign."""
        record("requests", self.statuses.total())
        record("wrong", len(self.problems))
        record("refused_4xx", sum(count for status, count in self.statuses.items() if 400 <= status < 500))
        record("typed_5xx", sum(count for status, count in self.statuses.items() if status >= 500) - len(self.problems))


def sent(case: schemathesis.Case, session: requests.Session, service: RunningService) -> requests.Response:
    """Return the response to a case."""
    return session.request(
        **case.as_transport_kwargs(base_url=service.url, headers=service.headers()), timeout=TIMEOUT_S
    )


def fuzz(operation: Any, mode: GenerationMode, *, examples: int, service: RunningService, seen: Seen) -> None:
    """Ask for one operation with fields that fit its description, or that do not."""

    @settings(STEADY, max_examples=examples)
    @given(case=operation.as_strategy(mode))
    def every(case: schemathesis.Case) -> None:
        seen.look(operation.label, lambda: sent(tamed(case), seen.session, service))

    with suppress(Unsatisfiable):  # nothing that this operation takes could be wrong
        every()


@pytest.mark.campaign
def test_whatever_the_page_describes_gets_a_typed_answer(service: RunningService, record_property: Record) -> None:
    """Every operation with fitting and with unfitting fields: no unexpected error, and each error has its shape."""
    schema = schemathesis.openapi.from_url(f"{service.url}/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    examples = max(1, campaign_examples(320, times=70) // (2 * len(operations)))
    seen = Seen()
    for operation in operations:
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            fuzz(operation, mode, examples=examples, service=service, seen=seen)
    seen.tell(record_property)
    assert seen.problems == []
    assert len(operations) > 20
    assert seen.statuses[200] > 0
    assert seen.statuses[422] > 0


POSTED = ("/answer", "/context", "/ingest", "/batch", "/feedback", "/v1/chat/completions")
PATHS = (*POSTED, "/documents/a", "/cache", "/x")
KINDS = (
    "application/json",
    "multipart/form-data; boundary=b",
    "text/plain",
    "application/x-www-form-urlencoded",
    "é;=",
)
PIECES = (
    '{"question":',
    '"a"',
    "}",
    "[",
    "NaN",
    "1e999",
    '"\\ud800"',
    "\0",
    "--b\r\n",
    "\r\n\r\n",
    "--b--",
    "null",
    ",",
)
BODIES = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from(PIECES), max_size=8).map(lambda parts: "".join(parts).encode()),
    st.integers(1, 3_000).map(lambda depth: b'{"question":' + b"[" * depth),
)


@pytest.mark.campaign
def test_bytes_that_are_no_request_get_a_typed_answer(service: RunningService, record_property: Record) -> None:
    """Any body under any content type to any path and method ends in an answer or in a problem."""
    seen = Seen()

    @settings(STEADY, max_examples=campaign_examples(100, times=80))
    @given(
        st.sampled_from(("POST", "GET", "PUT", "DELETE", "PATCH")),
        st.sampled_from(PATHS),
        st.sampled_from(KINDS),
        BODIES,
    )
    def every(method: str, path: str, kind: str, body: bytes) -> None:
        headers = {**service.headers(), "Content-Type": kind.encode().decode("latin-1")}
        seen.look(
            f"{method} {path} {kind} {body[:60]!r}",
            lambda: seen.session.request(method, service.url + path, data=body, headers=headers, timeout=TIMEOUT_S),
        )

    every()
    seen.tell(record_property)
    assert seen.problems == []
    assert seen.statuses.total() > 0


def response(status: int, body: str, *, kind: str = "application/problem+json", path: str = "/answer") -> Any:
    """Return a response as the client sees it."""
    made = requests.Response()
    made.status_code, made._content, made.url = status, body.encode(), f"http://service{path}"
    made.headers["content-type"] = kind
    return made


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        (response(200, "anything", kind="text/plain"), False),
        (response(503, '{"code": "overloaded", "request_id": "a"}'), False),
        (response(500, '{"code": "internal_error", "request_id": "a"}'), True),
        (response(422, '{"detail": []}', kind="application/json"), True),
        (response(502, "<html>"), True),
        (response(404, '{"error": {"code": "a", "request_id": "a"}}', kind="application/json", path="/v1/x"), False),
        (response(200, 'event: error\ndata: {"code": "internal_error"}', kind="text/event-stream"), True),
    ],
)
def test_what_is_wrong_is_recognised(found: requests.Response, *, wrong: bool) -> None:
    """An unexpected error, whole or in a stream, and an error without its shape."""
    assert bool(wrong_with(found)) == wrong
