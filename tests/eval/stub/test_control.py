"""The endpoints that steer the stub and tell what it saw."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from eval.stub import Step, StubOptions, StubServer, serve_in_thread

BODY = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def stub() -> Iterator[StubServer]:
    """A stub of the test's own."""
    with serve_in_thread() as server:
        yield server


def statuses(stub: StubServer, count: int, **more: object) -> list[int]:
    """Return the statuses of some requests in turn."""
    return [httpx.post(f"{stub.openai_url}/chat/completions", json=BODY | more).status_code for _ in range(count)]


def test_plan_is_worked_off_in_order(stub: StubServer) -> None:
    """One step for each request; then requests are answered as before."""
    steps = ["429", {"fault": "ok", "answer": "Planned."}, "500"]
    assert httpx.post(f"{stub.anthropic_url}/_stub/plan", json=steps).json()["steps"][0]["fault"] == "429"
    assert statuses(stub, 1) == [429]
    planned = httpx.post(f"{stub.openai_url}/chat/completions", json=BODY).json()
    assert planned["choices"][0]["message"]["content"] == "Planned."
    assert statuses(stub, 2) == [500, 200]
    assert httpx.get(f"{stub.anthropic_url}/_stub/plan").json() == {"steps": []}


def test_step_waits_for_its_model_and_dialect(stub: StubServer) -> None:
    """Other requests pass it by."""
    stub.plan(Step("503", model="b"), Step("529", dialect="anthropic"))
    assert [statuses(stub, 1, model=model)[0] for model in ("a", "b", "b")] == [200, 503, 200]
    assert httpx.post(f"{stub.anthropic_url}/v1/messages", json=BODY).status_code == 529


def test_plan_can_be_forgotten(stub: StubServer) -> None:
    """What is left of it happens to nobody."""
    stub.plan("500", "500")
    httpx.delete(f"{stub.anthropic_url}/_stub/plan")
    assert statuses(stub, 1) == [200]


@pytest.mark.parametrize(
    "steps", [{"fault": "429"}, ["no such fault"], [{"fault": "ok", "delay": 5}], [{"delay_ms": "5"}], [5]]
)
def test_wrong_plan_is_refused(stub: StubServer, steps: object) -> None:
    """With what is wrong with it, and nothing is planned."""
    answer = httpx.post(f"{stub.anthropic_url}/_stub/plan", json=steps)
    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert stub.state.steps == []


def test_log_tells_what_arrived(stub: StubServer) -> None:
    """In order, with body, usage, times and who hung up."""
    statuses(stub, 1, model="first")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{stub.anthropic_url}/v1/messages", json=BODY | {"model": "stub-hang"}, timeout=0.2)
    assert stub.last_call_left()
    log = httpx.get(f"{stub.anthropic_url}/_stub/requests").json()
    first, second = log["requests"]
    assert (first["model"], first["path"], first["body"]["max_tokens"]) == ("first", "/v1/chat/completions", 50)
    assert first["usage"]["prompt_tokens"] == first["prompt_tokens"]
    assert first["n"] < second["n"]
    assert first["ended_ms"] >= first["first_byte_ms"] >= 0
    assert (first["left_ms"], first["client_disconnected"]) == (None, False)
    assert (second["fault"], second["client_disconnected"], second["first_byte_ms"]) == ("hang", True, None)
    assert second["left_ms"] > 0
    assert (log["total"], log["open"]) == (2, 0)


def test_requests_at_a_time_are_counted() -> None:
    """The most there were at once, and how many are open now."""
    with serve_in_thread(StubOptions(delay_ms=300)) as stub, ThreadPoolExecutor(5) as pool:
        assert list(pool.map(lambda _: statuses(stub, 1)[0], range(5))) == [200] * 5
        log = httpx.get(f"{stub.anthropic_url}/_stub/requests").json()
        assert log["open"] == 0
        assert 2 <= log["most_open"] <= 5
        assert httpx.delete(f"{stub.anthropic_url}/_stub/requests").json()["total"] == 0


def test_clock_can_be_advanced(stub: StubServer) -> None:
    """Time passes for caches, limits and batches without a wait; it never runs back."""
    url = f"{stub.anthropic_url}/_stub/clock"
    before = httpx.get(url).json()["now_s"]
    assert httpx.post(url, json={"advance_s": 3600}).json()["now_s"] >= before + 3600
    assert httpx.post(url, json={"advance_s": -1}).status_code == 422


def test_cache_can_be_emptied(stub: StubServer) -> None:
    """The next prompt finds nothing."""
    long = {"model": "gpt-4o", "messages": [{"role": "user", "content": " word" * 1_100}]}
    statuses(stub, 2, **long)
    assert stub.calls[-1].usage["prompt_tokens_details"]["cached_tokens"] == 1024
    httpx.delete(f"{stub.anthropic_url}/_stub/cache")
    statuses(stub, 1, **long)
    assert stub.calls[-1].usage["prompt_tokens_details"]["cached_tokens"] == 0


def test_answer_takes_the_time_it_should() -> None:
    """Ten tokens at fifty a second stream for a fifth of a second; the first byte waits for the delay."""
    answer = "one two three four five six seven eight nine ten"
    with serve_in_thread(StubOptions(answer=answer, delay_ms=50, tokens_per_s=50)) as stub:
        statuses(stub, 1, stream=True)
        call = stub.calls[-1]
    assert call.first_byte_ms >= 50
    assert call.ended_ms - call.first_byte_ms >= 150
