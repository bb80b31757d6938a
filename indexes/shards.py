"""Folders of shards: where each store lies on disk, which shards are open, and how one is replaced.

`<folder>/<digest of the name>/` holds `name` (the store's name) and the shard, in a folder whose name
is a number. The highest number is the shard; lower ones, and names that end in `.tmp`, are what a
process that died has left. `<folder>/empty-<kind>/` is an empty shard to copy. A rename is every
commit. Everything here but `held` blocks: call it in a thread.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar
from uuid import uuid4

from indexes.errors import InvalidText, StorageFull, StoreUnavailable


class Closable(Protocol):
    """What the pool needs to know of an engine's shard."""

    def close(self) -> object:
        """Write out what is pending and release the files."""


EngineShard = TypeVar("EngineShard", bound=Closable)

COPY_BYTES = 1024 * 1024


@dataclass(slots=True, eq=False)
class OpenShard(Generic[EngineShard]):
    """An open shard. `writing` is held by whoever writes; `written` counts what was written since it was compacted."""

    engine: EngineShard
    path: Path
    written: int = 0
    compacted: bool = False
    compacting: bool = False
    writing: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    replaced: bool = False


@dataclass(frozen=True, slots=True)
class Compaction(Generic[EngineShard]):
    """A compaction that runs: the shard, what was written to it before, and the folder for the compacted copy."""

    shard: OpenShard[EngineShard]
    written: int
    target: Path

    @classmethod
    def of(cls, shard: OpenShard[EngineShard]) -> Compaction[EngineShard]:
        """Return the compaction that begins now; no two of them share a target, whatever became of the first."""
        target = shard.path.with_name(f"{int(shard.path.name) + 1}-{uuid4().hex}.tmp")
        return cls(shard, shard.written, target)


class ShardPool(Generic[EngineShard]):
    """The shards of one folder: loaded on first use, the least recently used closed beyond `max_open`."""

    def __init__(self, folder: Path, *, load: Callable[[Path], EngineShard], max_open: int) -> None:
        self._folder = folder
        self._load = load
        self._max_open = max_open
        self._changed = threading.Condition()  # guards everything below and the users of every shard
        self._open: OrderedDict[str, OpenShard[EngineShard]] = OrderedDict()
        self._names: set[str] | None = None
        self._leases = 0
        self._closed = False

    def refuse_closed(self) -> None:
        """Raise `StoreUnavailable` if the pool was closed."""
        if self._closed:
            raise StoreUnavailable("the embedded index is closed")

    def names(self) -> list[str]:
        """Return the names of the stores on disk, sorted. Raises: `OSError`."""
        with self._changed:
            return sorted(self._known())

    def add(self, name: str, *, kind: str, create: Callable[[Path], None]) -> None:
        """Make the store unless it exists: a copy of the empty shard of its kind, which `create` makes once.

        Making a shard syncs some 300 times, for seconds where the disk is busy; a copy never does.
        Raises: `InvalidText` if the name is not valid Unicode, `StorageFull`, `OSError`, what `create` raises.
        """
        with self._changed:
            self.refuse_closed()
            if name in self._known():
                return
            home, empty = self._home(name), self._folder / f"empty-{kind}"
            if not empty.exists():
                prepared = unfinished(empty)
                create(prepared)
                prepared.rename(empty)
            fresh = unfinished(home)
            fresh.mkdir()
            copy_shard(empty, fresh / "1")
            (fresh / "name").write_bytes(name.encode())
            fresh.rename(home)
            sync(self._folder)
            self._known().add(name)

    @contextmanager
    def lease(self, name: str) -> Iterator[OpenShard[EngineShard]]:
        """Yield the open shard, which stays open at least as long as the block runs. Raises: what `load` raises."""
        with self._changed:
            self.refuse_closed()
            if name not in self._open:
                path = newest(self._home(name))
                self._open[name] = OpenShard(self._load(path), path)
            self._open.move_to_end(name)
            shard = self._open[name]
            shard.users += 1
            self._leases += 1
            self._close_surplus()
        try:
            yield shard
        finally:
            with self._changed:
                shard.users -= 1
                self._leases -= 1
                self._discard_if_replaced(shard)
                self._close_surplus()
                self._changed.notify_all()

    @contextmanager
    def held(self, name: str) -> Iterator[OpenShard[EngineShard] | None]:
        """Yield the shard if it is open and nobody is at the pool, else None; it never waits.

        Nobody opens, closes or replaces a shard before the end of the block, which must be short.
        """
        if not self._changed.acquire(blocking=False):
            yield None
            return
        try:
            shard = None if self._closed else self._open.get(name)
            if shard is not None:
                self._open.move_to_end(name)
            yield shard
        finally:
            self._changed.release()

    def adopt(self, name: str, plan: Compaction[EngineShard]) -> bool:
        """Put the copy at `plan.target` in the place of the shard it was made from; return whether that still was so.

        If the shard was written to, closed or replaced meanwhile, the copy is thrown away. Those who
        use the old shard go on with it; it is deleted when the last one is done. No copy at all means
        that there was nothing to gain. Raises: what `load` raises, with the old shard still in place.
        """
        with self.lease(name) as shard, shard.writing:
            if shard is not plan.shard or shard.written != plan.written:
                shutil.rmtree(plan.target, ignore_errors=True)
                return False
            if plan.target.exists():
                self._replace(name, shard, plan.target)
            else:
                shard.compacted, shard.written = True, 0
            return True

    def _replace(self, name: str, shard: OpenShard[EngineShard], prepared: Path) -> None:
        path = prepared.with_name(prepared.name.partition("-")[0])
        prepared.rename(path)
        try:
            engine = self._load(path)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        sync(path.parent)
        with self._changed:
            self._open[name] = OpenShard(engine, path, compacted=True)
            shard.replaced = True

    def close(self, name: str) -> None:
        """Close the shard of that name once nobody uses it; the next lease loads it again."""
        with self._changed:
            self._changed.wait_for(lambda: name not in self._open or self._open[name].users == 0)
            shard = self._open.pop(name, None)
            if shard is not None:
                shard.engine.close()

    def close_all(self) -> None:
        """Refuse new leases, wait for those that run, and close every shard."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: self._leases == 0)
            while self._open:
                self._open.popitem()[1].engine.close()

    def _home(self, name: str) -> Path:
        """Return the folder of a store. Names may hold slashes, dots and 1,000 characters: a digest may not."""
        try:
            return self._folder / hashlib.sha256(name.encode()).hexdigest()[:32]
        except UnicodeEncodeError as error:
            raise InvalidText(f"the name of a store is not valid Unicode: {error.reason}") from error

    def _known(self) -> set[str]:
        """Return the names on disk, read once: no other process adds any."""
        if self._names is None:
            found = self._folder.glob("*/name") if self._folder.is_dir() else ()
            self._names = {path.read_bytes().decode() for path in found if path.parent.suffix != ".tmp"}
        return self._names

    def _close_surplus(self) -> None:
        idle = [name for name, shard in self._open.items() if shard.users == 0]
        for name in idle[: max(0, len(self._open) - self._max_open)]:
            self._open.pop(name).engine.close()

    def _discard_if_replaced(self, shard: OpenShard[EngineShard]) -> None:
        if shard.replaced and shard.users == 0:
            shard.engine.close()
            shutil.rmtree(shard.path, ignore_errors=True)


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
    numbers = sorted(int(path.name) for path in home.iterdir() if path.name.isdigit())
    if not numbers:
        raise FileNotFoundError(f"{home} holds no shard")
    leftovers = [home / str(number) for number in numbers[:-1]]
    for path in (*leftovers, *home.glob("*.tmp")):
        shutil.rmtree(path, ignore_errors=True)
    return home / str(numbers[-1])


def copy_shard(source: Path, target: Path) -> None:
    """Copy a folder with its holes left out: most of a shard's files are reserved space, not data.

    Raises: `OSError`; `StorageFull`, before anything is copied, if the disk could not hold the copy and what is made
    of it.
    """
    needed = 2 * sum(path.stat().st_blocks * 512 for path in source.rglob("*") if path.is_file())
    if shutil.disk_usage(source).free < needed:
        raise StorageFull(f"{needed >> 20} MiB of free disk are needed to copy {source}")
    shutil.copytree(source, target, copy_function=copy_sparse)


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
