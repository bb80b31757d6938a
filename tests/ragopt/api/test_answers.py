"""POST /context and POST /answer: what goes in reaches the pipeline, what comes out is the contract's."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from decimal import Decimal
from itertools import groupby
from typing import Any

import httpx
import pytest

from indexes.errors import CollectionNotFound, StoreUnavailable
from ragopt.api.schemas import AnswerResponse, ContextResponse
from ragopt.config import Settings
from ragopt.domain import TECHNIQUES, Turn
from ragopt.errors import BudgetSpent, BudgetUnreachable, ConversationUnavailable, IncompleteStream
from ragopt.settings.collections import CollectionSettings
from ragopt.settings.models import ModelSettings
from ragopt.state.key_records import SCOPES
from tests.ragopt.api.fakes import KEY, TEXT, FakeService, Served, api_key, events_of, eventually, served

QUESTION = {"question": "Is the sky blue?"}
# Two clocks are read one after the other.
CLOCK_GRAIN_S = 0.001


def test_context_has_the_contract_s_fields(http: Served) -> None:
    """/context returns the packed passages and the timings, exactly in the documented form."""
    content = http.post("/context", {**QUESTION, "token_budget": 400, "top_k": 7}).json()
    ContextResponse.model_validate(content, strict=False)
    assert (content["question"], content["token_budget"]) == ("Is the sky blue?", 400)
    assert content["passages"][0]["text"] == TEXT
    assert {"auth", "retrieve", "total"} <= content["timings_ms"].keys()
    defaults = http.service.settings.knobs()
    assert http.service.pipeline.asked[0].knobs == replace(defaults, context_tokens=400, top_k=7)


@pytest.mark.parametrize("path", ["/context", "/answer"])
def test_a_larger_token_budget_than_the_setting_is_a_named_one(http: Served, path: str) -> None:
    """Only who asks for more than the service gives by itself may pass a price edge by it."""
    default = http.service.settings.context_tokens
    for tokens in (default + 1, default, None):
        http.post(path, {**QUESTION, "token_budget": tokens})
    assert [asked.budget_named for asked in http.service.pipeline.asked] == [True, False, False]


def test_answer_has_the_contract_s_fields(http: Served) -> None:
    """/answer returns the whole object, with money as plain decimals, the savings' too."""
    content = http.post("/answer", QUESTION).json()
    AnswerResponse.model_validate(content, strict=False)
    assert content["answer"] == "The sky is blue [1]. Grass is green [1]."
    assert content["usage"]["cost_usd"] == "0.0000001"
    assert content["cache"] == {"status": "miss", "kind": None, "similarity": None, "age_s": None}
    assert content["savings"]["baseline_cost_usd"] == "0.002"
    assert content["savings"]["saved_usd"] == "0.0019999"
    assert list(content["savings"]["by_technique"]) == list(TECHNIQUES)
    assert content["savings"]["by_technique"]["retries"] == "-0.0000001"
    assert [item["quote"] for item in content["citations"]] == ["The sky is blue.", None]


def test_every_field_reaches_the_pipeline(http: Served) -> None:
    """What a request says decides the question that the pipeline gets; the answer is never longer than allowed."""
    history = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
    body = {**QUESTION, "history": history, "collection": "c", "model": "extractive", "max_output_tokens": 99_999}
    http.post("/answer", {**body, "cache": "off", "labels": {"user": "u", "team": None}})
    (asked,) = http.service.pipeline.asked
    assert (asked.tenant, asked.collection, asked.model, asked.cache) == ("acme", "c", "extractive", "off")
    assert asked.history == (Turn("user", "Hello"), Turn("assistant", "Hi"))
    assert asked.labels == {"user": "u"}
    assert (asked.key_id, asked.trusted_labels) == (api_key("acme", *SCOPES).id, frozenset())
    assert asked.max_output_tokens == http.service.settings.max_output_tokens
    assert asked.knobs == http.service.settings.knobs()


@pytest.mark.parametrize("path", ["/context", "/answer"])
def test_filter_reaches_the_pipeline(http: Served, path: str) -> None:
    """A value alone is a list of one, JSON types stay what they are, and no filter is none."""
    wanted = {"team": "hr", "year": [2023, 2024.0, "2025"], "public": True, "none of these": []}
    http.post(path, {**QUESTION, "filter": wanted})
    http.post(path, QUESTION)
    filtered, plain = (asked.filter for asked in http.service.pipeline.asked)
    values = {"team": ("hr",), "year": (2023, 2024.0, "2025"), "public": (True,), "none of these": ()}
    assert filtered == values
    assert [type(value) for value in filtered["year"]] == [int, float, str]
    assert plain == {}


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ("hr", "/filter"),
        ({"team": None}, "/filter/team"),
        ({"team": {"any": ["hr"]}}, "/filter/team"),
        ({"team": ["hr", ["it"]]}, "/filter/team"),
        ({"team": "\ud800"}, "/filter/team"),
        ({"year": 2**63}, "/filter/year"),
        ({"year": ["x"] * 101}, "/filter/year"),
        ({f"key {n}": 1 for n in range(21)}, "/filter"),
        ({"": 1}, "/filter//[key]"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_wrong_filter_is_422_that_names_it(http: Served, wrong: object, pointer: str) -> None:
    """At most 20 keys of at most 100 strings, numbers or booleans: one error says where there is another thing."""
    for path in ("/context", "/answer"):
        response = http.post(path, {**QUESTION, "filter": wrong})
        problem = response.json()
        assert (response.status_code, problem["code"]) == (422, "invalid_request")
        assert [item["pointer"] for item in problem["errors"]] == [pointer]
    assert http.service.pipeline.asked == []


def test_knobs_that_no_request_names_are_the_settings(http: Served) -> None:
    """How hits are fused is the service's setting, whatever budget a request names."""
    with served(FakeService(settings=Settings(fusion="score", dense_weight=0.3))) as other:
        other.post("/context", {**QUESTION, "token_budget": 9})
        assert other.service.pipeline.asked[0].knobs == replace(other.service.settings.knobs(), context_tokens=9)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"question": ""},
        {"question": " \n"},
        {"question": 5},
        {"question": "a\ud800"},
        {**QUESTION, "surprise": 1},
        {**QUESTION, "top_k": "50"},
        {**QUESTION, "top_k": 0},
        {**QUESTION, "token_budget": 0},
        {**QUESTION, "stream": "yes"},
        {**QUESTION, "cache": "sometimes"},
        {**QUESTION, "collection": "../x"},
        {**QUESTION, "history": [{"role": "system", "content": "x"}]},
        {**QUESTION, "conversation_id": "c", "history": [{"role": "user", "content": "x"}]},
        {**QUESTION, "response_format": {"type": "json_schema"}},
        {**QUESTION, "response_format": {"type": "text", "json_schema": {}}},
        {**QUESTION, "response_format": {"type": "json_schema", "json_schema": {"type": "strange"}}},
        {**QUESTION, "response_format": {"type": "json_schema", "json_schema": {"pattern": "(a+)+$"}}},
        {**QUESTION, "response_format": {"type": "json_schema", "json_schema": {"$ref": "http://127.0.0.1:9/x"}}},
        {**QUESTION, "max_sentences": 0},
        {**QUESTION, "max_output_tokens": 0},
        {**QUESTION, "model": "unheard-of"},
    ],
    ids=str,
)
def test_wrong_request_is_422(http: Served, wrong: dict[str, Any]) -> None:
    """A request that cannot be served is refused with a sentence, and the pipeline is not asked."""
    response = http.post("/answer", wrong)
    assert response.status_code == 422
    assert response.json()["code"] in ("invalid_request", "unknown_model")
    assert response.json()["detail"]
    assert http.service.pipeline.asked == []


def test_a_collection_has_instructions_of_its_own() -> None:
    """Every question of it carries them, before what the application says; other collections do not."""
    entry = CollectionSettings(name="hr", instructions="Write for employees.")
    with served(FakeService(settings=Settings(collections=(entry,)))) as http:
        http.post("/answer", {**QUESTION, "collection": "hr"})
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
        http.post(
            "/v1/chat/completions", {"messages": messages, "ragopt": {"collection": "hr"}, "model": "ragopt/auto"}
        )
        http.post("/answer", {**QUESTION, "collection": "other"})
        told = [asked.instructions for asked in http.service.pipeline.asked]
    assert told == ["Write for employees.", "Write for employees.\n\nBe brief.", ""]


def test_a_history_of_ten_thousand_turns_is_refused(http: Served) -> None:
    """At once, and the field is named."""
    response = http.post("/answer", {**QUESTION, "history": [{"role": "user", "content": "x"}] * 10_000})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert "history" in response.text
    assert not http.service.pipeline.asked


@pytest.mark.parametrize(
    "body", [b"{", b"", b"\xff\xfe", b'{"question": "x"', b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"]
)
def test_broken_json_is_refused(http: Served, body: bytes) -> None:
    """A body that is not JSON is a 400, or a 422 where it is empty; never a 500."""
    with http.client() as client:
        response = client.post("/answer", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == (400 if body else 422)
    assert response.json()["code"] == ("invalid_json" if body else "invalid_request")


def test_the_form_of_the_answer_reaches_the_pipeline(http: Served) -> None:
    """Plain text is the default and may be named; a schema goes on as JSON, the same for the same schema."""
    assert http.post("/answer", {**QUESTION, "response_format": {"type": "text"}}).is_success
    schema = {"type": "object", "properties": {"fee": {"type": "string"}}}
    asked = {**QUESTION, "max_sentences": 2, "response_format": {"type": "json_schema", "json_schema": schema}}
    assert http.post("/answer", asked).is_success
    plain, formed = http.service.pipeline.asked
    assert (plain.max_sentences, plain.answer_schema) == (None, "")
    assert (formed.max_sentences, json.loads(formed.answer_schema)) == (2, schema)


def test_configured_model_is_known() -> None:
    """With models configured, their names and `auto` are known, the built-in one is not."""
    settings = Settings(models=(ModelSettings(name="small", provider="openai"),))
    with served(FakeService(settings=settings)) as http:
        codes = [
            http.post("/answer", {**QUESTION, "model": name}).status_code for name in ("auto", "small", "extractive")
        ]
    assert codes == [200, 200, 422]


def test_long_question_is_413() -> None:
    """A question over its token limit is refused, at the limit it is served, and a hopeless one is not even counted."""
    with served(FakeService(settings=Settings(max_question_tokens=10))) as http:
        questions = [" ".join(["word"] * count) for count in (10, 11, 100_000)]
        responses = [http.post("/context", {"question": question}) for question in questions]
    assert [response.status_code for response in responses] == [200, 413, 413]
    assert responses[1].json()["code"] == "question_too_long"


def test_failure_keeps_its_status(http: Served) -> None:
    """What fails before the first event has a status of its own, streamed or not."""
    http.service.pipeline.refusal = CollectionNotFound("there is no collection 'default'")
    plain, streamed = (http.post("/answer", {**QUESTION, "stream": stream}) for stream in (False, True))
    assert (plain.status_code, streamed.status_code) == (404, 404)
    assert plain.json()["code"] == streamed.json()["code"] == "collection_not_found"
    http.service.pipeline.refusal = StoreUnavailable("down")
    assert http.post("/context", QUESTION).json()["code"] == "retrieval_unavailable"


def test_unexpected_failure_is_a_500_without_its_text(http: Served) -> None:
    """An error that nobody expected becomes a 500 with the request id, and its text stays in the log."""
    http.service.pipeline.refusal = ZeroDivisionError("secret")
    response = http.post("/context", QUESTION, X_Request_Id="mine-1")
    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert response.json()["request_id"] == response.headers["x-request-id"] == "mine-1"
    assert "secret" not in response.text


def test_stream_tells_events_in_order(http: Served) -> None:
    """meta, sources, delta…, citation…, usage, done; the last is the answer as without streaming."""
    events = http.events(QUESTION)
    names = [name for name, _ in groupby(name for name, _ in events)]
    assert names == ["meta", "sources", "delta", "citation", "usage", "done"]
    by_name = dict(events)
    whole, unstreamed = by_name["done"], http.post("/answer", QUESTION).json()
    timed = {"timings_ms": 0, "stages": 0}
    assert {**whole, **timed} == {**unstreamed, **timed}
    assert "".join(data["text"] for name, data in events if name == "delta") == whole["answer"]
    assert [data for name, data in events if name == "citation"] == whole["citations"]
    assert by_name["sources"] == whole["context"]["passages"]
    assert by_name["usage"] == whole["usage"]
    assert by_name["meta"]["request_id"]


def test_stream_is_not_cached_or_buffered(http: Served) -> None:
    """The headers tell proxies to pass each event on at once."""
    headers = http.post("/answer", {**QUESTION, "stream": True}).headers
    assert headers["content-type"].startswith("text/event-stream")
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-cache", "no")


def test_first_text_arrives_before_the_last_is_made(http: Served) -> None:
    """Events go out as they come: the first sentence is here while the second is still to be written."""
    http.service.pipeline.gate = threading.Event()
    with http.client() as client, client.stream("POST", "/answer", json={**QUESTION, "stream": True}) as stream:
        lines = stream.iter_lines()
        seen = [next(lines) for _ in range(8)]
        assert 'data: {"text":"The sky is blue [1]."}' in seen
        http.service.pipeline.gate.set()
        assert "event: done" in list(lines)


def test_failure_inside_a_stream_is_its_last_event(http: Served) -> None:
    """After text was released, a failure is the terminal event `error` with a problem object."""
    http.service.pipeline.failure = IncompleteStream("the model stopped")
    name, problem = http.events(QUESTION)[-1]
    assert (name, problem["code"], problem["status"]) == ("error", "incomplete_stream", 502)
    http.service.pipeline.failure = ZeroDivisionError("secret")
    name, problem = http.events(QUESTION)[-1]
    assert (name, problem["code"]) == ("error", "internal_error")
    assert "secret" not in str(problem)


def test_late_stream_ends_with_an_error() -> None:
    """A stream that runs over the request's total time ends with the event `error`, and its pipeline is closed."""
    with served(FakeService(settings=Settings(request_timeout_s=0.2))) as http:
        http.service.pipeline.gate = threading.Event()
        events = http.events(QUESTION)
        assert events[-1][0] == "error"
        assert events[-1][1]["code"] == "deadline_exceeded"
        assert http.service.pipeline.closed.wait(60)


def test_pipeline_knows_when_the_request_must_be_over() -> None:
    """The total time is counted once, from the request's first byte, and goes along in the trace."""
    with served(FakeService(settings=Settings(request_timeout_s=30))) as http:
        before = time.monotonic()
        http.post("/answer", QUESTION)
        assert before + 30 <= http.service.pipeline.ends[0] + CLOCK_GRAIN_S
        assert http.service.pipeline.ends[0] <= time.monotonic() + 30


def test_client_that_leaves_a_stream_closes_the_pipeline(http: Served) -> None:
    """When the caller hangs up in the middle of a stream, the pipeline under it is closed at once."""
    http.service.pipeline.gate = threading.Event()
    with http.client() as client, client.stream("POST", "/answer", json={**QUESTION, "stream": True}) as stream:
        next(stream.iter_lines())
    assert http.service.pipeline.closed.wait(60)
    eventually(lambda: http.lifetime.open_requests == 0)


def test_conversation_is_kept(http: Served) -> None:
    """With a conversation id, the turns so far are the history, and question and answer are added to them."""
    asked = {**QUESTION, "conversation_id": "c1"}
    first = http.post("/answer", asked).json()
    events_of(http.post("/answer", {**asked, "question": "And grass?", "stream": True}).text)
    turns = (Turn("user", "Is the sky blue?"), Turn("assistant", first["answer"]))
    assert [question.history for question in http.service.pipeline.asked] == [(), turns]
    assert len(http.service.conversations.turns["acme", "c1"]) == 4
    assert first["conversation_id"] == "c1"


def test_conversation_without_its_state_is_refused(http: Served) -> None:
    """While Redis is down a conversation is 503, never an answer without its history; other questions go on."""
    http.service.conversations.failure = ConversationUnavailable("down")
    refused = http.post("/answer", {**QUESTION, "conversation_id": "c1"})
    assert (refused.status_code, refused.json()["code"]) == (503, "conversation_unavailable")
    assert http.service.pipeline.asked == []
    assert http.post("/answer", QUESTION).is_success


def test_unfinished_stream_is_not_remembered(http: Served) -> None:
    """An answer that failed half way is not part of its conversation."""
    http.service.pipeline.failure = IncompleteStream("the model stopped")
    http.events({**QUESTION, "conversation_id": "c1"})
    assert http.service.conversations.turns == {}


def test_get_is_not_allowed(http: Served) -> None:
    """A method that a path does not take is a 405 that names the right one; an unknown path is a 404."""
    response: httpx.Response = http.get("/answer")
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    assert http.get("/nowhere", key=None).json()["code"] == "not_found"


def test_every_answer_is_written_down(http: Served) -> None:
    """With whom it is counted to and what it saved, streamed or not, and its tenant's costs are watched."""
    http.post("/answer", {**QUESTION, "labels": {"team": "hr"}})
    http.events(QUESTION)
    accounts = http.service.accounts
    assert [(row.payer.tenant, row.payer.labels) for row in accounts.ledger.written] == [
        ("acme", {"team": "hr"}),
        ("acme", {}),
    ]
    assert all(row.savings and row.savings.baseline_cost_usd == Decimal("0.002") for row in accounts.ledger.written)
    assert accounts.costs.tenants == {"acme"}


def test_a_key_s_pinned_labels_win(http: Served) -> None:
    """What a key pins is counted to and vouched for, whatever the body says."""
    http.service.keys.known[KEY] = replace(http.service.keys.known[KEY], team="hr", trusted_labels=False)
    http.post("/answer", {**QUESTION, "labels": {"team": "other", "user": "ann"}})
    (asked,) = http.service.pipeline.asked
    assert asked.labels == {"team": "hr", "user": "ann"}
    assert asked.trusted_labels == {"team"}


def test_a_spent_budget_that_refuses_is_402(http: Served) -> None:
    """Before any work; while it cannot be counted it is 503, to be tried again."""
    http.service.accounts.meter.failure = BudgetSpent("the tenant's budget of this day does not pay for this call")
    refused = http.post("/answer", QUESTION)
    assert (refused.status_code, refused.json()["code"]) == (402, "budget_spent")
    http.service.accounts.meter.failure = BudgetUnreachable("Redis does not answer")
    refused = http.post("/answer", QUESTION)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert http.service.pipeline.asked == []
