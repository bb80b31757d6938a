"""The stub's batch endpoints, through the official SDKs."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence

import anthropic
import httpx
import openai
import pytest
from openai.types import Batch

from eval.stub import BatchLimits, Step, StubOptions, StubServer, serve_in_thread

URL = "/v1/chat/completions"
DAY_S = 86_400


@pytest.fixture
def stub() -> Iterator[StubServer]:
    """A stub whose batches take a hundred seconds of its own clock and hold three requests."""
    limits = BatchLimits(openai_requests=3, anthropic_requests=3, openai_bytes=10_000, anthropic_bytes=10_000)
    with serve_in_thread(StubOptions(answer="Yes.", batch_s=100, batch_limits=limits)) as server:
        yield server


@pytest.fixture
def openai_client(stub: StubServer) -> Iterator[openai.OpenAI]:
    """The official client, pointed at the stub."""
    with openai.OpenAI(api_key="k", base_url=stub.openai_url, max_retries=0) as client:
        yield client


@pytest.fixture
def anthropic_client(stub: StubServer) -> Iterator[anthropic.Anthropic]:
    """The official client, pointed at the stub."""
    with anthropic.Anthropic(api_key="k", base_url=stub.anthropic_url, max_retries=0) as client:
        yield client


def line(custom_id: str, model: str = "stub-ok", **more: object) -> bytes:
    """Return one line of a batch file."""
    body = {"model": model, "messages": [{"role": "user", "content": "Is it?"}]}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": URL, "body": body, **more}).encode()


def started(client: openai.OpenAI, lines: Sequence[bytes]) -> Batch:
    """Upload a file of lines and start its batch."""
    uploaded = client.files.create(file=("in.jsonl", io.BytesIO(b"\n".join(lines))), purpose="batch")
    return client.batches.create(input_file_id=uploaded.id, endpoint=URL, completion_window="24h")


def rows(client: openai.OpenAI, file_id: str | None) -> list[dict[str, object]]:
    """Return the lines of an output or error file."""
    assert file_id
    return [json.loads(row) for row in client.files.content(file_id).text.splitlines()]


def params(model: str = "stub-ok", **more: object) -> dict[str, object]:
    """Return the parameters of one request of a message batch."""
    return {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "Is it?"}], **more}


def test_openai_batch_from_upload_to_results(stub: StubServer, openai_client: openai.OpenAI) -> None:
    """Every status in turn with the requests done so far; what failed stands in a file of its own, in any order."""
    batch = started(openai_client, [line("a"), line("b", "stub-500"), line("c")])
    seen = [(batch.status, batch.request_counts.completed)]
    for seconds in (20, 30, 30, 15, 10):
        stub.advance(seconds)
        now = openai_client.batches.retrieve(batch.id)
        seen.append((now.status, now.request_counts.completed))
    assert seen[:-1] == [
        ("validating", 0),
        ("in_progress", 0),
        ("in_progress", 1),
        ("in_progress", 2),
        ("finalizing", 3),
    ]
    assert (now.status, now.request_counts.total, now.request_counts.completed, now.request_counts.failed) == (
        "completed",
        3,
        2,
        1,
    )
    output = rows(openai_client, now.output_file_id)
    assert [row["custom_id"] for row in output] == ["c", "a"]
    assert output[0]["response"]["body"]["choices"][0]["message"]["content"] == "Yes."
    assert output[0]["response"]["body"]["usage"]["prompt_tokens"] > 0
    (failed,) = rows(openai_client, now.error_file_id)
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("b", 500)


def test_a_step_that_names_its_model_happens_in_a_batch(stub: StubServer, openai_client: openai.OpenAI) -> None:
    """To one request each, in the order of the requests; a step for any model waits for a call of its own."""
    stub.plan("503", Step(answer="No.", model="gpt-4o-mini"), Step("context_length", model="gpt-4o-mini"))
    batch = started(openai_client, [line(name, "gpt-4o-mini") for name in "abc"])
    stub.advance(100)
    now = openai_client.batches.retrieve(batch.id)
    output = rows(openai_client, now.output_file_id)
    said = {row["custom_id"]: row["response"]["body"]["choices"][0]["message"]["content"] for row in output}
    assert said == {"a": "No.", "c": "Yes."}
    assert [row["custom_id"] for row in rows(openai_client, now.error_file_id)] == ["b"]
    assert [step.fault for step in stub.state.steps] == ["503"]


def test_openai_batch_expires_with_what_is_done(stub: StubServer, openai_client: openai.OpenAI) -> None:
    """A request that never ends holds the batch up for 24 hours; the others are there and to be paid for."""
    batch = started(openai_client, [line("a"), line("b", "stub-hang")])
    stub.advance(1_000)
    assert openai_client.batches.retrieve(batch.id).status == "in_progress"
    stub.advance(DAY_S)
    now = openai_client.batches.retrieve(batch.id)
    assert now.status == "expired"
    assert [row["custom_id"] for row in rows(openai_client, now.output_file_id)] == ["a"]
    (expired,) = rows(openai_client, now.error_file_id)
    assert (expired["custom_id"], expired["error"]["code"]) == ("b", "batch_expired")


def test_openai_batch_is_cancelled_half_way(stub: StubServer, openai_client: openai.OpenAI) -> None:
    """What was finished stays, the rest never ran."""
    batch = started(openai_client, [line("a"), line("b")])
    stub.advance(55)
    assert openai_client.batches.cancel(batch.id).status == "cancelling"
    stub.advance(10)
    now = openai_client.batches.retrieve(batch.id)
    assert (now.status, now.request_counts.completed) == ("cancelled", 1)
    assert rows(openai_client, now.error_file_id)[0]["error"]["code"] == "batch_cancelled"


def test_openai_batch_with_a_wrong_file_fails(stub: StubServer, openai_client: openai.OpenAI) -> None:
    """The batch is created and fails as a whole when it is validated; the error says what is wrong."""
    wrong = {
        "empty_file": [],
        "invalid_json_line": [b"{"],
        "invalid_method": [line("a", method="GET")],
        "invalid_url": [line("a", url="/v1/embeddings")],
        "duplicate_custom_id": [line("a"), line("a")],
        "mismatched_model": [line("a", "gpt-4o"), line("b", "gpt-4o-mini")],
        "too_many_tasks": [line(str(n)) for n in range(4)],
        "missing_required_parameter": [b'{"method": "POST"}'],
    }
    batches = {code: started(openai_client, lines) for code, lines in wrong.items()}
    assert {batch.status for batch in batches.values()} == {"validating"}
    stub.advance(20)
    failed = {code: openai_client.batches.retrieve(batch.id) for code, batch in batches.items()}
    assert {batch.status for batch in failed.values()} == {"failed"}
    assert {code: batch.errors.data[0].code for code, batch in failed.items()} == {code: code for code in wrong}
    assert {(batch.output_file_id, batch.error_file_id) for batch in failed.values()} == {(None, None)}


def test_openai_batch_endpoints_refuse_nonsense(stub: StubServer, openai_client: openai.OpenAI) -> None:
    """Unknown ids are 404, other endpoints and too large files 400."""
    with pytest.raises(openai.NotFoundError):
        openai_client.batches.retrieve("batch_0")
    with pytest.raises(openai.NotFoundError):
        openai_client.batches.create(input_file_id="file-0", endpoint=URL, completion_window="24h")
    with pytest.raises(openai.BadRequestError, match="endpoint"):
        openai_client.batches.create(input_file_id="x", endpoint="/v1/embeddings", completion_window="24h")
    with pytest.raises(openai.BadRequestError, match="larger"):
        openai_client.files.create(file=("in.jsonl", io.BytesIO(b"x" * 10_001)), purpose="batch")


def test_anthropic_batch_from_creation_to_results(stub: StubServer, anthropic_client: anthropic.Anthropic) -> None:
    """All are processing until the batch ends; then each has succeeded or errored, in any order."""
    requests = [
        {"custom_id": "a", "params": params()},
        {"custom_id": "b", "params": params("stub-529")},
        {"custom_id": "c", "params": params(temperature=0)},
    ]
    batch = anthropic_client.messages.batches.create(requests=requests)
    stub.advance(50)
    running = anthropic_client.messages.batches.retrieve(batch.id)
    assert (running.processing_status, running.request_counts.processing) == ("in_progress", 3)
    assert running.results_url is None
    stub.advance(50)
    ended = anthropic_client.messages.batches.retrieve(batch.id)
    assert (ended.processing_status, ended.request_counts.succeeded, ended.request_counts.errored) == ("ended", 1, 2)
    results = {row.custom_id: row.result for row in anthropic_client.messages.batches.results(batch.id)}
    assert list(results) == ["c", "b", "a"]
    assert results["a"].message.content[0].text == "Yes."
    assert results["a"].message.usage.service_tier == "batch"
    assert results["b"].error.error.type == "overloaded_error"
    assert "temperature" in results["c"].error.error.message


def test_anthropic_batch_expires_and_is_cancelled(stub: StubServer, anthropic_client: anthropic.Anthropic) -> None:
    """What never ran says so."""
    batches = anthropic_client.messages.batches
    slow = batches.create(requests=[{"custom_id": "a", "params": params("stub-hang")}])
    ended = batches.create(requests=[{"custom_id": "b", "params": params()}])
    assert batches.cancel(ended.id).processing_status == "canceling"
    stub.advance(DAY_S)
    assert [row.result.type for row in batches.results(slow.id)] == ["expired"]
    assert [row.result.type for row in batches.results(ended.id)] == ["canceled"]
    assert {batch.id for batch in batches.list().data} == {slow.id, ended.id}


def test_anthropic_refuses_a_wrong_batch(anthropic_client: anthropic.Anthropic) -> None:
    """At once, with status 400; nothing is created."""
    wrong: list[list[dict[str, object]]] = [
        [],
        [{"custom_id": "with space", "params": params()}],
        [{"custom_id": "a", "params": params()}] * 2,
        [{"custom_id": str(n), "params": params()} for n in range(4)],
        [{"custom_id": "a"}],
    ]
    for requests in wrong:
        with pytest.raises(anthropic.BadRequestError):
            anthropic_client.post("/v1/messages/batches", body={"requests": requests}, cast_to=object)
    assert anthropic_client.messages.batches.list().data == []


def test_anthropic_refuses_a_batch_that_is_too_large(anthropic_client: anthropic.Anthropic) -> None:
    """With status 413."""
    large = [{"custom_id": "a", "params": params(system="x" * 10_001)}]
    with pytest.raises(anthropic.APIStatusError) as caught:
        anthropic_client.messages.batches.create(requests=large)
    assert caught.value.status_code == 413


def test_lost_answer_leaves_a_batch_behind(stub: StubServer, anthropic_client: anthropic.Anthropic) -> None:
    """A status fails before anything is done; a broken connection after it: the client does not know its batch."""
    stub.plan(Step("503", model="batches"), Step("reset", model="batches"))
    requests = [{"custom_id": "a", "params": params()}]
    for error in (anthropic.InternalServerError, anthropic.APIConnectionError):
        with pytest.raises(error):
            anthropic_client.messages.batches.create(requests=requests)
    assert len(anthropic_client.messages.batches.list().data) == 1


def test_files_are_given_back(openai_client: openai.OpenAI) -> None:
    """As they were uploaded."""
    uploaded = openai_client.files.create(file=("in.jsonl", io.BytesIO(b"abc\n")), purpose="batch")
    assert (uploaded.bytes, openai_client.files.retrieve(uploaded.id).filename) == (4, "in.jsonl")
    assert openai_client.files.content(uploaded.id).content == b"abc\n"


def test_batch_requests_are_in_the_log(stub: StubServer) -> None:
    """Among the others, under the model `batches`."""
    httpx.get(f"{stub.openai_url}/batches")
    assert [(call.model, call.path, call.status) for call in stub.calls] == [("batches", "/v1/batches", 200)]
