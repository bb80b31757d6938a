"""What only the embedded engine owes: durability, one owner, bounded open shards, compaction beside the service."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

import numpy as np
import pytest

from indexes.edge import EdgeEngine
from indexes.edge_shard import create_shard, load_shard
from indexes.errors import StoreLocked, StoreUnavailable
from indexes.records import SparseVector
from indexes.shard_files import copy_shard
from indexes.store import Point, Store, Where

ROOT = Path(__file__).parents[2]
DIM = 4
ALL = Where()
# Written while a compaction runs, whatever it takes: more than that would be too much to be written again.
ENOUGH = 2_000
WRITER = """
import asyncio, sys, time
from pathlib import Path
from tests.indexes.test_edge import some_points, DIM
from indexes.edge import EdgeEngine
from indexes.edge_shard import create_shard, load_shard

async def write():
    store = await EdgeEngine(Path(sys.argv[1])).open("a", dim=DIM)
    await store.upsert(some_points(300))
    print("acknowledged", flush=True)
    time.sleep(60)

asyncio.run(write())
"""


COMPACTER = """
import asyncio, sys, time
from pathlib import Path
from tests.indexes.test_edge import some_points, DIM, ENOUGH
from indexes.edge import EdgeEngine
from indexes.edge_shard import create_shard, load_shard
from indexes.store import Where

async def write():
    store = await EdgeEngine(Path(sys.argv[1]), compact_after=300).open("a", dim=DIM)
    await store.upsert(some_points(1_500))
    await store.delete(Where(above={"n": 999}))
    compaction = asyncio.create_task(store.optimize())
    written = 1_000
    while not compaction.done():
        if written < ENOUGH:
            await store.upsert(some_points(10, start=written))
            written += 10
        await asyncio.sleep(0.02)
    await compaction
    print(written, flush=True)
    time.sleep(60)

asyncio.run(write())
"""


def some_points(count: int, *, start: int = 0) -> list[Point]:
    """Return points with both vectors, the same for the same numbers."""
    numbers = range(start, start + count)
    return [
        Point(
            str(uuid5(NAMESPACE_OID, str(n))),
            {"n": n, "kind": "chunk", "text": f"text {n}"},
            np.array([1, n, 0, 0], dtype=np.float32),
            SparseVector((n % 7,), (1.0,)),
        )
        for n in numbers
    ]


@pytest.fixture(scope="module")
def empty_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an index with one empty store `a`; making one syncs 300 times, copying it never."""
    folder = tmp_path_factory.mktemp("empty") / "index"

    async def make(engine: EdgeEngine) -> None:
        await engine.open("a", dim=DIM)

    run(make, folder)
    return folder


@pytest.fixture
def home(empty_index: Path, tmp_path: Path) -> Path:
    """Return the folder of the store `a` in a copy of the empty index."""
    copy_shard(empty_index, tmp_path / "index")
    (name,) = (tmp_path / "index").glob("*/name")
    return name.parent


def run(scenario: Callable[[EdgeEngine], Awaitable[None]], folder: Path, **options: int) -> None:
    """Run a scenario against an engine over `folder`, and close the engine."""

    async def against() -> None:
        engine = EdgeEngine(folder, **options)
        try:
            await scenario(engine)
        finally:
            await engine.close()

    asyncio.run(against())


def entries(folder: Path) -> list[str]:
    """Return the names in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir())


async def texts(store: Store) -> list[str]:
    """Return the texts of all points, sorted."""
    return sorted([str(point.payload["text"]) async for point in store.scroll(ALL)])


def expected_texts(count: int) -> list[str]:
    """Return what `texts` returns of that many points."""
    return sorted(f"text {n}" for n in range(count))


def test_points_survive_a_restart(home: Path) -> None:
    """A second engine over the same folder finds the store, its points, and both kinds of search."""

    async def write(engine: EdgeEngine) -> None:
        await (await engine.open("a", dim=DIM)).upsert(some_points(300))

    async def read(engine: EdgeEngine) -> None:
        assert await engine.names() == ["a"]
        store = await engine.open("a", dim=DIM)
        assert await texts(store) == expected_texts(300)
        assert len(await store.search_dense(np.array([1, 0, 0, 0], np.float32), ALL, limit=9)) == 9
        assert len(await store.search_sparse(SparseVector((3,), (1.0,)), ALL, limit=9)) == 9

    run(write, home.parent)
    run(read, home.parent)


def test_acknowledged_points_survive_kill_9(home: Path) -> None:
    """Points whose upsert returned are there after the process was killed, without any flush."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(home.parent)], cwd=ROOT, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"acknowledged\n"
        writer.send_signal(signal.SIGKILL)

    async def read(engine: EdgeEngine) -> None:
        assert await texts(await engine.open("a", dim=DIM)) == expected_texts(300)

    run(read, home.parent)


def test_half_made_store_is_made_again(home: Path, tmp_path: Path) -> None:
    """What a process that was killed while it made a store left behind is neither listed nor in the way."""
    empty = next(path for path in home.parent.iterdir() if path != home)
    for files in ((f"{home.name}.tmp/name", f"{home.name}.tmp/1/wal/open-1"), (f"{empty.name}.tmp/edge_config.json",)):
        folder = tmp_path / f"half-{len(files)}"
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(b"")

        async def check(engine: EdgeEngine) -> None:
            assert await engine.names() == []
            store = await engine.open("a", dim=DIM)
            await store.upsert(some_points(3))
            assert await engine.names() == ["a"]
            assert await store.count(ALL) == 3

        run(check, folder)


def test_second_owner_is_refused(home: Path) -> None:
    """Another engine over the same folder gets an error that names the setting, and the first goes on."""

    async def scenario(engine: EdgeEngine) -> None:
        store = await engine.open("a", dim=DIM)
        await store.upsert(some_points(1))
        intruder = EdgeEngine(home.parent)
        with pytest.raises(StoreLocked, match="RAGOPT_DATA_DIR"):
            await (await intruder.open("a", dim=DIM)).count(ALL)
        await intruder.close()
        assert await store.count(ALL) == 1

    run(scenario, home.parent)


def test_a_lock_that_is_let_go_a_moment_later_is_no_other_owner(tmp_path: Path) -> None:
    """As a process that is just being started holds it, until it runs its own program."""
    path = tmp_path / "shard"
    path.mkdir()
    create_shard(path, dim=DIM)
    holder = load_shard(path)
    let_go = threading.Timer(0.05, holder.close)
    let_go.start()
    try:
        taken = load_shard(path)
    finally:
        let_go.join()
    assert taken.info().points_count == 0
    taken.close()


def test_damaged_shard_is_an_error_of_the_store(home: Path) -> None:
    """A shard whose files are damaged raises `StoreUnavailable`; the other stores work."""

    async def write(engine: EdgeEngine) -> None:
        for name in ("a", "b"):
            await (await engine.open(name, dim=DIM)).upsert(some_points(2))

    async def read(engine: EdgeEngine) -> None:
        with pytest.raises(StoreUnavailable):
            await (await engine.open("a", dim=DIM)).count(ALL)
        assert await (await engine.open("b", dim=DIM)).count(ALL) == 2
        assert await engine.names() == ["a", "b"]

    run(write, home.parent)
    for path in home.rglob("segment.json"):
        path.write_text("{")
    run(read, home.parent)


def test_more_stores_than_may_be_open(home: Path) -> None:
    """Three stores under a limit of one keep their points while all of them are written and searched at once."""

    async def scenario(engine: EdgeEngine) -> None:
        stores = [await engine.open(name, dim=DIM) for name in ("a", "b", "c")]

        async def work(store: Store, number: int) -> None:
            for start in range(0, 20, 10):
                await store.upsert(some_points(10, start=start + number))
                assert len(await store.search_dense(np.array([1, 0, 0, 0], np.float32), ALL, limit=50)) >= start + 10

        await asyncio.gather(*(work(store, number) for number, store in enumerate(stores)))
        for number, store in enumerate(stores):
            assert await texts(store) == sorted(f"text {n}" for n in range(number, 20 + number))

    run(scenario, home.parent, max_open=1)


def test_closed_store_opens_again(home: Path) -> None:
    """Closing a store releases its files, so that another engine can take them; using it again loads it."""

    async def scenario(engine: EdgeEngine) -> None:
        store = await engine.open("a", dim=DIM)
        await store.upsert(some_points(2))
        await store.close()
        other = EdgeEngine(home.parent)
        assert await (await other.open("a", dim=DIM)).count(ALL) == 2
        await other.close()
        assert await store.count(ALL) == 2

    run(scenario, home.parent)


def test_closed_engine_refuses(home: Path) -> None:
    """After `close` every call raises `StoreUnavailable`."""

    async def scenario() -> None:
        engine = EdgeEngine(home.parent)
        store = await engine.open("a", dim=DIM)
        await engine.close()
        with pytest.raises(StoreUnavailable):
            await store.count(ALL)
        with pytest.raises(StoreUnavailable):
            await engine.open("b", dim=DIM)
        with pytest.raises(StoreUnavailable):
            await engine.ping()

    asyncio.run(scenario())


def test_compaction_keeps_what_is_live(home: Path) -> None:
    """Compaction puts a new folder in the old one's place with the same points, searches and filters."""

    async def scenario(engine: EdgeEngine) -> None:
        store = await engine.open("a", dim=DIM)
        await store.upsert(some_points(2_000))
        await store.delete(Where(above={"n": 1_199}))
        query = np.array([1, 3, 0, 0], np.float32)
        before = await store.search_dense(query, Where(at_most={"n": 700}), limit=20)
        await store.optimize()
        assert entries(home) == ["2", "name"]
        assert await texts(store) == expected_texts(1_200)
        assert await store.search_dense(query, Where(at_most={"n": 700}), limit=20) == before
        assert len(await store.search_sparse(SparseVector((3,), (1.0,)), ALL, limit=9)) == 9
        await store.upsert(some_points(1, start=1_200))
        await store.optimize()
        assert entries(home) == ["2", "name"]

    async def again(engine: EdgeEngine) -> None:
        assert await texts(await engine.open("a", dim=DIM)) == expected_texts(1_201)

    run(scenario, home.parent, compact_after=1_000)
    run(again, home.parent)


def test_writes_during_compaction_are_kept(home: Path) -> None:
    """Points written, changed and deleted while a compaction runs are so in the shard it makes, at the first try."""

    async def scenario(engine: EdgeEngine) -> None:
        store = await engine.open("a", dim=DIM)
        await store.upsert(some_points(2_000))
        await store.delete(Where(above={"n": 1_199}))
        compaction = asyncio.create_task(store.optimize())
        written = 1_200
        while not compaction.done():
            if written < ENOUGH:
                await store.upsert(some_points(10, start=written))
                await store.delete(Where(above={"n": written + 7}))
                await store.set_payload(Where(equal={"n": written}), {"version": written})
                written += 8
            await asyncio.sleep(0.02)
        assert await compaction
        assert entries(home) == ["2", "name"]
        assert written > 1_200
        await check(engine, written)

    async def check(engine: EdgeEngine, written: int) -> None:
        store = await engine.open("a", dim=DIM)
        assert await texts(store) == expected_texts(written)
        changed = [point.payload["n"] async for point in store.scroll(Where(above={"version": 0}))]
        assert sorted(changed) == [*range(1_200, written, 8)]

    run(scenario, home.parent, compact_after=1_000)


def test_what_was_written_meanwhile_survives_kill_9(home: Path) -> None:
    """A process that is killed right after a compaction leaves what was acknowledged while it ran."""
    with subprocess.Popen(
        [sys.executable, "-c", COMPACTER, str(home.parent)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        written = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
    assert entries(home) == ["2", "name"]

    async def read(engine: EdgeEngine) -> None:
        assert await texts(await engine.open("a", dim=DIM)) == expected_texts(written)

    run(read, home.parent)


def test_small_store_that_is_written_over_is_compacted(home: Path) -> None:
    """A store of fifty points is compacted once a thousand were written, and not for fewer."""

    async def scenario(engine: EdgeEngine) -> None:
        store = await engine.open("a", dim=DIM)
        for start in range(0, 950, 50):
            await store.upsert(some_points(50, start=start))
            await store.delete(Where(at_most={"n": start - 1}))
        await store.optimize()
        assert entries(home) == ["1", "name"]
        await store.upsert(some_points(50, start=950))
        await store.delete(Where(at_most={"n": 949}))
        await store.optimize()
        assert entries(home) == ["2", "name"]
        assert await texts(store) == sorted(f"text {n}" for n in range(950, 1_000))

    run(scenario, home.parent)


def test_two_compactions_at_once_are_one(home: Path) -> None:
    """A second call while a compaction runs does nothing, through another store of the same name too."""

    async def scenario(engine: EdgeEngine) -> None:
        store, same = await engine.open("a", dim=DIM), await engine.open("a", dim=DIM)
        await store.upsert(some_points(2_000))
        await store.delete(Where(above={"n": 1_199}))
        await asyncio.gather(store.optimize(), same.optimize(), store.optimize())
        assert entries(home) == ["2", "name"]
        assert await texts(same) == expected_texts(1_200)

    run(scenario, home.parent, compact_after=1_000)


def test_cancelled_compaction_changes_nothing(home: Path) -> None:
    """A compaction that is cancelled ends its process and leaves the store as it was, to be compacted later."""

    async def scenario(engine: EdgeEngine) -> None:
        store = await engine.open("a", dim=DIM)
        await store.upsert(some_points(2_000))
        await store.delete(Where(above={"n": 1_199}))
        compaction = asyncio.create_task(store.optimize())
        await asyncio.sleep(0.1)
        compaction.cancel()
        with pytest.raises(asyncio.CancelledError):
            await compaction
        assert await texts(store) == expected_texts(1_200)
        await store.optimize()
        assert entries(home)[0] == "2"

    run(scenario, home.parent, compact_after=1_000)


def test_failed_compaction_changes_nothing(home: Path) -> None:
    """A compaction that fails raises `StoreUnavailable` with the reason; the store goes on as it was."""
    (home / "1" / "dangling").symlink_to("nowhere")

    async def scenario(engine: EdgeEngine) -> None:
        store = await engine.open("a", dim=DIM)
        await store.upsert(some_points(1_200))
        with pytest.raises(StoreUnavailable, match=r"compaction failed: .*dangling"):
            await store.optimize()
        assert entries(home) == ["1", "name"]
        assert await texts(store) == expected_texts(1_200)

    run(scenario, home.parent, compact_after=1_000)


def test_shard_left_by_a_compaction_that_was_killed(home: Path) -> None:
    """After a kill between the rename and the deletion of the old folder, the new one counts and the rest goes."""

    async def write(engine: EdgeEngine) -> None:
        await (await engine.open("a", dim=DIM)).upsert(some_points(5))

    async def read(engine: EdgeEngine) -> None:
        assert await texts(await engine.open("a", dim=DIM)) == expected_texts(5)
        assert entries(home) == ["10", "name"]

    run(write, home.parent)
    (home / "1").rename(home / "10")
    (home / "9").mkdir()
    (home / "11.tmp").mkdir()
    run(read, home.parent)
