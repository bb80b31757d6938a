"""Where a test run keeps its folders: in memory where there is room, so that no test waits for a disk.

An index lays out about 100 MB in many files, and a test that makes one waits for the disk far longer than it works.
What tests prove is the same there: a process that is killed loses nothing that it wrote, on a disk or in memory.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEMORY = Path("/dev/shm")
# Short: the folder of a socket has 40 characters at most.
PREFIX = "rt-"
# The run's folders take some GB at a time; the rest is for whoever else uses the memory.
ROOM_BYTES = 8 << 30
CGROUP = Path("/sys/fs/cgroup")


@contextmanager
def in_memory() -> Iterator[Path | None]:
    """Keep the temporary files of this process and of those it starts in memory for the block; None if it may not be.

    `TMPDIR` names another place. Under `make campaign` the disk is used: it runs for long, and on what operators have.
    """
    if "TMPDIR" in os.environ or os.environ.get("CAMPAIGN") or room() < ROOM_BYTES:
        yield None
        return
    remove_left()
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=MEMORY, ignore_cleanup_errors=True) as folder:
        held = os.open(folder, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_SH)
        os.environ["TMPDIR"], tempfile.tempdir = folder, None
        try:
            yield Path(folder)
        finally:
            del os.environ["TMPDIR"]
            tempfile.tempdir = None
            os.close(held)


def remove_left() -> None:
    """Remove what runs left that were killed: in memory it would stay. A run that lives holds its folder."""
    for left in MEMORY.glob(f"{PREFIX}*"):
        try:
            opened = os.open(left, os.O_RDONLY)
        except OSError:
            continue
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        except OSError:
            continue
        finally:
            os.close(opened)


def room() -> int:
    """Return how many bytes may be put into memory here: the least that anything leaves, 0 where nothing tells."""
    try:
        told = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = [shutil.disk_usage(MEMORY).free, int(told["MemAvailable"].removesuffix("kB")) << 10]
        limit = CGROUP / "memory.max"
        if limit.exists() and (most := limit.read_text().strip()) != "max":
            free.append(int(most) - int((CGROUP / "memory.current").read_text()))
    except (OSError, ValueError, KeyError):
        return 0
    return min(free) if os.access(MEMORY, os.W_OK) else 0
