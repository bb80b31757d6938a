"""Folders of shards: where each store lies on disk, which shards are open, and how one is replaced.

`<folder>/<digest of the name>/` holds `name` (the store's name) and the shard, in a folder whose name
is a number. The highest number is the shard, unless `<number>.lacking` stands beside it. That one, lower
ones, and names that end in `.tmp`, are what a process that died has left. `<folder>/empty-<kind>/` is an
empty shard to copy. A rename is every commit, or the removal of `.lacking`. Everything here but `held`
blocks: call it in a thread.
"""

from __future__ import annotations

import hashlib
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeAlias, TypeVar
from uuid import uuid4

from indexes.errors import InvalidText, StoreUnavailable
from indexes.memory import give_back
from indexes.shard_files import LACKING, copy_shard, newest, sync, unfinished


class Closable(Protocol):
    """What the pool needs to know of an engine's shard."""

    def close(self) -> object:
        """Write out what is pending and release the files."""


EngineShard = TypeVar("EngineShard", bound=Closable)

# Does one write to an engine's shard; done again, on a copy from before, it leaves the same points.
Work: TypeAlias = Callable[[EngineShard], object]

# Points that are written while a compaction runs and kept to be written again: a few kB of memory each.
MOST_CARRIED = 5_000


@dataclass(slots=True, eq=False)
class OpenShard(Generic[EngineShard]):
    """An open shard. `writing` is held by whoever writes; `written` counts what was written since it was compacted."""

    engine: EngineShard
    path: Path
    written: int = 0
    compacted: bool = False
    compaction: Compaction[EngineShard] | None = None
    writing: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    replaced: bool = False

    def compacting(self) -> bool:
        """Return whether a compaction runs that somebody waits for."""
        return self.compaction is not None and not self.compaction.over.is_set()

    def write(self, work: Work[EngineShard], *, points: int) -> bool:
        """Write that many points, once more to the compacted copy where one is being made; return whether it was done.

        It is not where the shard was replaced while this waited. Raises: what `work` does.
        """
        with self.writing:
            if self.replaced:
                return False
            running = self.compaction = self.compaction if self.compacting() else None
            try:
                work(self.engine)
            except BaseException:
                # Half of it may be written: nobody knows what to do again.
                if running is not None:
                    running.spoil()
                raise
            self.written += points
            if running is not None:
                running.carry(work, points)
            return True


@dataclass(slots=True, eq=False)
class Compaction(Generic[EngineShard]):
    """A compaction that runs: the shard, the folder for its copy, and what was written to it since it was copied.

    over: set when nobody waits for the result any more. spoilt: too much was written meanwhile.
    """

    shard: OpenShard[EngineShard]
    target: Path
    over: threading.Event
    meanwhile: list[Work[EngineShard]] = field(default_factory=list)
    points: int = 0
    spoilt: bool = False

    @classmethod
    def of(cls, shard: OpenShard[EngineShard], over: threading.Event) -> Compaction[EngineShard]:
        """Return the compaction that begins now; `writing` is held. No two share a target, whatever became of one."""
        target = shard.path.with_name(f"{int(shard.path.name) + 1}-{uuid4().hex}.tmp")
        shard.compaction = cls(shard, target, over)
        return shard.compaction

    def carry(self, work: Work[EngineShard], points: int) -> None:
        """Keep what was written, to be written to the copy too; too much of it spoils the compaction."""
        self.points += points
        self.meanwhile.append(work)
        if self.points > MOST_CARRIED:
            self.spoil()

    def spoil(self) -> None:
        """Give the compaction up: its copy lacks what cannot be made up for."""
        self.spoilt = True
        self.meanwhile.clear()


class ShardPool(Generic[EngineShard]):
    """The shards of one folder: loaded on first use, the least recently used closed beyond `max_open`."""

    def __init__(self, folder: Path, *, load: Callable[[Path], EngineShard], max_open: int) -> None:
        self.folder = folder
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
            home, empty = self._home(name), self.folder / f"empty-{kind}"
            if not empty.exists():
                prepared = unfinished(empty)
                create(prepared)
                prepared.rename(empty)
            fresh = unfinished(home)
            fresh.mkdir()
            copy_shard(empty, fresh / "1")
            (fresh / "name").write_bytes(name.encode())
            fresh.rename(home)
            sync(self.folder)
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
                closed = [self._discard_if_replaced(shard), self._close_surplus()]
                self._changed.notify_all()
            if any(closed):
                give_back()

    def write(self, name: str, work: Work[EngineShard], *, points: int) -> None:
        """Write that many points to the shard of that name. Raises: what `load` and `work` do."""
        done = False
        while not done:
            with self.lease(name) as shard:
                done = shard.write(work, points=points)

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

        What was written meanwhile is written to the copy first. If that is too much, or the shard was closed or
        replaced, the copy is thrown away. Those who use the old shard go on with it; it is deleted when the last
        one is done. No copy at all means that there was nothing to gain. Raises: what `load` and the engine raise,
        with the old shard still in place.
        """
        with self.lease(name) as shard, shard.writing:
            shard.compaction = None
            if shard is not plan.shard or plan.spoilt:
                shutil.rmtree(plan.target, ignore_errors=True)
                return False
            if plan.target.exists():
                self._replace(name, plan)
            else:
                shard.compacted, shard.written = True, plan.points
            return True

    def _replace(self, name: str, plan: Compaction[EngineShard]) -> None:
        path = plan.target.with_name(plan.target.name.partition("-")[0])
        # Until it is gone the shard in `path` lacks what was written meanwhile, and the old one is the shard.
        lacking = path.with_name(f"{path.name}{LACKING}")
        lacking.touch()
        sync(path.parent)
        plan.target.rename(path)
        try:
            engine = self._caught_up(path, plan.meanwhile)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            lacking.unlink()
            raise
        lacking.unlink()
        sync(path.parent)
        with self._changed:
            self._open[name] = OpenShard(engine, path, written=plan.points, compacted=True)
            plan.shard.replaced = True

    def _caught_up(self, path: Path, meanwhile: Sequence[Work[EngineShard]]) -> EngineShard:
        engine = self._load(path)
        try:
            for work in meanwhile:
                work(engine)
        except BaseException:
            engine.close()
            raise
        return engine

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
            return self.folder / hashlib.sha256(name.encode()).hexdigest()[:32]
        except UnicodeEncodeError as error:
            raise InvalidText(f"the name of a store is not valid Unicode: {error.reason}") from error

    def _known(self) -> set[str]:
        """Return the names on disk, read once: no other process adds any."""
        if self._names is None:
            found = self.folder.glob("*/name") if self.folder.is_dir() else ()
            self._names = {path.read_bytes().decode() for path in found if path.parent.suffix != ".tmp"}
        return self._names

    def _close_surplus(self) -> bool:
        idle = [name for name, shard in self._open.items() if shard.users == 0]
        surplus = idle[: max(0, len(self._open) - self._max_open)]
        for name in surplus:
            self._open.pop(name).engine.close()
        return bool(surplus)

    def _discard_if_replaced(self, shard: OpenShard[EngineShard]) -> bool:
        if not shard.replaced or shard.users > 0:
            return False
        shard.engine.close()
        shutil.rmtree(shard.path, ignore_errors=True)
        return True
