"""POST /ingest and GET /ingest/{job_id}: JSON and files, now and in the background, once and repeated."""

from __future__ import annotations

import threading
from typing import Any

import httpx
import pytest

from indexes.errors import StoreUnavailable
from indexes.loading import content_id
from ragopt.api.document_schemas import IngestResponse
from ragopt.errors import StateUnavailable
from tests.ragopt.api.fakes import Served, eventually

TWO = {"documents": [{"id": "a", "text": "The sky is blue.", "title": "Sky", "metadata": {"n": 1}}, {"text": "Grass."}]}


def send_files(http: Served, files: list[tuple[str, tuple[str, bytes]]], **fields: str) -> httpx.Response:
    """Return the response to a form."""
    with http.client() as client:
        return client.post("/ingest", files=files, data=fields)


def test_documents_are_stored(http: Served) -> None:
    """The answer lists what became of each document, and its job can be asked for afterwards."""
    content = http.post("/ingest", {**TWO, "collection": "c"}).json()
    IngestResponse.model_validate(content)
    assert content["status"] == "done"
    derived = content_id("Grass.")
    assert [(item["id"], item["status"]) for item in content["documents"]] == [("a", "created"), (derived, "created")]
    stored = http.service.library.stored["acme", "c", "a"]
    assert (stored.title, stored.metadata) == ("Sky", {"n": 1})
    found = http.get(f"/ingest/{content['job_id']}").json()
    IngestResponse.model_validate(found)
    assert found["documents"] == content["documents"]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"documents": []},
        {"documents": [{"id": "a"}]},
        {"documents": [{"id": "a", "text": 5}]},
        {"documents": [{"id": "", "text": "x"}]},
        {"documents": [{"id": "a\x00b", "text": "x"}]},
        {"documents": [{"id": "a" * 513, "text": "x"}]},
        {"documents": [{"id": "a", "text": "x", "metadata": {"k": [1]}}]},
        {"documents": [{"id": "a", "text": "x", "metadata": {"k": None}}]},
        {"documents": [{"id": "a", "text": "x"}, {"id": "a", "text": "y"}]},
        {"documents": [{"id": "a", "text": "x"}], "wait": "no"},
        {"documents": [{"id": "a", "text": "x"}], "collection": "a/b"},
        {"documents": [{"id": "a", "text": "x"}], "tenant": "globex"},
        [],
    ],
    ids=str,
)
def test_wrong_request_stores_nothing(http: Served, wrong: Any) -> None:
    """A request that is wrong in any part is refused as a whole."""
    response = http.post("/ingest", wrong)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert http.service.library.stored == {}


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b"NaN,", b""])
def test_broken_json_is_400(http: Served, body: bytes) -> None:
    """A body that is not JSON in UTF-8 is a 400 of its own code."""
    with http.client() as client:
        response = client.post("/ingest", content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (400, "invalid_json")


def test_one_failed_document_leaves_the_others(http: Served) -> None:
    """A document that cannot be stored is a failed result; the others are stored."""
    documents = [{"id": "a", "text": "x"}, {"id": "b", "text": " "}, {"id": "c", "text": "\ud800"}]
    response = http.post("/ingest", {"documents": documents})
    assert response.status_code == 200
    found = response.json()["documents"]
    assert [item["status"] for item in found] == ["created", "failed", "failed"]
    assert [item["error"] and item["error"]["code"] for item in found] == [None, "empty_text", "invalid_text"]


def test_only_failed_documents_are_a_problem(http: Served) -> None:
    """If nothing could be stored the answer is a problem with the first code, and every failure is listed."""
    documents = [{"id": "b", "text": " "}, {"id": "c", "text": "\ud800"}]
    response = http.post("/ingest", {"documents": documents})
    content = response.json()
    assert (response.status_code, content["code"]) == (422, "empty_text")
    assert [item["code"] for item in content["errors"]] == ["empty_text", "invalid_text"]


def test_files_are_ingested(http: Served) -> None:
    """Files of a form are documents named as their files; fields set collection and wait."""
    files = [("file", ("notes.md", b"# Notes\n\nThe sky is blue.")), ("other", ("a.txt", b"Grass is green."))]
    response = send_files(http, files, collection="c", wait="true")
    assert [item["id"] for item in response.json()["documents"]] == ["notes.md", "a.txt"]
    assert http.service.library.stored["acme", "c", "notes.md"].title == "Notes"


def test_unreadable_file_fails_alone(http: Served) -> None:
    """A file that is not what it says, or of a type nothing reads, is a failed result in its place."""
    files = [("f", ("x.exe", b"MZ")), ("f", ("a.txt", b"Grass is green.")), ("f", ("b.pdf", b"no pdf"))]
    found = send_files(http, files).json()["documents"]
    codes = [item["error"] and item["error"]["code"] for item in found]
    assert codes == ["unsupported_format", None, "unreadable_document"]
    alone = send_files(http, files[:1])
    assert (alone.status_code, alone.json()["code"]) == (415, "unsupported_format")


@pytest.mark.parametrize(
    ("fields", "files"),
    [
        ({"wait": "maybe"}, [("f", ("a.txt", b"x"))]),
        ({"collection": "a/b"}, [("f", ("a.txt", b"x"))]),
        ({"tenant": "globex"}, [("f", ("a.txt", b"x"))]),
        ({}, [("f", ("a.txt", b"x")), ("f", ("a.txt", b"y"))]),
    ],
)
def test_wrong_form_is_422(http: Served, fields: dict[str, str], files: list[tuple[str, tuple[str, bytes]]]) -> None:
    """An unknown field, a wrong value or two files of one name are refused, and nothing is stored."""
    response = send_files(http, files, **fields)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert http.service.library.stored == {}


def test_broken_form_is_refused(http: Served) -> None:
    """A multipart body without its boundary is a 400."""
    with http.client() as client:
        response = client.post("/ingest", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert response.status_code == 400


def test_background_job_runs_to_its_end(http: Served) -> None:
    """With `wait` false the answer is 202 at once, and the job ends with the same results."""
    http.service.library.gate = threading.Event()
    response = http.post("/ingest", {**TWO, "wait": False})
    content = response.json()
    assert (response.status_code, content["status"], content["documents"]) == (202, "queued", [])
    place = response.headers["location"]
    eventually(lambda: http.get(place).json()["status"] == "running")
    http.service.library.gate.set()
    eventually(lambda: http.get(place).json()["status"] == "done")
    done = http.get(place).json()
    assert [item["status"] for item in done["documents"]] == ["created", "created"]
    assert (done["chunks_done"], done["chunks_total"]) == (2, 2)


def test_background_job_names_files_that_failed_already(http: Served) -> None:
    """A file that cannot be read is reported in the 202; with no other file it is the problem itself."""
    bad, good = ("f", ("x.exe", b"MZ")), ("f", ("a.txt", b"Grass is green."))
    response = send_files(http, [bad, good], wait="false")
    assert (response.status_code, [item["id"] for item in response.json()["documents"]]) == (202, ["x.exe"])
    assert send_files(http, [bad], wait="false").status_code == 415


def test_failed_job_says_why(http: Served) -> None:
    """A job whose ingest fails as a whole ends as failed, with the reason."""
    http.service.library.failure = StoreUnavailable("the disk is full")
    place = http.post("/ingest", {**TWO, "wait": False}).headers["location"]
    eventually(lambda: http.get(place).json()["status"] == "failed")
    assert http.get(place).json()["error"] == "retrieval_unavailable: the disk is full"


def test_failure_of_the_index_is_503(http: Served) -> None:
    """If the index does not answer, nothing is said to be stored."""
    http.service.library.failure = StoreUnavailable("down")
    assert http.post("/ingest", TWO).status_code == 503


def test_repetition_gets_the_first_response(http: Served) -> None:
    """The same key with the same body is answered from memory, and ingests nothing again."""
    first = http.post("/ingest", TWO, Idempotency_Key="k1")
    http.service.library.stored.clear()
    second = http.post("/ingest", TWO, Idempotency_Key="k1")
    assert (second.json(), second.status_code) == (first.json(), 200)
    assert second.headers["idempotency-replayed"] == "true"
    assert http.service.library.stored == {}
    assert "idempotency-replayed" not in first.headers


def test_repeated_form_is_recognised(http: Served) -> None:
    """Two forms with the same files are the same request, though their boundaries differ; other files are not."""
    with http.client() as client:
        responses = [
            client.post("/ingest", files={"f": ("a.txt", data)}, headers={"Idempotency-Key": "k"})
            for data in (b"one", b"one", b"two")
        ]
    assert [response.status_code for response in responses] == [200, 200, 409]
    assert responses[1].headers["idempotency-replayed"] == "true"


def test_key_with_another_body_is_a_conflict(http: Served) -> None:
    """The same key with another body is 409, and a key that is no plain text is 422."""
    http.post("/ingest", TWO, Idempotency_Key="k1")
    other = http.post("/ingest", {"documents": [{"id": "z", "text": "z"}]}, Idempotency_Key="k1")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert http.post("/ingest", TWO, Idempotency_Key="k" * 300).status_code == 422


@pytest.mark.parametrize("failure", [StoreUnavailable("down"), ZeroDivisionError()])
def test_failed_request_may_be_sent_again(http: Served, failure: Exception) -> None:
    """A failure is not kept: the same key and body work once the cause is gone."""
    http.service.library.failure = failure
    assert http.post("/ingest", TWO, Idempotency_Key="k1").status_code >= 500
    http.service.library.failure = None
    assert http.post("/ingest", TWO, Idempotency_Key="k1").status_code == 200


def test_ingest_goes_on_without_its_record(http: Served) -> None:
    """While Redis is down documents are stored all the same; only the job cannot be asked for."""
    http.service.jobs.failure = StateUnavailable("down")
    response = http.post("/ingest", TWO)
    assert (response.status_code, response.json()["status"]) == (200, "done")
    assert http.post("/ingest", {**TWO, "wait": False}).status_code == 503
