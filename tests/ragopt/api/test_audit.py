"""What the endpoints tell the audit log: who, what, and with which documents."""

from __future__ import annotations

from ragopt.audit.events import Actor, AuditEvent, DocumentUse
from tests.ragopt.api.fakes import Served, eventually

DOCUMENT = {"documents": [{"id": "a", "text": "The sky is blue."}], "collection": "c"}
QUESTION = {"question": "Is the sky blue?"}


def told(http: Served, act: str) -> AuditEvent:
    """Return the only event of a kind."""
    (event,) = [event for event in http.service.audit.events if event.act == act]
    assert event.actor.tenant == "acme"
    return event


def test_an_answer_is_told_with_its_sources(http: Served) -> None:
    """Key, request, answer, passages with what is cited, model and decisions are told; plain and streamed alike."""
    for body in (QUESTION, {**QUESTION, "stream": True}):
        http.service.reset()
        response = http.post("/answer", body, X_Request_Id="r-1")
        event = told(http, "answer")
        assert (event.request_id, event.actor.key_id != "", event.subject in response.text) == ("r-1", True, True)
        assert event.documents
        assert {item.cited for item in event.documents} <= {True, False}
        assert event.spent is not None
        assert event.decisions is not None
        assert event.text is not None
        assert event.text.question == QUESTION["question"]


def test_passages_without_an_answer_are_told(http: Served) -> None:
    """Who reads passages alone is written down as well, without a model."""
    http.post("/context", QUESTION)
    event = told(http, "context")
    assert (event.spent, event.decisions) == (None, None)
    assert event.documents


def test_an_ingest_is_told(http: Served) -> None:
    """What became of each document is told, with its version."""
    http.post("/ingest", DOCUMENT)
    event = told(http, "ingest")
    assert (event.collection, event.documents) == ("c", (DocumentUse("a", 1, outcome="created"),))


def test_an_ingest_in_the_background_is_told_twice(http: Served) -> None:
    """The request names the job and the key, the job what it stored."""
    job_id = http.post("/ingest", {**DOCUMENT, "wait": False}).json()["job_id"]
    eventually(lambda: len(http.service.audit.events) == 2)
    queued, done = sorted(http.service.audit.events, key=lambda event: event.actor.key_id == "")
    assert {queued.subject, done.subject} == {job_id}
    assert [item.outcome for item in (*queued.documents, *done.documents)] == ["queued", "created"]
    assert done.actor == Actor("", "acme")


def test_deleting_and_releasing_are_told(http: Served) -> None:
    """Both name the document and its collection; a request that failed is not told."""
    http.post("/ingest", DOCUMENT)
    with http.client() as client:
        assert client.post("/documents/a/release?collection=c").status_code == 204
        assert client.delete("/documents/a?collection=c").status_code == 204
        assert client.delete("/documents/a?collection=c").status_code == 404
    for act in ("release", "delete"):
        event = told(http, act)
        assert (event.collection, event.documents) == ("c", (DocumentUse("a"),))


def test_a_batch_is_told_once(http: Served) -> None:
    """The batch is told with the number of its requests, its repetition is not."""
    requests = [{"custom_id": "one", **QUESTION}, {"custom_id": "two", **QUESTION}]
    first = http.post("/batch", {"requests": requests}, Idempotency_Key="k")
    http.post("/batch", {"requests": requests}, Idempotency_Key="k")
    event = told(http, "batch")
    assert event.subject in first.text
    assert event.count == 2
