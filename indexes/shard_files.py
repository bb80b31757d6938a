"""The files of a shard: copied, made to last, and cleared of what a process that died has left. All of it blocks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from indexes.errors import StorageFull

COPY_BYTES = 1024 * 1024
# Of the file beside a shard that is no shard yet.
LACKING = ".lacking"
# Where the engine keeps its write-ahead log, and how the names of the full parts of it begin; a number follows.
LOG, FULL = "wal", "closed-"


def unfinished(path: Path) -> Path:
    """Return where `path` is prepared before the rename, cleared of what a dead process left there."""
    prepared = path.with_name(f"{path.name}.tmp")
    shutil.rmtree(prepared, ignore_errors=True)
    prepared.parent.mkdir(parents=True, exist_ok=True)
    return prepared


def newest(home: Path) -> Path:
    """Return the shard's folder in a store's folder, after deleting what a dead process left beside it.

    Raises: `OSError` if there is none.
    """
    for lacking in home.glob(f"*{LACKING}"):
        shutil.rmtree(lacking.with_suffix(""), ignore_errors=True)
        lacking.unlink()
    numbers = sorted(int(path.name) for path in home.iterdir() if path.name.isdigit())
    if not numbers:
        raise FileNotFoundError(f"{home} holds no shard")
    leftovers = [home / str(number) for number in numbers[:-1]]
    for path in (*leftovers, *home.glob("*.tmp")):
        shutil.rmtree(path, ignore_errors=True)
    return home / str(numbers[-1])


def copy_shard(source: Path, target: Path) -> None:
    """Copy a shard that was just flushed, its holes and the parts of its log that nobody needs left out.

    Most of its files are reserved space, not data. Raises: `OSError`; `StorageFull`, before anything is copied, if
    the disk could not hold the copy and what is made of it.
    """
    needed = 2 * sum(path.stat().st_blocks * 512 for path in source.rglob("*") if path.is_file())
    if shutil.disk_usage(source).free < needed:
        raise StorageFull(f"{needed >> 20} MiB of free disk are needed to copy {source}")
    shutil.copytree(source, target, copy_function=copy_sparse, ignore=outdated)


def outdated(folder: str, names: Sequence[str]) -> set[str]:
    """Return which files of a folder are parts of the write-ahead log that end before its last full one.

    What they hold is in the segments. The engine never deletes them, at 32 MiB each; from the last full one it knows
    the number of the next write, so that one stays.
    """
    full = [name for name in names if name.startswith(FULL)] if Path(folder).name == LOG else []
    return set(sorted(full, key=lambda name: int(name.removeprefix(FULL)))[:-1])


def copy_sparse(source: str, target: str) -> None:
    """Copy one file; ranges that were never written stay unwritten."""
    with Path(source).open("rb", buffering=0) as read, Path(target).open("wb", buffering=0) as write:
        size = os.fstat(read.fileno()).st_size
        write.truncate(size)
        end = 0
        while end < size:
            try:
                start = os.lseek(read.fileno(), end, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing but a hole up to the end
                break
            end = os.lseek(read.fileno(), start, os.SEEK_HOLE)
            read.seek(start)
            write.seek(start)
            while start < end:
                start += write.write(read.read(min(end - start, COPY_BYTES)))


def sync_tree(folder: Path) -> None:
    """Make every file of a folder survive a loss of power."""
    for path in (folder, *folder.rglob("*")):
        sync(path)


def sync(path: Path) -> None:
    """Make one file, or the entries of one folder, survive a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
