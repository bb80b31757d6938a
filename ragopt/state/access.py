"""How every file of this package names its Redis keys and translates what redis-py raises."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ragopt.errors import StateUnavailable

# Source: RFC 3986, 2.3, unreserved characters.
PLAIN = re.compile(r"[A-Za-z0-9_.~-]*")


def redis_key(kind: str, *parts: str) -> str:
    """Return `ragopt:<kind>:<part>:…`; parts are percent-encoded, so two lists of parts never share a key."""
    return ":".join(("ragopt", kind, *map(encoded, parts)))


def encoded(part: str) -> str:
    """Return a part percent-encoded; what needs none, such as most ids, as it is."""
    return part if PLAIN.fullmatch(part) else quote(part, safe="", errors="surrogatepass")


@contextmanager
def redis_errors(kind: type[StateUnavailable] = StateUnavailable) -> Iterator[None]:
    """Turn whatever redis-py or the socket raises in the block into `kind`."""
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        raise kind(f"Redis does not answer: {error or type(error).__name__}") from error


async def ping_redis(redis: Redis) -> None:
    """Return if Redis answers. Raises: `StateUnavailable`."""
    with redis_errors():
        await redis.execute_command("PING")  # type: ignore[no-untyped-call]


def as_bytes(value: bytes | str) -> bytes:
    """Return a Redis reply as the bytes that were stored, whether or not the client decodes replies."""
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
