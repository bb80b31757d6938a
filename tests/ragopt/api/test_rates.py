"""Rate limits over HTTP: what is left is told, what is too much is refused, and what was not used comes back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ragopt.api.rates import duration, likely_tokens, limit_of, rate_headers
from ragopt.domain import QueryKnobs, Question, Turn
from ragopt.settings.traffic import LimitSettings
from ragopt.state.rates import RateLimit, Taken
from tests.ragopt.api.fakes import KEY, QUERY_KEY, Served, api_key

QUESTION = {"question": "Is the sky blue?"}
DOCUMENTS = {"documents": [{"text": "The sky is blue."}]}


def limited(http: Served, *, rpm: int | None = None, tpm: int | None = None) -> None:
    """Give the key of the tests limits."""
    http.service.keys.known[KEY] = replace(http.service.keys.known[KEY], rpm=rpm, tpm=tpm)


@pytest.mark.parametrize("path", ["/answer", "/context", "/ingest"])
def test_one_request_too_many_is_429(http: Served, path: str) -> None:
    """The headers count down, the refusal says when to come back, and another key is not touched."""
    limited(http, rpm=2)
    body = DOCUMENTS if path == "/ingest" else QUESTION
    answers = [http.post(path, body) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["1", "0", "0"]
    assert {answer.headers["x-ratelimit-limit-requests"] for answer in answers} == {"2"}
    assert answers[0].headers["x-ratelimit-reset-requests"] == "30s"
    refused = answers[-1]
    assert (refused.json()["code"], refused.headers["content-type"]) == ("rate_limited", "application/problem+json")
    assert refused.headers["retry-after"] == "30"
    assert "x-ratelimit-limit-tokens" not in refused.headers
    assert http.post("/context", QUESTION, key=QUERY_KEY).is_success


def test_reading_is_not_counted(http: Served) -> None:
    """Only what makes work is: lists, jobs and health checks stay reachable."""
    limited(http, rpm=1)
    http.post("/ingest", DOCUMENTS)
    assert http.post("/ingest", DOCUMENTS).status_code == 429
    listed = http.get("/documents")
    assert listed.is_success
    assert not any(name.startswith("x-ratelimit") for name in listed.headers)


def test_an_answer_takes_its_tokens_and_gives_back_what_it_did_not_use(http: Served) -> None:
    """While it runs the most it may use is taken; after it only what the provider counted is gone."""
    limited(http, tpm=100_000)
    first = http.post("/answer", QUESTION)
    settings = http.service.settings
    most = 200 + len(QUESTION["question"]) // 4 + settings.context_tokens + settings.max_output_tokens
    assert first.headers["x-ratelimit-limit-tokens"] == "100000"
    assert first.headers["x-ratelimit-remaining-tokens"] == str(100_000 - most)
    assert http.service.rates.settled == [(api_key("acme", "ingest", "query", "admin").id, most, 12)]


def test_too_many_tokens_are_429(http: Served) -> None:
    """A key whose tokens are used up is told which limit it was and when to come back."""
    limited(http, tpm=3_000)
    assert http.post("/answer", QUESTION).is_success
    http.service.rates.settled.clear()
    refused = http.post("/answer", {**QUESTION, "stream": True})
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert "3000 tokens per minute" in refused.json()["detail"]
    assert int(refused.headers["retry-after"]) >= 1
    assert http.service.rates.settled == []


def test_without_limits_nothing_is_counted(http: Served) -> None:
    """No header and no look at Redis where neither the key nor the settings bound anything."""
    answer = http.post("/answer", QUESTION)
    assert not any(name.startswith("x-ratelimit") for name in answer.headers)
    assert http.service.rates.taken == []


def test_a_key_s_own_limits_win() -> None:
    """`[limits]` fills in what a key does not say; 0 is no limit."""
    defaults = LimitSettings(rpm=10, tpm=1_000)
    key = api_key("acme", "query")
    assert limit_of(key, defaults) == RateLimit(10, 1_000)
    assert limit_of(replace(key, rpm=5), defaults) == RateLimit(5, 1_000)
    assert not limit_of(replace(key, rpm=0, tpm=0), defaults).bounds()


def test_likely_tokens_are_the_prompt_and_the_output() -> None:
    """Instructions, question, history, passages, and the longest answer."""
    asked = Question("x" * 40, "t", history=(Turn("user", "y" * 400),), knobs=QueryKnobs(context_tokens=500))
    assert likely_tokens(replace(asked, max_output_tokens=64), usual_output=900) == 200 + 110 + 500 + 64
    assert likely_tokens(asked, usual_output=900) == 200 + 110 + 500 + 900


def test_headers_never_tell_less_than_nothing() -> None:
    """Tokens that were used beyond the limit show as none left, and as a longer wait."""
    headers = rate_headers(
        Taken(RateLimit(tpm=600), allowed=False, requests_left=0, tokens_left=-60.5, tokens=10, shared=True)
    )
    assert headers["x-ratelimit-remaining-tokens"] == "0"
    assert headers["x-ratelimit-reset-tokens"] == "1m6.05s"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0ms"), (0.0123, "13ms"), (1, "1s"), (7.66, "7.66s"), (60, "1m0s"), (3_599.5, "59m59.5s")]
)
def test_durations_are_written_as_clients_know_them(seconds: float, text: str) -> None:
    """Milliseconds under a second, then seconds, then minutes and seconds."""
    assert duration(seconds) == text
