"""Requests and tokens per minute that a model may still get from us: reserved before a call, settled after it.

Buckets refill steadily, as the providers' own do. Source: Anthropic, rate limits: "token bucket algorithm".
"""

from __future__ import annotations

from dataclasses import dataclass

from ragopt.providers.health import Clock
from ragopt.providers.limits import RateLimits, Window

# A provider's Retry-After holds back the other calls of the model as well, but never longer than this.
MAX_HOLD_S = 300.0


@dataclass(slots=True)
class Bucket:
    """What is left of one limit; `left` below 0 is promised to calls that wait. at: of the last refill, in seconds."""

    per_minute: int
    left: float
    at: float

    def refill(self, now: float) -> None:
        """Add what has come back since the last refill."""
        self.left = min(self.per_minute, self.left + (now - self.at) * self.per_minute / 60)
        self.at = now

    def wait_s(self, amount: float) -> float:
        """Return in how many seconds `amount` will be there, 0 if it is."""
        return max(0.0, (amount - self.left) * 60 / self.per_minute)


@dataclass(frozen=True, slots=True)
class Grant:
    """A reservation: in how many seconds it may be used, and the tokens it holds."""

    wait_s: float
    tokens: float


class Allowance:
    """The limits of one model: configured ones, and what its provider last said is left."""

    def __init__(self, *, rpm: int | None, tpm: int | None, clock: Clock) -> None:
        now = clock()
        self._clock = clock
        self._requests = Bucket(rpm, rpm, now) if rpm else None
        self._tokens = Bucket(tpm, tpm, now) if tpm else None
        self._held_until = now
        self._told: RateLimits | None = None
        self._told_at = now
        self._begun_since_told = 0

    @property
    def counts_tokens(self) -> bool:
        """Return whether a reservation needs to know the tokens of the call."""
        return self._tokens is not None

    def reserve(self, tokens: float, *, most_s: float) -> Grant | None:
        """Return a grant for one request with its tokens, None if it could not be used within `most_s` seconds.

        Grants are in the order of asking: what one waits for is no longer there for the next.
        """
        wait_s = self.wait_s(tokens)
        if wait_s > most_s:
            return None
        held = min(tokens, self._tokens.per_minute) if self._tokens else 0.0
        if self._requests:
            self._requests.left -= 1
        if self._tokens:
            self._tokens.left -= held
        self._begun_since_told += 1
        return Grant(wait_s, held)

    def held_s(self) -> float:
        """Return for how many seconds no call may begin because the provider asked to wait, 0 for none."""
        return max(0.0, self._held_until - self._clock())

    def wait_s(self, tokens: float) -> float:
        """Return in how many seconds one request with its tokens could begin; more tokens than the limit: when full."""
        now = self._clock()
        waits = [self.held_s()]
        if self._requests:
            self._requests.refill(now)
            waits.append(self._requests.wait_s(1))
        if self._tokens:
            self._tokens.refill(now)
            waits.append(self._tokens.wait_s(min(tokens, self._tokens.per_minute)))
        return max(waits)

    def settle(self, grant: Grant, *, used_tokens: float) -> None:
        """Give back what the call did not use of its tokens, or take what it used more."""
        if self._tokens:
            self._tokens.refill(self._clock())
            self._tokens.left = min(self._tokens.per_minute, self._tokens.left + grant.tokens - used_tokens)

    def give_back(self, grant: Grant) -> None:
        """Undo a reservation whose call was never made."""
        self.settle(grant, used_tokens=0)
        if self._requests:
            self._requests.left = min(self._requests.per_minute, self._requests.left + 1)

    def hold(self, seconds: float) -> None:
        """Let no call begin for so many seconds, at most five minutes: the provider asked to wait."""
        self._held_until = max(self._held_until, self._clock() + min(seconds, MAX_HOLD_S))

    def learn(self, limits: RateLimits) -> None:
        """Take in what the provider says is left; where that is less than our own count, it is right."""
        now = self._clock()
        for bucket, window in ((self._requests, limits.requests), (self._tokens, limits.tokens)):
            if bucket and window:
                bucket.refill(now)
                bucket.left = min(bucket.left, window.remaining)
        self._told, self._told_at, self._begun_since_told = limits, now, 0

    def share_left(self) -> float:
        """Return the share in [0, 1] that is left of the scarcer limit; 1 where none is known, 0 while held."""
        now = self._clock()
        if self.held_s() > 0:
            return 0.0
        shares = [1.0]
        for bucket in (self._requests, self._tokens):
            if bucket:
                bucket.refill(now)
                shares.append(bucket.left / bucket.per_minute)
        if self._told:
            since_s = now - self._told_at
            shares.append(told_share(self._told.requests, used=self._begun_since_told, since_s=since_s))
            shares.append(told_share(self._told.tokens, used=0, since_s=since_s))
        return max(0.0, min(shares))


def told_share(window: Window | None, *, used: int, since_s: float) -> float:
    """Return the share that is left of a limit some seconds after it was told; 1 where it was not told whole."""
    if window is None or not window.limit:
        return 1.0
    share = (window.remaining - used) / window.limit
    if window.reset_s is None:
        return share
    come_back = 1.0 if since_s >= window.reset_s else since_s / window.reset_s
    return min(1.0, share + (1 - window.remaining / window.limit) * come_back)
