"""POST /batch and its neighbours: all requests are sound or nothing is begun, and every tenant sees its own."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ragopt.config import Settings
from ragopt.settings.traffic import LimitSettings
from ragopt.state.batch_records import BatchResult, Part
from tests.ragopt.api.fakes import INGEST_KEY, OTHER_KEY, QUERY_KEY, FakeService, Served, answer, served

ONE = {"custom_id": "a", "question": "What colour is the sky?"}
TWO = {"custom_id": "b", "question": "And the grass?", "collection": "garden", "labels": {"team": "green"}}


def post(http: Served, *requests: dict[str, object], **more: object) -> tuple[int, dict[str, object]]:
    """Return status and body of a batch that is posted."""
    response = http.post("/batch", {"requests": list(requests), **more})
    return response.status_code, response.json()


def test_a_batch_is_accepted_with_its_id(http: Served) -> None:
    """202 with where to look; each request keeps its own collection, and the batch's where it names none."""
    response = http.post("/batch", {"requests": [ONE, TWO], "collection": "sky", "deadline_s": 3600})
    body = response.json()
    assert (response.status_code, response.headers["location"]) == (202, f"/batch/{body['id']}")
    assert (body["status"], body["counts"]["total"], body["progress"]) == ("queued", 2, 0)
    assert body["deadline_at"] == "2023-11-14T23:13:20.000+00:00"
    kept = http.service.batches.store.items[body["id"]]
    asked = [(item.custom_id, item.question.collection, item.question.labels) for item in kept]
    assert asked == [("a", "sky", {}), ("b", "garden", {"team": "green"})]
    assert {item.question.tenant for item in kept} == {"acme"}
    assert len({item.question.answer_id for item in kept}) == 2


@pytest.mark.parametrize(
    ("requests", "status", "says"),
    [
        ([], 422, "/requests"),
        ([ONE, ONE], 422, "custom_id 'a' appears twice"),
        ([ONE, {**TWO, "model": "gpt-99"}], 422, "request 'b': No such model"),
        ([ONE, {**TWO, "question": "word " * 9_000}], 413, "request 'b': The question is over the limit"),
        ([ONE, {**TWO, "question": " "}], 422, "/requests/1/question"),
        ([ONE, {**TWO, "stream": True}], 422, "/requests/1/stream: This is not possible in a batch"),
        ([ONE, {**TWO, "conversation_id": "c"}], 422, "/requests/1/conversation_id: This is not possible in a batch"),
        ([ONE, {**TWO, "colour": "blue"}], 422, "/requests/1/colour"),
        ([{"question": "No id?"}], 422, "/requests/0/custom_id"),
        ([ONE, {**TWO, "collection": "nowhere"}], 404, "no collection 'nowhere'"),
    ],
)
def test_one_bad_request_refuses_the_batch_by_name(
    http: Served, requests: list[dict[str, object]], status: int, says: str
) -> None:
    """Whatever is wrong with one request, the answer names it and nothing is begun."""
    found, body = post(http, *requests)
    assert (found, says in str(body["detail"])) == (status, True), body
    assert http.service.batches.store.batches == {}


def test_more_requests_than_the_limit_are_refused(http: Served) -> None:
    """A batch over the configured size is refused as a whole."""
    status, body = post(http, *({**ONE, "custom_id": str(n)} for n in range(10_001)))
    assert (status, body["detail"]) == (422, "10001 requests; a batch holds at most 10000.")


def test_a_key_may_have_so_many_questions_open() -> None:
    """A batch that never fits is 422; one that does not fit now is 429 with a time to wait; other keys are free."""
    with served(FakeService(settings=Settings(limits=LimitSettings(batch_questions=3)))) as http:
        four = [{**ONE, "custom_id": str(n)} for n in range(4)]
        status, body = post(http, *four)
        assert (status, "a key may have 3 open in batches at once (batch_questions)" in str(body["detail"])) == (
            422,
            True,
        )
        assert post(http, ONE, TWO)[0] == 202
        refused = http.post("/batch", {"requests": [ONE, TWO]})
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert refused.headers["retry-after"] == "60"
        assert http.post("/batch", {"requests": [ONE, TWO]}, key=QUERY_KEY).status_code == 202


def test_a_repetition_with_the_same_key_makes_no_second_batch(http: Served) -> None:
    """The first batch is answered again; another body under the same key is a conflict."""
    first = http.post("/batch", {"requests": [ONE]}, Idempotency_Key="k1")
    again = http.post("/batch", {"requests": [ONE]}, Idempotency_Key="k1")
    other = http.post("/batch", {"requests": [TWO]}, Idempotency_Key="k1")
    assert first.json()["id"] == again.json()["id"]
    assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")


def test_another_tenants_batch_does_not_exist(http: Served) -> None:
    """Status, results and cancelling are 404 for another tenant, and its list is empty."""
    batch_id = post(http, ONE)[1]["id"]
    for path in (f"/batch/{batch_id}", f"/batch/{batch_id}/results"):
        assert http.get(path, key=OTHER_KEY).status_code == 404
    with http.client(OTHER_KEY) as client:
        assert client.delete(f"/batch/{batch_id}").status_code == 404
    assert http.get("/batch", key=OTHER_KEY).json() == {"batches": []}
    assert [item["id"] for item in http.get("/batch").json()["batches"]] == [batch_id]


def test_batches_need_the_scope_query(http: Served) -> None:
    """A key for ingest alone is refused."""
    assert http.post("/batch", {"requests": [ONE]}, key=INGEST_KEY).status_code == 403
    assert http.get("/batch", key=INGEST_KEY).status_code == 403


def test_progress_counts_what_the_providers_are_done_with(http: Served) -> None:
    """Results and what a provider reports as done, together; its batches are listed with their own ids."""
    batch_id = str(post(http, ONE, TWO, {**ONE, "custom_id": "c"}, {**ONE, "custom_id": "d"})[1]["id"])
    store = http.service.batches.store
    part = Part(0, "small", ("k1", "k2", "k3"), ("n1", "n2", "n3"), "sent", 1.0, "batch_1", done=2)
    counts = {"cache": 1, "prepared": 3}
    store.batches[batch_id] = replace(
        store.batches[batch_id], state="running", counts=counts, parts=(part,), cost_nano=1_500
    )
    body = http.get(f"/batch/{batch_id}").json()
    assert (body["progress"], body["cost_usd"], body["counts"]["answered"]) == (0.75, "0.0000015", 1)
    sent = {"model": "small", "id": "batch_1", "status": "sent", "requests": 3, "done": 2}
    assert body["provider_batches"] == [sent]


def test_results_are_json_lines_by_custom_id(http: Served) -> None:
    """A line for each request that has its result: the whole answer, or code and sentence of its error."""
    batch_id = str(post(http, ONE, TWO)[1]["id"])
    store = http.service.batches.store
    whole = answer(store.items[batch_id][0].question)
    store.done[batch_id] = [
        BatchResult("a", whole, "batch"),
        BatchResult("b", None, "none", ("provider_rejected", "openai: HTTP 400")),
    ]
    response = http.get(f"/batch/{batch_id}/results")
    assert response.headers["content-type"].startswith("application/jsonl")
    first, second = [json.loads(line) for line in response.text.splitlines()]
    assert (first["custom_id"], first["served"], first["response"]["answer"]) == ("a", "batch", whole.text)
    assert second["error"] == {"code": "provider_rejected", "detail": "openai: HTTP 400"}
    assert (second["custom_id"], second["response"]) == ("b", None)


def test_cancelling_is_accepted_until_the_batch_has_ended(http: Served) -> None:
    """202 while it runs; 200 and nothing changed once it has ended."""
    batch_id = str(post(http, ONE)[1]["id"])
    store = http.service.batches.store
    with http.client() as client:
        running = client.delete(f"/batch/{batch_id}")
        assert (running.status_code, running.json()["cancelling"]) == (202, True)
        store.batches[batch_id] = replace(store.batches[batch_id], state="done", cancelled=False, ended_at=1.0)
        ended = client.delete(f"/batch/{batch_id}")
    assert (ended.status_code, ended.json()["status"], ended.json()["cancelling"]) == (200, "done", False)
