"""The stub's rate limits."""

from __future__ import annotations

import httpx
import pytest

from eval.stub import StubOptions, serve_in_thread
from eval.stub.limiting import RateLimiter, duration

BODY = {"model": "m", "max_tokens": 10, "messages": [{"role": "user", "content": "Hello"}]}


def test_requests_come_back_with_time() -> None:
    """Sixty a minute: one each second once they are used up."""
    limiter = RateLimiter(60, 1_000)
    assert [limiter.admit("a", dialect="openai", tokens=1, now=0).wait_s for _ in range(60)] == [0] * 60
    assert limiter.admit("a", dialect="openai", tokens=1, now=0).wait_s == pytest.approx(1)
    assert limiter.admit("a", dialect="openai", tokens=1, now=1).wait_s == 0


def test_tokens_bind_as_well_and_accounts_do_not_share() -> None:
    """A refused request takes nothing; another account has its own limits."""
    limiter = RateLimiter(1_000, 600)
    assert limiter.admit("a", dialect="openai", tokens=600, now=0).wait_s == 0
    assert limiter.admit("a", dialect="openai", tokens=100, now=0).wait_s == pytest.approx(10)
    assert limiter.admit("a", dialect="openai", tokens=100, now=10).wait_s == 0
    assert limiter.admit("b", dialect="openai", tokens=600, now=0).wait_s == 0


def test_request_larger_than_the_limit_passes_when_it_is_full() -> None:
    """Else it never could."""
    limiter = RateLimiter(10, 100)
    assert limiter.admit("a", dialect="openai", tokens=5_000, now=0).wait_s == 0


@pytest.mark.parametrize(
    ("path", "remaining"),
    [
        ("/v1/chat/completions", "x-ratelimit-remaining-requests"),
        ("/v1/messages", "anthropic-ratelimit-requests-remaining"),
    ],
)
def test_reached_limit_is_a_429_that_says_when(path: str, remaining: str) -> None:
    """The headers count down, the refusal says how long to wait, and time heals."""
    with serve_in_thread(StubOptions(requests_per_minute=2)) as stub:
        url = stub.anthropic_url + path
        answers = [httpx.post(url, json=BODY) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert [answer.headers[remaining] for answer in answers] == ["1", "0", "0"]
        assert answers[2].headers["retry-after"] == "30"
        stub.advance(30)
        assert httpx.post(url, json=BODY).status_code == 200


@pytest.mark.parametrize(("seconds", "text"), [(0, "0ms"), (0.12, "120ms"), (6, "6s"), (90, "1m30s")])
def test_duration_is_written_as_openai_does(seconds: float, text: str) -> None:
    """Milliseconds, seconds, minutes and seconds."""
    assert duration(seconds) == text
