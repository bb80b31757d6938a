"""Requests and tokens per minute of each key, counted in Redis over every process; by each for itself while it is down.

Buckets refill steadily. Source: Anthropic, rate limits: "token bucket algorithm".
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis

from ragopt.errors import StateUnavailable
from ragopt.state.access import as_bytes, redis_errors, redis_key

MINUTE_S = 60.0
# A bucket is full again after a minute; what is not asked for longer is forgotten.
TTL_S = 120
# Without Redis for so long after it failed once: a hung one would hold up every request.
PAUSE_S = 1.0
MAX_LOCAL = 10_000

# KEYS: the key's buckets. ARGV: now, requests a minute, tokens a minute (0: no limit), tokens to take.
# Takes one request and the tokens if both are there; returns whether, and what is left of each.
TAKE = """
local stored = redis.call('HMGET', KEYS[1], 'at', 'requests', 'tokens')
local now = math.max(tonumber(ARGV[1]), tonumber(stored[1] or '0'))
local passed = now - tonumber(stored[1] or ARGV[1])
local rpm, tpm, tokens = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local requests = math.min(rpm, tonumber(stored[2] or ARGV[2]) + passed * rpm / 60)
local left = math.min(tpm, tonumber(stored[3] or ARGV[3]) + passed * tpm / 60)
local taken = (rpm == 0 or requests >= 1) and (tpm == 0 or left >= tokens)
if taken then
  requests, left = requests - 1, left - tokens
end
redis.call('HSET', KEYS[1], 'at', tostring(now), 'requests', tostring(requests), 'tokens', tostring(left))
redis.call('EXPIRE', KEYS[1], 120)
return {taken and 1 or 0, tostring(requests), tostring(left)}
"""

# KEYS: the key's buckets. ARGV: tokens to give back, negative to take.
SETTLE = """
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HINCRBYFLOAT', KEYS[1], 'tokens', ARGV[1]) end
"""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What a key may ask for in a minute; 0: no limit."""

    rpm: int = 0
    tpm: int = 0

    def bounds(self) -> bool:
        """Return whether there is any limit."""
        return self.rpm > 0 or self.tpm > 0


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one request: whether it may go on, and what is left of both limits after it.

    tokens: held for it, never more than the limit. shared: whether other processes were counted as well.
    """

    limit: RateLimit
    allowed: bool
    requests_left: float
    tokens_left: float
    tokens: int
    shared: bool

    def wait_s(self) -> float:
        """Return in how many seconds the request could go on, 0 if it may."""
        if self.allowed:
            return 0.0
        lacking = (
            until_s(1, self.requests_left, self.limit.rpm),
            until_s(self.tokens, self.tokens_left, self.limit.tpm),
        )
        return max(lacking)


def until_s(amount: float, left: float, per_minute: int) -> float:
    """Return in how many seconds `amount` will be there, 0 if it is or there is no limit."""
    return max(0.0, amount - left) * MINUTE_S / per_minute if per_minute else 0.0


@dataclass(slots=True)
class LocalBuckets:
    """What is left of one key's limits in this process alone."""

    at: float
    requests: float
    tokens: float


class RateLimiter:
    """The limits of every key. `now` returns Unix seconds. Never raises: while Redis is down it counts by itself."""

    def __init__(self, redis: Redis, *, now: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._now = now
        self._local: OrderedDict[str, LocalBuckets] = OrderedDict()
        self._retry_at = -math.inf
        self._writes: set[asyncio.Task[None]] = set()

    async def take(self, key_id: str, limit: RateLimit, *, tokens: int = 0) -> Taken:
        """Return whether the key may make a request of so many tokens; more than its limit count as the limit."""
        held = min(tokens, limit.tpm)
        if self._now() >= self._retry_at:
            try:
                return await self._shared(key_id, limit, tokens=held)
            except StateUnavailable:
                self._retry_at = self._now() + PAUSE_S
        return self._alone(key_id, limit, tokens=held)

    def settle(self, key_id: str, *, taken: int, used: int) -> None:
        """Give back what a request did not use of the tokens it took, or take what it used more, in the background."""
        if taken == 0 or taken == used:
            return
        if local := self._local.get(key_id):
            local.tokens += taken - used
        if self._now() >= self._retry_at:
            write = asyncio.create_task(self._settled(key_id, taken - used))
            self._writes.add(write)
            write.add_done_callback(self._writes.discard)

    async def aclose(self) -> None:
        """Wait for what is being written."""
        await asyncio.gather(*self._writes)

    async def _shared(self, key_id: str, limit: RateLimit, *, tokens: int) -> Taken:
        with redis_errors():
            reply = self._redis.eval(TAKE, 1, rates_key(key_id), self._now(), limit.rpm, limit.tpm, tokens)
            allowed, *left = await cast("Awaitable[list[bytes]]", reply)
        requests, tokens_left = (float(as_bytes(value)) for value in left)
        return Taken(limit, bool(allowed), requests, tokens_left, tokens, shared=True)

    async def _settled(self, key_id: str, back: int) -> None:
        with suppress(StateUnavailable), redis_errors():
            await cast("Awaitable[object]", self._redis.eval(SETTLE, 1, rates_key(key_id), back))

    def _alone(self, key_id: str, limit: RateLimit, *, tokens: int) -> Taken:
        """Do in this process what `TAKE` does in Redis."""
        now = self._now()
        buckets = self._local.setdefault(key_id, LocalBuckets(now, limit.rpm, limit.tpm))
        self._local.move_to_end(key_id)
        if len(self._local) > MAX_LOCAL:
            self._local.popitem(last=False)
        passed, buckets.at = max(0.0, now - buckets.at), max(now, buckets.at)
        buckets.requests = min(limit.rpm, buckets.requests + passed * limit.rpm / MINUTE_S)
        buckets.tokens = min(limit.tpm, buckets.tokens + passed * limit.tpm / MINUTE_S)
        allowed = (limit.rpm == 0 or buckets.requests >= 1) and (limit.tpm == 0 or buckets.tokens >= tokens)
        if allowed:
            buckets.requests -= 1
            buckets.tokens -= tokens
        return Taken(limit, allowed, buckets.requests, buckets.tokens, tokens, shared=False)


def rates_key(key_id: str) -> str:
    """Return where the buckets of a key are."""
    return redis_key("rates", key_id)
