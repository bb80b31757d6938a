"""Idempotency: a request that is sent again gets its first response instead of being done twice."""

from __future__ import annotations

import hashlib
import secrets
import zlib

from redis.asyncio import Redis

from ragopt.errors import IdempotencyConflict
from ragopt.state.access import as_bytes, redis_errors, redis_key

# A request whose process died blocks its key no longer than this where several processes share one Redis.
LOCK_S = 900
RUNNING, ENDED = b"running:", b"ended:"

# An entry is one string: the state, 64 hex digits of the body's digest, then the run that works on it or the
# compressed response.
DIGEST_CHARS = 64
TAKE_OVER = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""
COMPLETE = """
local entry = redis.call('GET', KEYS[1])
if entry and entry ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""
ABANDON = """
local entry = redis.call('GET', KEYS[1])
if entry and string.sub(entry, 1, string.len(ARGV[1])) == ARGV[1] then redis.call('DEL', KEYS[1]) end
"""


class Idempotency:
    """Responses by tenant and Idempotency-Key, kept for `ttl_s`.

    alone: no other process works on this Redis, so what another run left behind died with it and may be done again.
    Methods raise `StateUnavailable` when Redis does not answer.
    """

    def __init__(self, redis: Redis, *, ttl_s: int = 172_800, alone: bool = False) -> None:
        self._redis = redis
        self._ttl_s = ttl_s
        self._alone = alone
        self._run = secrets.token_hex(8).encode()

    async def begin(self, tenant: str, key: str, body_digest: str) -> bytes | None:
        """Return the stored response of the same body, or None: go on, the key is now locked.

        The lock ends with `complete`, `abandon` or after 15 minutes; that of a run that is over at once, where this
        process is alone. Raises: `IdempotencyConflict`
        if the key was used with another body or its first request still runs.
        """
        name, digest = redis_key("idempotency", tenant, key), fixed_digest(body_digest)
        ours = RUNNING + digest + self._run
        with redis_errors():
            entry = None
            while entry is None:
                if await self._redis.set(name, ours, nx=True, ex=LOCK_S):
                    return None
                entry = await self._redis.get(name)
            held = as_bytes(entry)
            if self._is_left(held, digest) and await self._redis.eval(TAKE_OVER, 1, name, held, ours, LOCK_S):
                return None
        state, _, rest = held.partition(b":")
        if not rest.startswith(digest):
            raise IdempotencyConflict("This Idempotency-Key was used with another request body.")
        if state + b":" == RUNNING:
            raise IdempotencyConflict("The first request with this Idempotency-Key still runs.")
        return zlib.decompress(rest[DIGEST_CHARS:])

    def _is_left(self, entry: bytes, digest: bytes) -> bool:
        """Return whether the same request was being worked on by a run that is over."""
        running = entry.startswith(RUNNING + digest)
        return self._alone and running and entry != RUNNING + digest + self._run

    async def complete(self, tenant: str, key: str, body_digest: str, *, response: bytes) -> None:
        """Keep the response of the request that holds the lock, or whose lock ran out unused."""
        digest = fixed_digest(body_digest)
        entry = ENDED + digest + zlib.compress(response)
        with redis_errors():
            await self._redis.eval(
                COMPLETE, 1, redis_key("idempotency", tenant, key), RUNNING + digest + self._run, entry, self._ttl_s
            )

    async def abandon(self, tenant: str, key: str) -> None:
        """Give the lock up, so that the request can be sent again; a stored response stays."""
        with redis_errors():
            await self._redis.eval(ABANDON, 1, redis_key("idempotency", tenant, key), RUNNING)


def fixed_digest(body_digest: str) -> bytes:
    """Return 64 hex digits for a digest of any form and length."""
    return hashlib.sha256(body_digest.encode("utf-8", "surrogatepass")).hexdigest().encode()
