"""What a provider's response headers say: how much of a limit is left, and when to come back.

Header names: OpenAI `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` with durations such as
`6m0s`; Anthropic `anthropic-ratelimit-{requests,tokens,input-tokens}-{limit,remaining,reset}` with
RFC 3339 times. Servers that send none have no limits here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True)
class Window:
    """One limit: what is left of it, of how much, and in how many seconds it is full again; None: not said."""

    remaining: int
    limit: int | None = None
    reset_s: float | None = None


@dataclass(frozen=True, slots=True)
class RateLimits:
    """The limits of one model under one key, as the latest response told them."""

    requests: Window | None = None
    tokens: Window | None = None


def rate_limits(headers: Mapping[str, str], *, now: datetime | None = None) -> RateLimits | None:
    """Return the limits that a response's headers tell, None where they tell nothing."""
    moment = now or datetime.now(UTC)
    requests = window(headers, "requests", now=moment)
    tokens = window(headers, "tokens", now=moment) or window(headers, "input-tokens", now=moment)
    return RateLimits(requests, tokens) if requests or tokens else None


def window(headers: Mapping[str, str], kind: str, *, now: datetime) -> Window | None:
    """Return the limit of one kind in either provider's headers, None where it is missing or not a number."""
    for name in ("x-ratelimit-{}-" + kind, "anthropic-ratelimit-" + kind + "-{}"):
        remaining = whole_number(headers.get(name.format("remaining")))
        if remaining is not None:
            limit = whole_number(headers.get(name.format("limit")))
            return Window(remaining, limit, seconds_until(headers.get(name.format("reset")), now=now))
    return None


def retry_after_s(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Return after how many seconds to come back, None where the headers do not say or say nonsense.

    `retry-after-ms`, then `retry-after` in seconds or as an HTTP date, then the reset of a limit that
    is used up. A date in the past is 0. Source: RFC 9110, 10.2.3.
    """
    moment = now or datetime.now(UTC)
    milliseconds = number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if value is not None:
        seconds = number(value)
        return seconds if seconds is not None else seconds_until_date(value, now=moment)
    limits = rate_limits(headers, now=moment)
    windows = (limits.requests, limits.tokens) if limits else ()
    resets = [window.reset_s for window in windows if window and window.remaining <= 0 and window.reset_s is not None]
    return max(resets, default=None)


def seconds_until(reset: str | None, *, now: datetime) -> float | None:
    """Return the seconds of a duration such as `1m30.5s`, or until an RFC 3339 time; None for anything else."""
    if not reset:
        return None
    parts = DURATION_PART.findall(reset)
    if parts and "".join(amount + unit for amount, unit in parts) == reset:
        return math.fsum(float(amount) * SECONDS[unit] for amount, unit in parts)
    try:
        moment = datetime.fromisoformat(reset)
    except ValueError:
        return number(reset)
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds())


def seconds_until_date(value: str, *, now: datetime) -> float | None:
    """Return the seconds until an HTTP date, 0 for one in the past, None if it is no date."""
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds())


def number(value: str | None) -> float | None:
    """Return a finite number that is not negative, else None."""
    try:
        parsed = float(value) if value is not None else math.nan
    except ValueError:
        return None
    return parsed if math.isfinite(parsed) and parsed >= 0 else None


def whole_number(value: str | None) -> int | None:
    """Return a whole number, else None; a negative one is none left."""
    try:
        return max(0, int(value)) if value is not None else None
    except ValueError:
        return None
