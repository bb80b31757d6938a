"""The lock of an embedded data dir, and where the process that holds it can be reached."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from indexes.errors import StoreLocked

LOCK_FILE = "service.lock"
# The holder takes the lock first and writes its address next: a reader may see the file in between.
WRITE_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class RunningService:
    """Who holds a data dir. `url` is empty where the holder serves no HTTP; `token` is a key with all scopes."""

    pid: int
    url: str
    token: str

    def describe(self) -> str:
        """Return the holder in words, for an error line."""
        return f"process {self.pid}, " + (f"which serves {self.url}" if self.url else "which serves no HTTP")


class DataDirLock:
    """Exclusive hold on a data dir until `release`, or until this process ends in any way at all.

    An advisory `flock`: the kernel drops it with the process, so a lock file left by `kill -9`
    locks nobody out. Raises: `StoreLocked` naming the holder, or saying that the folder cannot be
    written.
    """

    def __init__(self, data_dir: Path) -> None:
        self.token = secrets.token_urlsafe(32)
        self._path = data_dir / LOCK_FILE
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreLocked(f"the data dir {data_dir} cannot be used: {error.strerror}") from error
        self._take(data_dir)
        # An old file may have been made by hand with other rights; the token inside must stay private.
        os.fchmod(self._file, 0o600)
        self.announce("")

    def _take(self, data_dir: Path) -> None:
        until = time.monotonic() + WRITE_WAIT_S
        while True:
            try:
                return fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = read_running(data_dir)
                # Nobody after all: it was a reader that looked, or a holder that left just now.
                if holder is None and time.monotonic() < until:
                    continue
                os.close(self._file)
                held_by = holder.describe() if holder else "another process"
                raise StoreLocked(f"the data dir {data_dir} is held by {held_by}") from error

    def announce(self, url: str) -> None:
        """Write the address at which this process serves; empty while it serves none."""
        content = json.dumps(asdict(RunningService(os.getpid(), url, self.token))).encode()
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, content, 0)

    def release(self) -> None:
        """Give the data dir back; further calls do nothing."""
        if self._file >= 0:
            os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> DataDirLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def read_running(data_dir: Path) -> RunningService | None:
    """Return who holds `data_dir`; None if nobody does, whatever a lock file there still says."""
    try:
        file = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreLocked(f"the lock of the data dir {data_dir} cannot be read: {error.strerror}") from error
    try:
        until = time.monotonic() + WRITE_WAIT_S
        while is_held(file):
            found = parse_running(os.pread(file, 4096, 0))
            if found is not None:
                return found
            if time.monotonic() > until:
                raise StoreLocked(f"the data dir {data_dir} is held by a process that does not say who it is")
            time.sleep(0.01)
        return None
    finally:
        os.close(file)


def is_held(file: int) -> bool:
    """Return whether another open file holds the lock; takes it for an instant if not."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def parse_running(content: bytes) -> RunningService | None:
    """Return what a lock file says, None while it is not written to the end."""
    try:
        fields = json.loads(content)
        return RunningService(pid=int(fields["pid"]), url=str(fields["url"]), token=str(fields["token"]))
    except (ValueError, KeyError, TypeError):
        return None
