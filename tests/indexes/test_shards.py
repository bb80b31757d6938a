"""The pool of open shards, over an engine whose shards are text files."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from indexes.errors import StoreUnavailable
from indexes.shard_files import LACKING, copy_shard, newest
from indexes.shards import MOST_CARRIED, Compaction, ShardPool


class TextShard:
    """A shard that is one file; using it after it was closed is an error."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.closed = False

    def read(self) -> str:
        """Return the content."""
        assert not self.closed
        return (self.path / "data").read_text()

    def append(self, text: str) -> None:
        """Write at the end."""
        (self.path / "data").write_text(self.read() + text)

    def close(self) -> None:
        """Close the shard, once."""
        assert not self.closed
        self.closed = True


class Engine:
    """Makes and loads text shards, and remembers what it loaded."""

    def __init__(self) -> None:
        self.loaded: list[TextShard] = []
        self.created = 0
        self.may_load = threading.Event()
        self.may_load.set()

    def create(self, path: Path) -> None:
        """Make an empty shard."""
        path.mkdir()
        (path / "data").write_text("empty")
        self.created += 1

    def load(self, path: Path) -> TextShard:
        """Return the shard of a folder."""
        self.may_load.wait()
        if not (path / "data").exists():
            raise StoreUnavailable(f"{path} is damaged")
        self.loaded.append(TextShard(path))
        return self.loaded[-1]

    def open_now(self) -> int:
        """Return how many shards are open."""
        return sum(not shard.closed for shard in self.loaded)


@pytest.fixture
def engine() -> Engine:
    """Return an engine that has loaded nothing."""
    return Engine()


@pytest.fixture
def pool(engine: Engine, tmp_path: Path) -> Iterator[ShardPool[TextShard]]:
    """Return a pool of at most two open shards with five stores, and close it."""
    pool = ShardPool(tmp_path / "index", load=engine.load, max_open=2)
    for name in "abcde":
        pool.add(name, kind="text", create=engine.create)
    yield pool
    pool.close_all()
    assert engine.open_now() == 0


def content(pool: ShardPool[TextShard], name: str) -> str:
    """Return the content of a store."""
    with pool.lease(name) as shard:
        return shard.engine.read()


def plan(pool: ShardPool[TextShard], name: str, data: str | None) -> Compaction[TextShard]:
    """Return a compaction of a store whose result holds `data`, or no result at all."""
    with pool.lease(name) as shard:
        compaction = Compaction.of(shard, threading.Event())
        if data is not None:
            compaction.target.mkdir()
            (compaction.target / "data").write_text(data)
        return compaction


def test_the_empty_shard_is_made_once(engine: Engine, pool: ShardPool[TextShard]) -> None:
    """Five stores of a kind, one of them added twice, are copies of one empty shard."""
    pool.add("a", kind="text", create=engine.create)
    assert engine.created == 1
    assert pool.names() == ["a", "b", "c", "d", "e"]
    assert content(pool, "e") == "empty"


def test_least_recently_used_is_closed(engine: Engine, pool: ShardPool[TextShard]) -> None:
    """Beyond the limit the shard that was used longest ago is closed, and loaded again on its next use."""
    for name in "abacad":
        content(pool, name)
    assert [shard.path.parent for shard in engine.loaded if not shard.closed] == [
        engine.loaded[0].path.parent,
        engine.loaded[3].path.parent,
    ]
    assert len(engine.loaded) == 4
    content(pool, "b")
    assert len(engine.loaded) == 5


def test_shard_in_use_stays_open(engine: Engine, pool: ShardPool[TextShard]) -> None:
    """Shards in use stay open beyond the limit, and are closed when they are done."""
    with ExitStack() as stack:
        shards = [stack.enter_context(pool.lease(name)) for name in "abcde"]
        assert [shard.engine.read() for shard in shards] == ["empty"] * 5
    assert engine.open_now() == 2


def test_close_waits_for_users(pool: ShardPool[TextShard]) -> None:
    """Closing a store or the pool waits until nobody uses it."""
    held, release = threading.Event(), threading.Event()

    def use() -> None:
        with pool.lease("a") as shard:
            held.set()
            release.wait(60)
            shard.engine.read()

    def close() -> None:
        pool.close("a")
        pool.close_all()

    user, closer = threading.Thread(target=use), threading.Thread(target=close)
    user.start()
    held.wait(60)
    closer.start()
    closer.join(0.05)
    assert closer.is_alive()
    release.set()
    closer.join(10)
    user.join(10)
    assert not closer.is_alive()
    with pytest.raises(StoreUnavailable):
        content(pool, "a")


def test_shard_that_does_not_load_holds_nothing_up(engine: Engine, pool: ShardPool[TextShard]) -> None:
    """A store whose load fails raises each time it is used; the others work, and the pool closes."""
    content(pool, "a")
    (engine.loaded[0].path / "data").unlink()
    pool.close("a")
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            content(pool, "a")
    assert content(pool, "b") == "empty"


def test_adopted_copy_replaces_the_shard(engine: Engine, pool: ShardPool[TextShard]) -> None:
    """A copy takes the shard's place; who uses the old one goes on, then it is closed and deleted."""
    prepared = plan(pool, "a", "compacted")
    with pool.lease("a") as old:
        pool.adopt("a", prepared)
        assert content(pool, "a") == "compacted"
        assert old.engine.read() == "empty"
    assert old.engine.closed
    assert not old.path.exists()
    pool.close("a")
    assert content(pool, "a") == "compacted"


def written(pool: ShardPool[TextShard], name: str, text: str, *, points: int = 1) -> None:
    """Write at the end of a store."""
    pool.write(name, lambda engine: engine.append(text), points=points)


def test_what_is_written_meanwhile_is_in_the_copy_too(pool: ShardPool[TextShard], tmp_path: Path) -> None:
    """What was written since the copy began is written to it, in order, before it takes the shard's place."""
    prepared = plan(pool, "a", "compacted")
    written(pool, "a", " one", points=3)
    written(pool, "a", " two")
    assert pool.adopt("a", prepared)
    assert content(pool, "a") == "compacted one two"
    with pool.lease("a") as shard:
        assert (shard.written, shard.compacted, shard.compacting()) == (4, True, False)
    assert not [*(tmp_path / "index").rglob(f"*{LACKING}")]
    pool.close("a")
    assert content(pool, "a") == "compacted one two"


@pytest.mark.parametrize("change", ["much", "failed", "reloaded"])
def test_copy_of_what_has_changed_is_thrown_away(pool: ShardPool[TextShard], change: str) -> None:
    """So is one that would lack what is too much to be written again or was half written, and one of a closed shard."""
    prepared = plan(pool, "a", "compacted")
    if change == "much":
        written(pool, "a", "!", points=MOST_CARRIED + 1)
    elif change == "failed":
        with pytest.raises(ZeroDivisionError):
            pool.write("a", lambda _: 1 / 0, points=1)
    else:
        pool.close("a")
    before = content(pool, "a")
    assert not pool.adopt("a", prepared)
    assert content(pool, "a") == before
    assert not prepared.target.exists()


def test_write_that_waited_for_the_copy_is_in_it(engine: Engine, pool: ShardPool[TextShard]) -> None:
    """A write that waits while the shard is replaced goes to the one in its place."""
    prepared = plan(pool, "a", "compacted")
    with pool.lease("a") as old, ThreadPoolExecutor() as threads:
        engine.may_load.clear()
        adopted = threads.submit(pool.adopt, "a", prepared)
        until(old.writing.locked)
        late = threads.submit(written, pool, "a", " late")
        until(lambda: old.users == 3)
        engine.may_load.set()
        assert adopted.result()
        late.result()
    assert content(pool, "a") == "compacted late"


def until(holds: Callable[[], bool]) -> None:
    """Return once it holds."""
    while not holds():
        time.sleep(0.001)


def test_nothing_is_kept_for_a_compaction_that_is_over(pool: ShardPool[TextShard]) -> None:
    """Once nobody waits for a compaction, what is written is not kept any more, and another one may begin."""
    prepared = plan(pool, "a", "compacted")
    with pool.lease("a") as shard:
        assert shard.compacting()
        prepared.over.set()
        assert not shard.compacting()
    written(pool, "a", "!")
    assert (prepared.meanwhile, shard.compaction) == ([], None)


def test_copy_that_lacks_something_is_no_shard(pool: ShardPool[TextShard]) -> None:
    """A process that died before the copy held what was written meanwhile left the old shard; the copy is deleted."""
    with pool.lease("a") as shard:
        home = shard.path.parent
    pool.close("a")
    (home / "2").mkdir()
    (home / "2" / "data").write_text("compacted")
    (home / f"2{LACKING}").touch()
    assert content(pool, "a") == "empty"
    assert sorted(path.name for path in home.iterdir()) == ["1", "name"]


def test_no_copy_means_nothing_to_gain(pool: ShardPool[TextShard]) -> None:
    """A compaction without a result leaves the shard, and counts its writes from zero again."""
    with pool.lease("a") as shard:
        shard.written = 7
    pool.adopt("a", plan(pool, "a", None))
    assert (shard.written, shard.compacted, content(pool, "a")) == (0, True, "empty")


def test_copy_that_does_not_load_is_deleted(pool: ShardPool[TextShard]) -> None:
    """If the copy cannot be loaded the error is raised, and the old shard stays, also after a reload."""
    prepared = plan(pool, "a", "compacted")
    (prepared.target / "data").unlink()
    with pytest.raises(StoreUnavailable):
        pool.adopt("a", prepared)
    assert content(pool, "a") == "empty"
    pool.close("a")
    assert content(pool, "a") == "empty"


def test_newest_is_the_highest_number(tmp_path: Path) -> None:
    """Numbers are compared as numbers; older folders and unfinished ones are deleted, other files are kept."""
    for name in ("9", "10", "11.tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "name").write_text("a")
    assert newest(tmp_path) == tmp_path / "10"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["10", "name"]
    with pytest.raises(FileNotFoundError):
        newest(tmp_path / "10")


def test_copies_are_equal_and_sparse(tmp_path: Path) -> None:
    """A copied folder has the same bytes, holes at the start, in the middle and at the end included."""
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "deep").mkdir(parents=True)
    (source / "empty").touch()
    (source / "plain").write_bytes(bytes(range(256)) * 10_000)
    with (source / "deep" / "holes").open("wb") as file:
        for offset in (1_000_000, 5_000_000):
            file.seek(offset)
            file.write(b"data" * 1_000)
        file.truncate(8_000_000)
    copy_shard(source, target)
    for path in ("empty", "plain", "deep/holes"):
        assert (target / path).read_bytes() == (source / path).read_bytes()
    assert (target / "deep/holes").stat().st_blocks <= (source / "deep/holes").stat().st_blocks
