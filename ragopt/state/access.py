"""How every file of this package names its Redis keys and translates what redis-py raises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ragopt.errors import StateUnavailable


def redis_key(kind: str, *parts: str) -> str:
    """Return `ragopt:<kind>:<part>:…`; parts are percent-encoded, so two lists of parts never share a key."""
    encoded = (quote(part, safe="", errors="surrogatepass") for part in parts)
    return ":".join(("ragopt", kind, *encoded))


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
