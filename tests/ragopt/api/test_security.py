"""Keys: no endpoint answers without one, each needs its scope, and the tenant is the key's."""

from __future__ import annotations

import threading

import httpx
import pytest

from ragopt.api.running import KNOWN_TENANTS, KnownTenants
from tests.ragopt.api.fakes import INGEST_KEY, KEY, OTHER_KEY, QUERY_KEY, Served, eventually

ENDPOINTS = [
    ("POST", "/ingest", "ingest"),
    ("GET", "/ingest/job-0", "ingest"),
    ("GET", "/documents", "query"),
    ("GET", "/documents/a", "query"),
    ("DELETE", "/documents/a", "ingest"),
    ("POST", "/context", "query"),
    ("POST", "/answer", "query"),
]
QUESTION = {"question": "Is the sky blue?"}
DOCUMENT = {"documents": [{"id": "a", "text": "The sky is blue."}]}


def send(http: Served, method: str, path: str, *, key: str | None) -> httpx.Response:
    """Return the response to a valid request."""
    body = None if method != "POST" else DOCUMENT if path == "/ingest" else QUESTION
    with http.client(key) as client:
        return client.request(method, path, json=body)


@pytest.mark.parametrize(("method", "path", "scope"), ENDPOINTS)
def test_endpoint_needs_a_key_with_its_scope(http: Served, method: str, path: str, scope: str) -> None:
    """Without a key or with a wrong one it is 401, with a key that lacks the scope 403, else neither."""
    poor, rich = (QUERY_KEY, INGEST_KEY) if scope == "ingest" else (INGEST_KEY, QUERY_KEY)
    refused = [send(http, method, path, key=key) for key in (None, "wrong", poor)]
    assert [(response.status_code, response.json()["code"]) for response in refused] == [
        (401, "invalid_api_key"),
        (401, "invalid_api_key"),
        (403, "missing_scope"),
    ]
    assert refused[0].headers["www-authenticate"].startswith("Bearer")
    assert send(http, method, path, key=rich).status_code not in (401, 403)


@pytest.mark.parametrize("header", ["", "Bearer", f"Basic {KEY}", KEY])
def test_only_a_bearer_header_counts(http: Served, header: str) -> None:
    """Another scheme, or none, is a missing key."""
    response = httpx.get(f"{http.url}/documents", headers={"Authorization": header}, trust_env=False)
    assert response.status_code == 401


def test_stranger_is_refused_before_the_body_is_read(http: Served) -> None:
    """Without a valid key even a broken body is 401: nothing of it was parsed."""
    with http.client("wrong") as client:
        response = client.post("/answer", content=b"{broken", headers={"Content-Type": "application/json"})
    assert response.status_code == 401


def test_tenant_comes_from_the_key_alone(http: Served) -> None:
    """One tenant's documents do not exist for another, and a tenant in the body is refused."""
    http.post("/ingest", DOCUMENT)
    assert http.get("/documents/a").status_code == 200
    assert http.get("/documents/a", key=OTHER_KEY).status_code == 404
    assert http.post("/answer", {**QUESTION, "tenant": "acme"}, key=OTHER_KEY).status_code == 422
    http.post("/answer", QUESTION, key=OTHER_KEY)
    assert [question.tenant for question in http.service.pipeline.asked] == ["globex"]


def test_job_of_another_tenant_is_404(http: Served) -> None:
    """A job can be asked for by its own tenant only."""
    job_id = http.post("/ingest", DOCUMENT).json()["job_id"]
    assert http.get(f"/ingest/{job_id}").status_code == 200
    assert http.get(f"/ingest/{job_id}", key=OTHER_KEY).status_code == 404


def test_history_loads_beside_the_check_of_a_known_key(http: Served) -> None:
    """The second time a key is seen, its conversation is read before the check is through, which shows as overlap."""
    asked = {**QUESTION, "conversation_id": "c1"}
    http.post("/answer", asked)
    http.service.keys.gate = threading.Event()
    reads_before = len(http.service.conversations.reads)
    answers: list[httpx.Response] = []
    waiting = threading.Thread(target=lambda: answers.append(http.post("/answer", asked)))
    waiting.start()
    eventually(lambda: len(http.service.conversations.reads) > reads_before)
    assert answers == []
    http.service.keys.gate.set()
    waiting.join(10)
    timings = answers[0].json()["timings_ms"]
    assert {"auth", "history"} <= timings.keys()
    assert timings["overlap"] > 0


def test_key_that_was_revoked_meanwhile_gets_no_answer(http: Served) -> None:
    """A key that passed before is checked again each time; the conversation read for it is dropped."""
    asked = {**QUESTION, "conversation_id": "c1"}
    http.post("/answer", asked)
    del http.service.keys.known[KEY]
    assert http.post("/answer", asked).status_code == 401
    assert len(http.service.pipeline.asked) == 1


def test_key_that_changed_hands_reads_its_own_conversation(http: Served) -> None:
    """If a key belongs to another tenant than last time, the history read on the guess is not used."""
    asked = {**QUESTION, "conversation_id": "c1"}
    http.post("/answer", asked)
    http.service.keys.known[KEY] = http.service.keys.known[OTHER_KEY]
    http.post("/answer", asked)
    assert [question.history for question in http.service.pipeline.asked] == [(), ()]
    assert http.service.conversations.reads[-1] == "globex"


def test_known_tenants_are_bounded() -> None:
    """The memory of keys that passed does not grow without end, and holds no key in plain text."""
    known = KnownTenants()
    for n in range(KNOWN_TENANTS + 1):
        known.remember(f"key-{n}", "acme")
    assert (known.guess("key-0"), known.guess("key-1"), known.guess(f"key-{KNOWN_TENANTS}")) == (None, "acme", "acme")
