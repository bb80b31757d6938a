"""Clients of a Redis: at an address, on a socket, or wherever the sentinels of a name say its primary is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import redis.asyncio
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.maint_notifications import MaintNotificationsConfig

from ragopt.errors import ConfigError

SETTING = "RAGOPT_REDIS_URL"
SENTINEL = "redis+sentinel://"
SENTINEL_PORT = 26_379
MAX_CONNECTIONS = 512


@dataclass(frozen=True, slots=True)
class Watched:
    """A Redis that sentinels watch: where they are, what they call it, and how it is entered. "" for what is not."""

    sentinels: tuple[tuple[str, int], ...]
    name: str
    database: int
    username: str
    password: str


class SentinelRedis(redis.asyncio.Redis):
    """A client of the primary of a name; every new connection asks the sentinels who that is."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:  # noqa: FBT001 - redis-py's signature
        """Close the connections to the primary, and those to the sentinels."""
        pool = self.connection_pool
        await super().aclose(close_connection_pool)
        if isinstance(pool, SentinelConnectionPool):
            for sentinel in pool.sentinel_manager.sentinels:
                await sentinel.aclose()


class TellsResets(AbstractConnection):
    """Says `ConnectionError` where uvloop says `RuntimeError`: the other side had reset the connection.

    And writes a command without a task of its own, which redis-py makes of each under Python 3.11 to bound its time:
    nobody writes a second one before the reply to it, and the wait for that is bounded.
    """

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], *options: bool, **named: bool) -> None:
        """Send a command. Raises: `RedisError` subclasses only."""
        writer = self._writer
        try:
            if writer is not None and isinstance(command, list):
                writer.writelines(command)
            else:
                await super().send_packed_command(command, *options, **named)
        except RuntimeError as error:
            raise Disconnected(f"the connection was reset: {error}") from error


def tell_resets(pool: ConnectionPool) -> None:
    """Have the connections of a pool, whatever their kind, tell resets."""
    kind = pool.connection_class
    pool.connection_class = type(kind.__name__, (TellsResets, kind), {})


def connect(url: str, *, timeout_s: float) -> redis.asyncio.Redis:
    """Return a client of `redis://`, `rediss://`, `unix://` or `redis+sentinel://` that gives up after `timeout_s`.

    It does not retry. It connects with its first command, in the event loop that runs it; close it with `aclose`.
    Raises: `ConfigError` if the URL is none of these.
    """
    if url.startswith(SENTINEL):
        return connect_watched(watched(url), timeout_s=timeout_s)
    try:
        client = redis.asyncio.Redis.from_url(
            url,
            protocol=2,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            max_connections=MAX_CONNECTIONS,
            decode_responses=False,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{SETTING}: {error}") from error
    tell_resets(client.connection_pool)
    return client


def connect_watched(place: Watched, *, timeout_s: float) -> redis.asyncio.Redis:
    """Return a client of the primary that the sentinels name, which may change while it is used."""
    waits = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s}
    quick = {**waits, "retry": Retry(NoBackoff(), 0)}
    sentinels = Sentinel(place.sentinels, sentinel_kwargs=quick, **waits)  # type: ignore[no-untyped-call]
    client: redis.asyncio.Redis = sentinels.master_for(
        place.name,
        redis_class=SentinelRedis,
        protocol=2,
        db=place.database,
        username=place.username or None,
        password=place.password or None,
        retry=Retry(NoBackoff(), 0),
        max_connections=MAX_CONNECTIONS,
        decode_responses=False,
    )
    tell_resets(client.connection_pool)
    return client


def watched(url: str) -> Watched:
    """Return what `redis+sentinel://user:password@host:port,host:port/name/database` says.

    User, password, ports and database may be left out. Raises: `ConfigError`.
    """
    try:
        parts = urlsplit(url)
        entry, _, hosts = parts.netloc.rpartition("@")
        user, _, password = entry.partition(":")
        name, _, database = parts.path.removeprefix("/").partition("/")
        sentinels = tuple(host_and_port(host) for host in hosts.split(","))
        if not name:
            raise ValueError("it names no primary")
        return Watched(sentinels, unquote(name), int(database or 0), unquote(user), unquote(password))
    except ValueError as error:
        shape = f"{SENTINEL}user:password@host:port,host:port/name/database"
        raise ConfigError(f"{SETTING}: {error}; the address of sentinels is {shape}") from error


def host_and_port(text: str) -> tuple[str, int]:
    """Return both from `host:port`, `host` or `[address]:port`. Raises: `ValueError`."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a sentinel has no host")
    return parts.hostname, parts.port or SENTINEL_PORT
