"""GET and DELETE /conversations/{id}."""

from __future__ import annotations

from tests.ragopt.api.fakes import INGEST_KEY, OTHER_KEY, Served

QUESTION = {"question": "Is the sky blue?", "conversation_id": "a/c1"}


def test_conversation_can_be_read_back_and_deleted(http: Served) -> None:
    """Its own tenant reads the turns and the summary of the oldest, and forgets them."""
    answers = [http.post("/answer", QUESTION).json()["answer"] for _ in range(2)]
    said = [(("user", QUESTION["question"]), ("assistant", answer)) for answer in answers]
    whole = {
        "conversation_id": "a/c1",
        "turns": [{"role": role, "content": text} for pair in said for role, text in pair],
        "older_turns": 0,
        "summary": {"blocks": ["- user: Hello."], "turns": 2, "version": 1},
    }
    assert http.get("/conversations/a%2Fc1").json() == whole
    with http.client() as client:
        assert client.delete("/conversations/a/c1").status_code == 204
        assert client.delete("/conversations/a/c1").status_code == 404
    assert http.get("/conversations/a/c1").json()["code"] == "not_found"


def test_conversation_of_another_tenant_is_not_there(http: Served) -> None:
    """To another tenant, and without the scope, there is nothing to read or delete."""
    http.post("/answer", QUESTION)
    for key, status in ((OTHER_KEY, 404), (INGEST_KEY, 403), ("unknown", 401)):
        with http.client(key) as client:
            assert client.get("/conversations/a/c1").status_code == status
            assert client.delete("/conversations/a/c1").status_code == status
    assert http.get("/conversations/a/c1").is_success
