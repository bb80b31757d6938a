"""The lock of a data dir: one holder, its address for others, and nothing left behind by a dead one."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from indexes.errors import StoreLocked
from ragopt.state.data_dir import LOCK_FILE, DataDirLock, RunningService, read_running

HOLDER = """
import sys, time
from pathlib import Path
from ragopt.state.data_dir import DataDirLock
lock = DataDirLock(Path(sys.argv[1]))
lock.announce("http://127.0.0.1:9")
print("held", flush=True)
time.sleep(60)
"""


def held_elsewhere(data_dir: Path) -> subprocess.Popen[str]:
    """Return another process that holds the data dir."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(data_dir)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    """End a process with no chance to clean up."""
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)


def test_nobody_holds_a_new_folder(tmp_path: Path) -> None:
    """A folder that no service ever used has no holder, and looking makes no file."""
    assert read_running(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_holder_is_named(tmp_path: Path) -> None:
    """Another process learns who holds the folder, where it serves, and a key for it; the file is private."""
    process = held_elsewhere(tmp_path)
    try:
        running = read_running(tmp_path)
        assert running is not None
        assert (running.pid, running.url) == (process.pid, "http://127.0.0.1:9")
        assert len(running.token) >= 32
        assert stat.S_IMODE((tmp_path / LOCK_FILE).stat().st_mode) == 0o600
        with pytest.raises(StoreLocked, match=rf"process {process.pid}, which serves http://127.0.0.1:9"):
            DataDirLock(tmp_path)
    finally:
        end(process)


def test_killed_holder_locks_nobody_out(tmp_path: Path) -> None:
    """After `kill -9` the file still names the dead process, but nobody is said to run and the folder can be taken."""
    end(held_elsewhere(tmp_path))
    assert (tmp_path / LOCK_FILE).read_text() != ""
    assert read_running(tmp_path) is None
    with DataDirLock(tmp_path):
        running = read_running(tmp_path)
    assert running is not None
    assert running.pid == os.getpid()


def test_second_lock_in_one_process_is_refused(tmp_path: Path) -> None:
    """The lock holds inside one process too, and is free again after its release, which may be repeated."""
    with DataDirLock(tmp_path) as lock:
        with pytest.raises(StoreLocked, match="which serves no HTTP"):
            DataDirLock(tmp_path)
        lock.release()
        with DataDirLock(tmp_path) as second:
            assert second.token != lock.token


def test_shorter_address_replaces_a_longer_one(tmp_path: Path) -> None:
    """What was announced last is what others read, whatever its length."""
    with DataDirLock(tmp_path) as lock:
        lock.announce("http://127.0.0.1:12345/long")
        lock.announce("http://h:1")
        assert read_running(tmp_path) == RunningService(os.getpid(), "http://h:1", lock.token)


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A data dir below a file is refused with its name."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreLocked, match="file"):
        DataDirLock(tmp_path / "file" / "data")


def test_file_of_an_old_version_is_repaired(tmp_path: Path) -> None:
    """A lock file with loose rights or other content is taken over and made private."""
    (tmp_path / LOCK_FILE).write_text("not json")
    (tmp_path / LOCK_FILE).chmod(0o644)
    assert read_running(tmp_path) is None
    with DataDirLock(tmp_path):
        assert stat.S_IMODE((tmp_path / LOCK_FILE).stat().st_mode) == 0o600
