"""Addresses of Redis, and a primary that sentinels replace: three real servers, one of which is killed."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from eval.bench.service import free_port
from ragopt.errors import ConfigError
from ragopt.state.client import Watched, connect, watched
from ragopt.state.redis_process import find_binary

IN_TIME_S = 40.0


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis+sentinel://a:1,b:2/main", Watched((("a", 1), ("b", 2)), "main", 0, "", "")),
        ("redis+sentinel://a/main/3", Watched((("a", 26_379),), "main", 3, "", "")),
        ("redis+sentinel://:p%40ss@[::1]:7/main", Watched((("::1", 7),), "main", 0, "", "p@ss")),
        ("redis+sentinel://u:p@a/m", Watched((("a", 26_379),), "m", 0, "u", "p")),
    ],
)
def test_an_address_of_sentinels_is_understood(url: str, place: Watched) -> None:
    """Ports, database, user and password may be left out."""
    assert watched(url) == place


@pytest.mark.parametrize(
    "url", ["redis+sentinel://a:1", "redis+sentinel:///main", "redis+sentinel://a/main/x", "redis+sentinel://a:b/m"]
)
def test_any_other_address_is_refused_with_its_shape(url: str) -> None:
    """The message names the setting and shows how an address looks."""
    with pytest.raises(ConfigError, match=r"RAGOPT_REDIS_URL: .*host:port,host:port/name/database"):
        connect(url, timeout_s=1)


@contextmanager
def server(folder: Path, lines: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a redis-server with a configuration for the block."""
    folder.mkdir()
    file = folder / "redis.conf"
    file.write_text(f'bind 127.0.0.1\ndir {folder}\nsave ""\nrepl-diskless-sync-delay 0\n{lines}', encoding="utf-8")
    process = subprocess.Popen([find_binary(), file, *arguments], stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait(60)


async def until(holds: Callable[[], Awaitable[bool]], what: str) -> None:
    """Return once something holds of servers that come and go. Raises: `AssertionError` if it does not in time."""
    ends = time.monotonic() + IN_TIME_S
    while True:
        with suppress(RedisError, OSError, TimeoutError):
            if await holds():
                return
        assert time.monotonic() < ends, what
        await asyncio.sleep(0.05)


async def follows(port: int) -> None:
    """Return once a server follows a primary: a sentinel learns of replicas from their primary."""
    async with connect(f"redis://127.0.0.1:{port}", timeout_s=0.5) as replica:

        async def linked() -> bool:
            return bool((await replica.info("replication")).get("master_link_status") == "up")

        await until(linked, "it follows nobody")


async def killed_and_replaced(url: str, first: subprocess.Popen[bytes], *, replica: str) -> object:
    """Write, kill the primary, go on with the same client, and return what the replica holds then."""
    async with connect(url, timeout_s=0.5) as client, connect(replica, timeout_s=0.5) as other:

        async def written() -> bool:
            await client.set("key", "before")
            return bool(await other.get("key") == b"before")

        async def read_and_written() -> bool:
            return bool(await client.get("key") == b"before" and await client.set("key", "after"))

        await until(written, "the replica did not follow")
        first.kill()
        await until(read_and_written, "nobody was promoted")
        return await other.get("key")


def test_a_killed_primary_is_replaced_and_its_data_is_there(tmp_path: Path) -> None:
    """The same client goes on with the replica that the sentinel promotes, with all that was written before."""
    primary, replica, sentinel = free_port(), free_port(), free_port()
    watch = (
        f"port {sentinel}\nsentinel monitor main 127.0.0.1 {primary} 1\n"
        "sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 2000\n"
    )
    with ExitStack() as stack:
        first = stack.enter_context(server(tmp_path / "primary", f"port {primary}\n"))
        stack.enter_context(server(tmp_path / "replica", f"port {replica}\nreplicaof 127.0.0.1 {primary}\n"))
        asyncio.run(follows(replica))
        stack.enter_context(server(tmp_path / "sentinel", watch, "--sentinel"))
        url = f"redis+sentinel://127.0.0.1:{sentinel}/main"
        kept = asyncio.run(killed_and_replaced(url, first, replica=f"redis://127.0.0.1:{replica}"))
    assert kept == b"after"
