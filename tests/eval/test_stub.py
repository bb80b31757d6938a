"""The stub speaks both dialects well enough for the official SDKs."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anthropic
import httpx
import openai
import pytest

from eval.stub import StubOptions, StubServer, main, serve_in_thread
from eval.stub.answering import NO_PASSAGE, answer_to, pieces
from eval.stub.faults import FAULTS, chosen_fault
from tests.model_calls import ANSWER, PROMPT

ROOT = Path(__file__).parents[2]
MESSAGES = [{"role": "user", "content": PROMPT.user}]


@pytest.fixture(scope="module")
def stub() -> Iterator[StubServer]:
    """One stub for the module."""
    with serve_in_thread() as server:
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


def test_openai_sdk_reads_an_answer(openai_client: openai.OpenAI, stub: StubServer) -> None:
    """Without streaming: text, finish reason and usage."""
    reply = openai_client.chat.completions.create(
        model="stub-ok", messages=[{"role": "system", "content": "s"}, {"role": "user", "content": PROMPT.user}]
    )
    assert reply.choices[0].message.content == ANSWER
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage
    assert reply.usage.prompt_tokens == stub.calls[-1].prompt_tokens
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


def test_openai_sdk_reads_a_stream(openai_client: openai.OpenAI) -> None:
    """Streaming: word by word, and the usage in a last chunk without choices."""
    chunks = list(
        openai_client.chat.completions.create(
            model="stub-ok",
            messages=[{"role": "user", "content": PROMPT.user}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    words = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(words) == ANSWER
    assert chunks[-1].choices == []
    assert chunks[-1].usage


def test_openai_stream_has_usage_only_on_request(openai_client: openai.OpenAI) -> None:
    """Without `include_usage` no chunk carries usage, as with the provider."""
    chunks = openai_client.chat.completions.create(
        model="stub-ok", messages=[{"role": "user", "content": "Hello"}], stream=True
    )
    assert [chunk.usage for chunk in chunks if chunk.usage] == []


def test_anthropic_sdk_reads_an_answer(anthropic_client: anthropic.Anthropic) -> None:
    """Without streaming: text, stop reason and usage."""
    reply = anthropic_client.messages.create(
        model="stub-ok", max_tokens=50, system="s", messages=[{"role": "user", "content": PROMPT.user}]
    )
    block = reply.content[0]
    assert block.type == "text"
    assert (block.text, reply.stop_reason) == (ANSWER, "end_turn")
    assert reply.usage.input_tokens > reply.usage.output_tokens > 1


def test_anthropic_sdk_reads_a_stream(anthropic_client: anthropic.Anthropic) -> None:
    """Streaming: the SDK's own accumulation gives the whole message."""
    with anthropic_client.messages.stream(
        model="stub-ok", max_tokens=50, messages=[{"role": "user", "content": PROMPT.user}]
    ) as stream:
        assert "".join(stream.text_stream) == ANSWER
        assert stream.get_final_message().stop_reason == "end_turn"


def test_temperature_is_refused_by_the_new_api_version(stub: StubServer) -> None:
    """API version 2026-10-21 answers 400, the one before takes it."""
    body = {"model": "stub-ok", "max_tokens": 5, "temperature": 0, "messages": MESSAGES}
    statuses = [
        httpx.post(f"{stub.anthropic_url}/v1/messages", json=body, headers={"anthropic-version": version}).status_code
        for version in ("2023-06-01", "2026-10-21")
    ]
    assert statuses == [200, 400]


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"model": "m"}', b'{"model": "m", "messages": []}'])
def test_bad_request_is_a_400_in_the_dialect(stub: StubServer, body: bytes) -> None:
    """What a provider would refuse is refused, with its error envelope."""
    answer = httpx.post(f"{stub.openai_url}/chat/completions", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_every_status_carries_the_dialects_envelope(openai_client: openai.OpenAI) -> None:
    """The SDK finds type and code of a rate limit where the provider puts them, and when to come back."""
    with pytest.raises(openai.RateLimitError) as caught:
        openai_client.chat.completions.create(model="stub-429", messages=[{"role": "user", "content": "x"}])
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("model", "header", "default", "expected"),
    [
        ("stub-429", None, "ok", "429"),
        ("acme/fault=hang", None, "ok", "hang"),
        ("gpt:fault=cut", None, "500", "cut"),
        ("gpt-4o-mini", None, "ok", "ok"),
        ("gpt-4o-mini", None, "500", "500"),
        ("stub-429", "hang", "ok", "hang"),
        ("stub-429", "no such fault", "ok", "429"),
        ("stub-mini", None, "ok", "ok"),
    ],
)
def test_fault_is_chosen_by_header_then_model_then_server(
    model: str, header: str | None, default: str, expected: str
) -> None:
    """The nearest word counts, and unknown words count for nothing."""
    assert chosen_fault(model, header, default) == expected


def test_header_chooses_the_fault(stub: StubServer) -> None:
    """`x-stub-fault` works over the wire."""
    answer = httpx.post(
        f"{stub.openai_url}/chat/completions",
        json={"model": "any", "messages": MESSAGES},
        headers={"x-stub-fault": "529"},
    )
    assert answer.status_code == 529


def test_server_wide_options() -> None:
    """A server can have one fault and one answer for every request, and a delay before it."""
    with serve_in_thread(StubOptions(answer="Fixed.", fault="no_usage", delay_ms=20)) as server:
        answer = httpx.post(f"{server.openai_url}/chat/completions", json={"model": "any", "messages": MESSAGES})
    assert answer.json()["choices"][0]["message"]["content"] == "Fixed."
    assert "usage" not in answer.json()
    assert answer.elapsed.total_seconds() >= 0.02


def test_models_are_listed(stub: StubServer) -> None:
    """`/v1/models` names one model per fault."""
    listed = httpx.get(f"{stub.openai_url}/models").json()
    assert {row["id"] for row in listed["data"]} == {f"stub-{fault}" for fault in FAULTS}


def test_calls_are_told_and_forgotten(stub: StubServer) -> None:
    """`/stub/calls` tells what came, with a hash that is equal where a prompt cache would match."""
    httpx.delete(f"{stub.anthropic_url}/stub/calls")
    long_rules = {"role": "system", "content": "rule " * 300}
    for question in ("one", "two"):
        messages = [long_rules, {"role": "user", "content": question}]
        httpx.post(f"{stub.openai_url}/chat/completions", json={"model": "stub-ok", "messages": messages})
    calls = httpx.get(f"{stub.anthropic_url}/stub/calls").json()["calls"]
    assert [(call["dialect"], call["fault"], call["authorized"]) for call in calls] == [("openai", "ok", False)] * 2
    assert calls[0]["prefix_sha256"] == calls[1]["prefix_sha256"]
    assert calls[0]["prompt_bytes"] == calls[1]["prompt_bytes"]


def test_client_that_stays_is_not_told_as_gone(stub: StubServer) -> None:
    """A call that was answered whole is no disconnect."""
    httpx.post(f"{stub.openai_url}/chat/completions", json={"model": "stub-ok", "messages": MESSAGES})
    assert not stub.last_call_left(within_s=0.1)


def test_broken_answers_without_streaming(stub: StubServer) -> None:
    """Half a JSON object with a broken connection for `reset`, half of one with a clean end for `cut`."""
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.post(f"{stub.openai_url}/chat/completions", json={"model": "stub-reset", "messages": MESSAGES})
    cut = httpx.post(f"{stub.openai_url}/chat/completions", json={"model": "stub-cut", "messages": MESSAGES})
    with pytest.raises(ValueError, match="Unterminated|Expecting"):
        cut.json()


def test_stop_drops_a_hanging_request() -> None:
    """The server ends although an answer never would."""
    with serve_in_thread() as server, httpx.Client(timeout=0.2) as client, pytest.raises(httpx.ReadTimeout):
        client.post(f"{server.openai_url}/chat/completions", json={"model": "stub-hang", "messages": MESSAGES})
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.openai_url}/models")


def test_command_says_where_it_listens() -> None:
    """`python -m eval stub` prints its address first, serves there, and ends with 0 when interrupted."""
    command = [sys.executable, "-m", "eval", "stub", "--port", "0", "--answer", "Hello.", "--context-tokens", "9000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().split()[3]
            answer = httpx.post(f"{url}/v1/chat/completions", json={"model": "any", "messages": MESSAGES})
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=10) == 0
        finally:
            process.kill()
    assert answer.json()["choices"][0]["message"]["content"] == "Hello."


def test_command_names_a_taken_address(stub: StubServer, capsys: pytest.CaptureFixture[str]) -> None:
    """A port in use is one clear line and exit code 1."""
    assert main(["--port", str(stub.port)]) == 1
    assert f"127.0.0.1:{stub.port}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        (PROMPT.user, ANSWER),
        ("[1] Water boils at 100 degrees. More.\n\n[2] Other.", "Water boils at 100 degrees [1]."),
        ('<passage n="1" title="T">\n- a list item\n</passage>', "a list item [1].".replace("a", "- a", 1)),
        ("Question: what?", NO_PASSAGE),
        ('<passage n="1" title="T">\n\n</passage>', NO_PASSAGE),
    ],
)
def test_answer_is_the_first_sentence_of_the_first_passage(prompt: str, answer: str) -> None:
    """With `[1]` before its full stop; a fixed sentence where there is no passage."""
    assert answer_to(prompt) == answer


@pytest.mark.parametrize("text", ["", "one", "two words", " spaces  kept \n here. "])
def test_pieces_join_to_the_answer(text: str) -> None:
    """Streaming changes nothing about the text."""
    assert "".join(pieces(text)) == text
