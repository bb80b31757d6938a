"""POST /feedback, GET /cache and DELETE /cache: of the own tenant, and never looser than the operator."""

from __future__ import annotations

import pytest

from ragopt.api.cache import CacheLearned
from ragopt.api.schemas import CacheCleared, FeedbackOut
from ragopt.stages.cache.acceptance import Acceptance, wrong_share
from ragopt.stages.cache.levels import Known
from tests.ragopt.api.fakes import INGEST_KEY, OTHER_KEY, QUERY_KEY, Served


def answered(http: Served) -> str:
    """Return the id of an answer that the tenant was given."""
    return str(http.post("/answer", {"question": "Why?", "collection": "c"}).json()["id"])


@pytest.mark.parametrize(("sent", "kept"), [("up", "up"), (1, "up"), ("down", "down"), (-1, "down")])
def test_an_answer_is_rated(http: Served, sent: str | int, kept: str) -> None:
    """In words or as plus and minus one, with a comment; what is rated down is forgotten."""
    body = {"answer_id": answered(http), "rating": sent, "comment": "thanks"}
    response = http.post("/feedback", body)
    assert FeedbackOut.model_validate(response.json()).rating == kept
    assert http.service.feedback.rated == [(body["answer_id"], kept, "thanks")]
    forgotten = [("acme", "c", "entry-1", 0.9)] if kept == "down" else []
    assert http.service.cache.disliking == forgotten
    assert http.service.experiments.ratings == [(body["answer_id"], kept == "up")]


def test_only_who_was_given_an_answer_rates_it(http: Served) -> None:
    """Another tenant's answer and one that never was are the same 404."""
    body = {"answer_id": answered(http), "rating": "down"}
    with http.client(OTHER_KEY) as other:
        assert other.post("/feedback", json=body).status_code == 404
    assert http.post("/feedback", {**body, "answer_id": "ans_none"}).status_code == 404
    assert (http.service.feedback.rated, http.service.cache.disliking) == ([], [])


@pytest.mark.parametrize("rating", ["good", 0, 5, False, None, "1", 1.5])
def test_any_other_rating_is_refused(http: Served, rating: object) -> None:
    """Nothing is guessed from a scale that is not ours."""
    assert http.post("/feedback", {"answer_id": answered(http), "rating": rating}).status_code == 422


def test_what_a_collection_has_taught_is_shown(http: Served) -> None:
    """Each bound with its level, the labels above it and the limits of what is wrong; nulls where there is none."""
    level = Acceptance(0.8, wrong_share(0, 72), 72)
    http.service.cache.known = Known(0.0, 150, {0.05: level, 0.025: None})
    with http.client(INGEST_KEY) as client:
        found = CacheLearned.model_validate(client.get("/cache", params={"collection": "c"}).json())
        assert (found.semantic, found.labels) == (True, 150)
        first, second = found.levels
        assert (first.max_wrong, first.level, first.labels) == (0.05, 0.8, 72)
        assert first.wrong is not None
        assert (first.wrong.value, first.wrong.low, first.wrong.high) == (0.0, 0.0, pytest.approx(0.05, abs=0.001))
        assert (second.max_wrong, second.level, second.labels, second.wrong) == (0.025, None, 0, None)
        other = client.get("/cache").json()
        assert other == {"collection": "default", "semantic": False, "labels": 0, "levels": []}
    with http.client(QUERY_KEY) as client:
        assert client.get("/cache").status_code == 403


def test_a_tenant_empties_its_cache(http: Served) -> None:
    """All of it or one collection; that takes the scope to ingest."""
    with http.client(INGEST_KEY) as client:
        assert CacheCleared.model_validate(client.delete("/cache").json()).deleted == 3
        client.delete("/cache", params={"collection": "c"})
    assert http.service.cache.cleared == [("acme", None), ("acme", "c")]
    with http.client(QUERY_KEY) as client:
        assert client.delete("/cache").status_code == 403
    assert len(http.service.cache.cleared) == 2


def test_a_request_says_what_it_asks_of_the_cache(http: Served) -> None:
    """Whether other words may be answered, and how many of those may be wrong; unset: as the operator says."""
    http.post("/answer", {"question": "Why?"})
    http.post("/answer", {"question": "Why?", "cache_policy": {"semantic": False, "max_wrong": 0.01}})
    asked = [(question.cache_similar, question.cache_max_wrong) for question in http.service.pipeline.asked]
    assert asked == [(True, 1.0), (False, 0.01)]


@pytest.mark.parametrize(
    "policy", [{"max_wrong": 0}, {"max_wrong": 1}, {"max_wrong": -1}, {"mode": "on"}, {"semantic": 1}]
)
def test_a_policy_that_says_nothing_is_refused(http: Served, policy: dict[str, object]) -> None:
    """A bound lies between 0 and 1, and there are two fields."""
    assert http.post("/answer", {"question": "Why?", "cache_policy": policy}).status_code == 422
