"""Keys over HTTP: the list of a tenant, and a new secret for those that the caller may be handed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from indexes.access import EVERYTHING, Reader
from ragopt.api.keys import KeyList, KeyRotated
from tests.ragopt.api.fakes import KEY, OTHER_KEY, QUERY_KEY, Served

ALL, QUERY, INGEST = "acme-ingest-query-admin", "acme-query", "acme-ingest"


def rotated(http: Served, key_id: str, *, key: str, **body: float) -> tuple[int, str]:
    """Return the status and the code of a rotation, or the new secret."""
    response = http.post(f"/keys/{key_id}/rotate", body, key=key)
    content = response.json()
    if response.is_success:
        assert response.headers["cache-control"] == "no-store"
        return response.status_code, KeyRotated.model_validate(content).key
    return response.status_code, content["code"]


def test_an_admin_lists_the_keys_of_its_tenant(http: Served) -> None:
    """Without any secret; another tenant's keys are not among them, and other scopes may not look."""
    listed = KeyList.model_validate(http.get("/keys").json())
    assert {key.id for key in listed.keys} == {ALL, QUERY, INGEST}
    assert [len(key.secrets) for key in listed.keys] == [1, 1, 1]
    assert "digest" not in http.get("/keys").text
    assert http.get("/keys", key=QUERY_KEY).status_code == 403
    assert [key["id"] for key in http.get("/keys", key=OTHER_KEY).json()["keys"]] == ["globex-ingest-query-admin"]


def test_an_admin_rotates_keys_of_its_tenant(http: Served) -> None:
    """Its own among them; nobody without `admin`, who may hold a stolen key, and nobody of another tenant."""
    assert rotated(http, QUERY, key=KEY, overlap_s=60) == (200, f"new secret of {QUERY}")
    assert rotated(http, ALL, key=KEY) == (200, f"new secret of {ALL}")
    assert rotated(http, QUERY, key=QUERY_KEY) == (403, "missing_scope")
    assert rotated(http, QUERY, key=OTHER_KEY) == (404, "not_found")
    assert rotated(http, "00000000", key=KEY) == (404, "not_found")
    (told, *_) = [event for event in http.service.audit.events if event.act == "key_rotated"]
    assert (told.actor.key_id, told.subject) == (ALL, QUERY)


@pytest.mark.parametrize("reader", [Reader.of(["group:hr"]), EVERYTHING])
def test_an_admin_is_not_handed_what_it_may_not_read(http: Served, reader: Reader) -> None:
    """A key with more groups than its own is for the operator to rotate."""
    known = http.service.keys.known
    known[QUERY_KEY] = replace(known[QUERY_KEY], reader=reader)
    assert rotated(http, QUERY, key=KEY) == (403, "missing_scope")
    known[KEY] = replace(known[KEY], reader=reader)
    assert rotated(http, QUERY, key=KEY)[0] == 200


def test_an_admin_is_not_handed_what_it_may_not_do(http: Served) -> None:
    """A key with a scope that the admin has not."""
    known = http.service.keys.known
    known[KEY] = replace(known[KEY], scopes=frozenset({"admin", "query"}))
    assert rotated(http, INGEST, key=KEY) == (403, "missing_scope")
    assert rotated(http, QUERY, key=KEY)[0] == 200


@pytest.mark.parametrize("overlap_s", [-1, 31 * 86_400, "1d"])
def test_an_overlap_is_a_number_of_seconds(http: Served, overlap_s: float) -> None:
    """From none to 30 days."""
    assert rotated(http, QUERY, key=KEY, overlap_s=overlap_s) == (422, "invalid_request")
