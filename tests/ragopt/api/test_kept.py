"""DELETE /answers: what is kept for export is forgotten on request, by the own tenant alone."""

from __future__ import annotations

from ragopt.api.kept import AnswersForgotten
from tests.ragopt.api.fakes import OTHER_KEY, QUERY_KEY, Served


def test_one_answer_or_all_of_them_are_forgotten(http: Served) -> None:
    """With the scope admin; another tenant's answer is 404 and stays."""
    first = http.post("/answer", {"question": "Why?"}).json()["id"]
    with http.client(OTHER_KEY) as other:
        assert other.delete(f"/answers/{first}").status_code == 404
    with http.client(QUERY_KEY) as website:
        assert website.delete("/answers").status_code == 403
    with http.client() as client:
        assert client.delete(f"/answers/{first}").status_code == 204
        assert client.delete(f"/answers/{first}").status_code == 404
        http.post("/answer", {"question": "Why?"})
        assert AnswersForgotten.model_validate(client.delete("/answers").json()).deleted == 1


def test_ratings_and_deleted_documents_reach_what_is_kept(http: Served) -> None:
    """So that a disliked answer is not trained on, nor one from a document that is gone."""
    answer_id = http.post("/answer", {"question": "Why?"}).json()["id"]
    http.post("/feedback", {"answer_id": answer_id, "rating": "down"})
    assert http.service.keeper.store.ratings == [("acme", answer_id, False)]
    http.post("/ingest", {"documents": [{"id": "a/b", "text": "The sky is blue."}], "collection": "c"})
    with http.client() as client:
        client.delete("/documents/a%2Fb?collection=c")
    assert http.service.keeper.store.deleted == [("acme", "c", "a/b")]
