"""Documents by URL over HTTP: fetched where that is on, each failing alone."""

from __future__ import annotations

import pytest

from tests.ragopt.api.fakes import Served, eventually
from tests.ragopt.fetching.web import Page, Resolver, served

PAGES = {
    "/handbook": Page(b"<title>Handbook</title><p>The office closes at ten.</p>"),
    "/notes.md": Page(b"# Notes\n\nThe gate is green.", "text/markdown"),
    "/blank": Page(b" ", "text/plain"),
    "/moved": Page(status=302, headers={"Location": "/notes.md"}),
}


def test_a_url_stands_in_the_place_of_a_text(http: Served) -> None:
    """Id, title, metadata and list are the request's where it has them; what fails does so alone."""
    with served(PAGES) as web:
        http.service.fetch = web.fetcher(Resolver(inside_example=[["10.0.0.1"]]))
        documents = [
            {"id": "sent", "text": "A text."},
            {"url": web.url("/handbook"), "metadata": {"team": "hr"}, "access": ["group:hr"]},
            {"id": "notes", "title": "My notes", "url": web.url("/moved")},
            {"id": "gone", "url": web.url("/gone")},
            {"id": "inside", "url": web.url("/", host="inside.example")},
            {"id": "blank", "url": web.url("/blank")},
        ]
        answered = http.post("/ingest", {"documents": documents, "collection": "c"}).json()["documents"]
        kept = {key[2]: document for key, document in http.service.library.stored.items()}
        page, notes = web.url("/handbook"), web.url("/notes.md")
    assert [item["status"] for item in answered[:3]] == ["created"] * 3
    assert {item["id"]: item["error"]["code"] for item in answered[3:]} == {
        "gone": "url_unreachable",
        "inside": "url_refused",
        "blank": "empty_text",
    }
    assert set(kept) == {"sent", page, "notes"}
    assert (kept[page].title, kept[page].metadata, kept[page].access) == ("Handbook", {"team": "hr"}, ("group:hr",))
    assert "closes at ten" in kept[page].text
    assert (kept["notes"].title, kept["notes"].provenance["url"]) == ("My notes", notes)
    assert "url" not in kept["sent"].provenance


def test_a_long_url_has_a_short_id(http: Served) -> None:
    """An id has at most 512 characters; the same URL has the same one."""
    long = f"/handbook?{'x' * 600}"
    with served({long: PAGES["/handbook"]}) as web:
        http.service.fetch = web.fetcher()
        body = {"documents": [{"url": web.url(long)}], "collection": "c"}
        first, again = (http.post("/ingest", body).json()["documents"][0]["id"] for _ in range(2))
    assert first == again
    assert first.startswith("sha256:")


def test_what_a_background_ingest_fetches_is_queued(http: Served) -> None:
    """The document is fetched before the 202, so the queue holds its text."""
    with served(PAGES) as web:
        http.service.fetch = web.fetcher()
        body = {"documents": [{"id": "h", "url": web.url("/handbook")}], "collection": "c", "wait": False}
        assert http.post("/ingest", body).status_code == 202
    eventually(lambda: ("acme", "c", "h") in http.service.library.stored)


def test_it_is_off_by_default(http: Served) -> None:
    """Nothing of a request with a URL is stored or fetched."""
    with served(PAGES) as web:
        documents = [{"id": "sent", "text": "A text."}, {"id": "h", "url": web.url("/handbook")}]
        refused = http.post("/ingest", {"documents": documents})
        assert (refused.status_code, refused.json()["code"], web.asked) == (403, "url_ingest_off", [])
    assert http.service.library.stored == {}


def test_a_request_of_urls_that_all_fail_fails(http: Served) -> None:
    """With the code of the first one, and each one's reason."""
    with served(PAGES) as web:
        http.service.fetch = web.fetcher()
        failed = http.post("/ingest", {"documents": [{"id": "gone", "url": web.url("/gone")}]})
        too_many = http.post("/ingest", {"documents": [{"url": web.url(f"/{n}")} for n in range(101)]})
    assert (failed.status_code, failed.json()["code"]) == (424, "url_unreachable")
    assert (too_many.status_code, too_many.json()["code"]) == (422, "url_refused")


@pytest.mark.parametrize("document", [{"id": "a"}, {"id": "a", "text": "x", "url": "http://docs.example/"}])
def test_a_document_has_a_text_or_a_url(http: Served, document: dict[str, str]) -> None:
    """Neither or both is refused."""
    refused = http.post("/ingest", {"documents": [document]})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert "text or url" in refused.json()["detail"]
