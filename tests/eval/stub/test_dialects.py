"""What both providers refuse, and how they count."""

from __future__ import annotations

import anthropic
import httpx
import openai
import pytest

from eval.stub import StubOptions, StubServer, serve_in_thread

SPOKEN = [{"role": "user", "content": "Hello there, how are you?"}]


@pytest.fixture(scope="module")
def stub() -> StubServer:
    """One stub for the module, with a small window."""
    with serve_in_thread(StubOptions(context_tokens=2_000, answer="one two three four five six.")) as server:
        yield server


def chat(stub: StubServer, **more: object) -> httpx.Response:
    """Return the answer to a request of OpenAI's dialect."""
    return httpx.post(f"{stub.openai_url}/chat/completions", json={"model": "gpt-4o", "messages": SPOKEN, **more})


def message(stub: StubServer, **more: object) -> httpx.Response:
    """Return the answer to a request of Anthropic's dialect."""
    body = {"model": "claude-opus-5-5", "max_tokens": 50, "messages": SPOKEN, **more}
    return httpx.post(f"{stub.anthropic_url}/v1/messages", json=body)


def test_prompt_over_the_window_is_refused(stub: StubServer) -> None:
    """Each provider in its own words; no fault is needed for it."""
    long = [{"role": "user", "content": " word" * 2_001}]
    refused = chat(stub, messages=long)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert "prompt is too long: 2" in message(stub, messages=long).json()["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model": "gpt-6-luna", "max_tokens": 5}, "max_tokens"),
        ({"reasoning_effort": "low"}, "reasoning_effort"),
        ({"prompt_cache_options": {"mode": "explicit"}}, "prompt_cache_options"),
        ({"model": "gpt-6-luna", "prompt_cache_options": {}, "prompt_cache_retention": "24h"}, "combined"),
        ({"model": "gpt-6-luna", "prompt_cache_options": {"mode": "other"}}, "mode"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
    ],
)
def test_openai_refuses_what_a_model_does_not_take(stub: StubServer, fields: dict[str, object], said: str) -> None:
    """Status 400 with the parameter's name, as with the provider."""
    refused = chat(stub, **fields)
    assert refused.status_code == 400
    assert said in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"max_tokens": "many"}, "max_tokens"),
        ({"messages": [{"role": "user", "content": " "}]}, "non-empty"),
        ({"model": "claude-haiku-4-5", "output_config": {"effort": "low"}}, "effort"),
        ({"model": "claude-opus-5-5", "output_config": {"effort": "none"}}, "effort"),
    ],
)
def test_anthropic_refuses_what_a_model_does_not_take(stub: StubServer, fields: dict[str, object], said: str) -> None:
    """Status 400 with what is wrong, as with the provider."""
    refused = message(stub, **fields)
    assert refused.status_code == 400
    assert said in refused.json()["error"]["message"]


def test_output_limit_cuts_the_answer(stub: StubServer) -> None:
    """At the token, with the provider's reason, and only what was written is counted."""
    cut = chat(stub, max_completion_tokens=3).json()
    assert cut["choices"][0]["finish_reason"] == "length"
    assert (cut["choices"][0]["message"]["content"], cut["usage"]["completion_tokens"]) == ("one two three", 3)
    assert message(stub, max_tokens=3).json()["stop_reason"] == "max_tokens"


def test_reasoning_takes_of_the_output_limit(stub: StubServer) -> None:
    """An effort that needs all of the limit leaves no text, which is billed all the same."""
    starved = chat(stub, model="gpt-6-luna", reasoning_effort="high", max_completion_tokens=500).json()
    assert (starved["choices"][0]["finish_reason"], starved["choices"][0]["message"]["content"]) == ("length", "")
    assert starved["usage"]["completion_tokens"] == 500
    assert starved["usage"]["completion_tokens_details"]["reasoning_tokens"] == 500


def test_models_are_listed_and_shown_in_both_dialects(stub: StubServer) -> None:
    """The header of Anthropic's SDK tells which."""
    with openai.OpenAI(api_key="k", base_url=stub.openai_url, max_retries=0) as client:
        assert client.models.retrieve("gpt-4o").id == "gpt-4o"
        assert "stub-ok" in {model.id for model in client.models.list()}
    with anthropic.Anthropic(api_key="k", base_url=stub.anthropic_url, max_retries=0) as client:
        assert client.models.retrieve("claude-opus-5-5").max_input_tokens == 1_000_000
        assert "stub-ok" in {model.id for model in client.models.list()}


def test_tokens_of_a_prompt_are_counted_without_a_call(stub: StubServer) -> None:
    """`count_tokens` says what a call would report as its input."""
    with anthropic.Anthropic(api_key="k", base_url=stub.anthropic_url, max_retries=0) as client:
        counted = client.messages.count_tokens(model="m", system="s", messages=SPOKEN)
        asked = client.messages.create(model="m", system="s", messages=SPOKEN, max_tokens=5)
    assert counted.input_tokens == asked.usage.input_tokens
