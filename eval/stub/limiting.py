"""Rate limits of the stub: requests and tokens a minute for each key and model, refilled steadily."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime

Headers = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Bucket:
    """What is left of one limit; `at` is when it was last looked at, in the stub's seconds."""

    per_minute: int
    left: float
    at: float

    def refill(self, now: float) -> None:
        """Add what has come back since the last look."""
        self.left = min(self.per_minute, self.left + (now - self.at) * self.per_minute / 60)
        self.at = now

    def wait_s(self, amount: int) -> float:
        """Return in how many seconds `amount` will be there, 0 if it is; a larger one than the limit: when full."""
        missing = min(amount, self.per_minute) - self.left
        return max(0.0, missing * 60 / self.per_minute)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request may go on, else in how many seconds to come back; the headers that tell of the limits."""

    wait_s: float
    headers: Headers


@dataclass(slots=True)
class RateLimiter:
    """The buckets of every key and model."""

    requests_per_minute: int
    tokens_per_minute: int
    buckets: dict[str, tuple[Bucket, Bucket]] = field(default_factory=dict)

    def admit(self, account: str, *, dialect: str, tokens: int, now: float) -> Verdict:
        """Take one request and its tokens from the limits of `account` if both are there."""
        full = (self.requests_per_minute, self.tokens_per_minute)
        requests, budget = self.buckets.setdefault(
            account, (Bucket(full[0], full[0], now), Bucket(full[1], full[1], now))
        )
        requests.refill(now)
        budget.refill(now)
        wait_s = max(requests.wait_s(1), budget.wait_s(tokens))
        if wait_s == 0:
            requests.left -= 1
            budget.left -= min(tokens, budget.per_minute)
        write = openai_headers if dialect == "openai" else anthropic_headers
        return Verdict(wait_s, write(requests, budget, now=now) + retry_header(wait_s))


def retry_header(wait_s: float) -> Headers:
    """Return when to come back, in whole seconds; nothing for no wait."""
    return (("retry-after", str(math.ceil(wait_s))),) if wait_s > 0 else ()


def openai_headers(requests: Bucket, tokens: Bucket, *, now: float) -> Headers:  # noqa: ARG001 - as the other dialect's
    """Return OpenAI's headers, resets as durations."""
    return tuple(
        (f"x-ratelimit-{part}-{kind}", value)
        for kind, bucket in (("requests", requests), ("tokens", tokens))
        for part, value in (
            ("limit", str(bucket.per_minute)),
            ("remaining", str(int(bucket.left))),
            ("reset", duration(bucket.wait_s(bucket.per_minute))),
        )
    )


def anthropic_headers(requests: Bucket, tokens: Bucket, *, now: float) -> Headers:
    """Return Anthropic's headers, resets as RFC 3339 times."""
    return tuple(
        (f"anthropic-ratelimit-{kind}-{part}", value)
        for kind, bucket in (("requests", requests), ("tokens", tokens), ("input-tokens", tokens))
        for part, value in (
            ("limit", str(bucket.per_minute)),
            ("remaining", str(int(bucket.left))),
            ("reset", instant(now + bucket.wait_s(bucket.per_minute))),
        )
    )


def duration(seconds: float) -> str:
    """Return seconds as OpenAI writes them: `120ms`, `6s`, `1m30s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def instant(seconds: float) -> str:
    """Return a Unix time as RFC 3339, in whole seconds."""
    return datetime.fromtimestamp(math.ceil(seconds), UTC).isoformat().replace("+00:00", "Z")
