"""The private Redis of a data folder: started on a unix socket, found again, ended by its last user.

Three kernel locks in the folder decide everything, and vanish with their holders, `kill -9` included:

    server.lock   held by the server process itself: no folder ever has two servers
    users.lock    shared by every process that is attached: the last one to stop ends the server
    attach.lock   held while a process attaches, stops or ends an orphan: one at a time

A server that dies under its users is started again by the first of them that notices. After `kill -9` of every user
it lives on. The next `attach` of the folder finds it; an
`attach` of any other folder ends it, and nothing is lost: its log of writes is on disk.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from redis.exceptions import RedisError

from ragopt.errors import ConfigError, StateUnavailable
from ragopt.state.file_lock import locked, open_lock, opened_lock, share_lock, try_lock
from ragopt.state.redis_process import (
    DATA_LINK,
    POLL_S,
    SOCKET,
    blocking_client,
    is_private,
    listens,
    recorded_socket,
    server_lives,
    server_pid,
    start_server,
    wait_until_ready,
)

END_S = 5.0
WATCH_S = 1.0
USERS_LOCK, ATTACH_LOCK = "users.lock", "attach.lock"

logger = logging.getLogger(__name__)


class EmbeddedRedis:
    """One process's hold on the Redis of a folder. Made by `attach`, given up by `stop`."""

    def __init__(self, folder: Path, *, socket: Path, users: int, child: int | None) -> None:
        self.folder = folder
        self.url = f"unix://{socket}"
        self.pid = server_pid(socket)
        self.started_here = child is not None
        self._socket = socket
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

    def revive(self) -> bool:
        """Start the server again if it is gone; return whether it was, and is there again. Nothing after `stop`.

        What it had on disk is there again. One that lives and does not answer is left alone. Raises:
        `ConfigError`, `StateUnavailable` if it does not start.
        """
        if self._users is None or listens(self._socket):
            return False
        with locked(self.folder / ATTACH_LOCK):
            if self._users is None or server_lives(self.folder):
                return False
            self._reap()
            self._child = start_server(self.folder, self._socket.parent.parent)
            wait_until_ready(self.folder, self._socket, child=self._child)
            self.pid = server_pid(self._socket)
            return True

    def stop(self) -> None:
        """Give up the hold; ends the server, its data on disk, if no other process is attached. May be repeated."""
        if self._users is None:
            return
        os.close(self._users)
        self._users = None
        with locked(self.folder / ATTACH_LOCK):
            end_if_unused(self.folder)
        if not server_lives(self.folder):
            self._reap()

    def _reap(self) -> None:
        """Let the kernel forget the child that ended."""
        if self._child is not None:
            with suppress(ChildProcessError):
                os.waitpid(self._child, 0)
            self._child = None


async def keep_alive(server: EmbeddedRedis) -> None:
    """Look every second whether the server is gone, and start it again, until cancelled."""
    while True:
        await asyncio.sleep(WATCH_S)
        try:
            if await asyncio.to_thread(server.revive):
                logger.warning("the embedded Redis had ended and was started again")
        except (ConfigError, StateUnavailable) as error:
            logger.warning("the embedded Redis ended and cannot be started again: %s", error.detail)


def made_folder(folder: Path) -> Path:
    """Return the resolved data folder, made with mode 0700 if it was not there. Raises: `ConfigError`."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder.resolve()
    except OSError as error:
        raise ConfigError(f"the folder of the embedded Redis: {error}") from error


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
