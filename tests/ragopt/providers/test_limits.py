"""What response headers say of limits and of when to come back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ragopt.providers.limits import RateLimits, Window, rate_limits, retry_after_s, seconds_until

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "3600"}, 3600),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9),
        ({"retry-after": "Fri, 20 Nov 2026 12:01:30 GMT"}, 90),
        ({"retry-after": "Fri, 20 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m2s"}, 62),
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "1m2s"}, None),
        (
            {
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2026-11-20T12:00:07Z",
            },
            7,
        ),
    ],
)
def test_when_to_come_back(headers: dict[str, str], seconds: float | None) -> None:
    """Milliseconds, seconds, a date, else the reset of a limit that is used up; nonsense is nothing."""
    assert retry_after_s(headers, now=NOW) == seconds


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("6m0s", 360),
        ("120ms", 0.12),
        ("1h2m3.5s", 3723.5),
        ("2026-11-20T12:00:10Z", 10),
        ("2026-11-20T13:00:10+01:00", 10),
        ("2026-11-20T11:00:00Z", 0),
        ("12", 12),
        ("6m then some", None),
        ("later", None),
        (None, None),
    ],
)
def test_reset_is_read_in_both_providers_forms(reset: str | None, seconds: float | None) -> None:
    """Durations of OpenAI, times of Anthropic, plain seconds of others."""
    assert seconds_until(reset, now=NOW) == seconds


def test_limits_of_openai() -> None:
    """Requests and tokens, each with what is left, the limit and the reset."""
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-remaining-tokens": "149984",
    }
    assert rate_limits(headers, now=NOW) == RateLimits(Window(59, 60, 1), Window(149_984))


def test_limits_of_anthropic() -> None:
    """The token limit that binds comes first; without it, the one of the input."""
    headers = {
        "anthropic-ratelimit-requests-remaining": "9",
        "anthropic-ratelimit-input-tokens-remaining": "700",
        "anthropic-ratelimit-input-tokens-limit": "1000",
    }
    assert rate_limits(headers, now=NOW) == RateLimits(Window(9), Window(700, 1000))
    tightest = {**headers, "anthropic-ratelimit-tokens-remaining": "5"}
    assert rate_limits(tightest, now=NOW) == RateLimits(Window(9), Window(5))


@pytest.mark.parametrize("headers", [{}, {"x-ratelimit-remaining-requests": "many"}])
def test_servers_without_limits_have_none(headers: dict[str, str]) -> None:
    """No headers and nonsense tell nothing."""
    assert rate_limits(headers, now=NOW) is None
