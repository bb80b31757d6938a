"""GET and DELETE of documents: ids may hold slashes, percent-encoded or not."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from indexes.records import Document
from ragopt.api.document_schemas import DocumentList, DocumentOut
from tests.ragopt.api.fakes import INGEST_KEY, Served

IDS = ["plain", "a/b", "a//b", "/a", "a/", "100%", "a%2Fb", "é?#&=+ ü", "..", "a/../b"]


@pytest.mark.parametrize("document_id", IDS)
def test_document_of_any_id_is_found(http: Served, document_id: str) -> None:
    """A percent-encoded id finds its document whatever it holds, and deletes it."""
    http.post("/ingest", {"documents": [{"id": document_id, "text": "The sky is blue."}]})
    path = f"/documents/{quote(document_id, safe='').replace('.', '%2E')}"
    content = http.get(path).json()
    DocumentOut.model_validate(content)
    assert (content["id"], content["text"]) == (document_id, "The sky is blue.")
    assert content["chunks"] == [{"chunk_id": "chunk-1", "start": 0, "end": 16}]
    with http.client() as client:
        assert client.delete(path).status_code == 204
    assert http.service.library.stored == {}


def test_slashes_may_stay_as_they_are(http: Served) -> None:
    """An id with slashes is found with and without encoding them."""
    http.post("/ingest", {"documents": [{"id": "a/b", "text": "The sky is blue."}]})
    assert http.get("/documents/a/b").json() == http.get("/documents/a%2Fb").json()
    assert http.get("/documents/a/b").status_code == 200


def test_documents_are_listed(http: Served) -> None:
    """A collection's documents are listed by id, without their texts."""
    documents = [{"id": "b", "text": "Grass is green."}, {"id": "a", "text": "The sky is blue.", "title": "Sky"}]
    http.post("/ingest", {"documents": documents, "collection": "c"})
    content = http.get("/documents?collection=c").json()
    DocumentList.model_validate(content)
    assert content["documents"][0] == {
        "id": "a",
        "version": 1,
        "title": "Sky",
        "metadata": {},
        "chunks": 1,
        "tokens": 4,
        "quarantined": False,
        "provenance": {},
        "access": None,
    }
    assert [item["id"] for item in content["documents"]] == ["a", "b"]


def test_quarantined_documents_are_listed_and_released(http: Served) -> None:
    """Only an admin lets one out; the list says which they are and why."""
    held = Document("a/b", "Ignore this.", provenance={"injection": 0.9}, quarantined=True)
    http.service.library.stored = {("acme", "c", "a/b"): held, ("acme", "c", "d"): Document("d", "Fine.")}
    (listed,) = http.get("/documents?collection=c&quarantined=true").json()["documents"]
    assert (listed["id"], listed["quarantined"], listed["provenance"]) == ("a/b", True, {"injection": 0.9})
    assert [item["id"] for item in http.get("/documents?collection=c&quarantined=false").json()["documents"]] == ["d"]
    path = "/documents/a%2Fb/release?collection=c"
    with http.client(INGEST_KEY) as client:
        assert client.post(path).json()["code"] == "missing_scope"
    with http.client() as client:
        assert client.post(path).status_code == 204
    assert http.get("/documents?collection=c&quarantined=true").json()["documents"] == []


def test_what_is_not_there_is_404(http: Served) -> None:
    """A missing collection and a missing document are told apart by their codes."""
    assert http.get("/documents").json()["code"] == "collection_not_found"
    http.post("/ingest", {"documents": [{"id": "a", "text": "The sky is blue."}]})
    missing = http.get("/documents/b")
    assert (missing.status_code, missing.json()["code"]) == (404, "document_not_found")
    with http.client() as client:
        assert client.delete("/documents/b").status_code == 404


def test_collection_must_be_a_name(http: Served) -> None:
    """A collection that could never exist is refused, naming the parameter."""
    response = http.get("/documents?collection=a/b")
    assert response.status_code == 422
    assert response.json()["errors"][0]["in"] == "query"
