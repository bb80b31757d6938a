"""When a store is compacted, and when its writers wait for it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from indexes.edge import EdgeEngine
from indexes.library import Library
from indexes.records import Document, IndexKnobs
from indexes.store import Point
from indexes.tidying import MAX_SPOILT, Tidier
from ragopt.tokens import count_tokens_batch
from tests.fakes import WordEncoder


class Restless:
    """A store in which something is always written meanwhile, unless its writers are kept out."""

    def __init__(self, lock: asyncio.Lock) -> None:
        self.lock = lock
        self.waited_for: list[bool] = []

    async def optimize(self) -> bool:
        """Return whether nothing was written meanwhile, and note it."""
        self.waited_for.append(self.lock.locked())
        return self.lock.locked()


def test_writers_wait_once_they_spoilt_it_twice() -> None:
    """Two tries beside the writers, one in their place, and from the start again."""

    async def run() -> list[bool]:
        lock = asyncio.Lock()
        store = Restless(lock)
        tidier = Tidier(store, lambda: lock)  # type: ignore[arg-type]
        for _ in range(2 * (MAX_SPOILT + 1)):
            await tidier.tidy()
        return store.waited_for

    assert asyncio.run(run()) == [*[False] * MAX_SPOILT, True] * 2


def numbered(folder: Path) -> set[str]:
    """Return the numbers of the shards in the folder of an engine: a compacted one has the next."""
    return {path.name for path in folder.glob("*/[0-9]*") if path.name.isdigit()}


@pytest.mark.campaign
@pytest.mark.skipif(not os.environ.get("CAMPAIGN"), reason="takes most of a minute: `make campaign` runs it")
def test_a_collection_that_is_always_written_to_is_compacted(tmp_path: Path) -> None:
    """Ingests that follow each other without a pause do not keep its old versions on the disk for ever."""

    async def run() -> set[str]:
        engine = EdgeEngine(tmp_path, compact_after=20)
        library = Library(
            engine,
            WordEncoder(),
            knobs=IndexKnobs(chunk_tokens=20),
            count_tokens=count_tokens_batch,
            max_document_bytes=100_000,
        )
        shards: set[str] = set()
        for edition in range(5_000):
            documents = [Document(f"d{n}", f"Rule {n} of edition {edition} stands here.") for n in range(2)]
            await library.ingest("acme", "rules", documents)
            shards |= numbered(tmp_path)
            if "2" in shards:
                break
        await library.close()
        await engine.close()
        return shards

    assert "2" in asyncio.run(run())


def test_compaction_cuts_the_log_and_loses_nothing(tmp_path: Path) -> None:
    """Of the full parts of the write-ahead log one stays; what is written afterwards outlives a restart."""
    ids = [str(UUID(int=number + 1)) for number in range(200)]

    def points(edition: str) -> list[Point]:
        payload = {"text": edition + "x" * 60_000}
        return [Point(name, payload, np.ones(4, np.float32)) for name in ids]

    def full_parts() -> int:
        return sum(1 for log in tmp_path.glob("*/*/wal") for _ in log.glob("closed-*"))

    async def editions(engine: EdgeEngine) -> list[str]:
        found = await (await engine.open("a", dim=4)).fetch(ids)
        return [str(point.payload["text"]).partition("x")[0] for point in found]

    async def run(first: int) -> None:
        engine = EdgeEngine(tmp_path, compact_after=100)
        store = await engine.open("a", dim=4)
        for edition in range(first, first + 9):
            await store.upsert(points(f"edition {edition} "))
        assert full_parts() > 1
        assert await store.optimize()
        assert full_parts() == 1
        assert await editions(engine) == [f"edition {first + 8} "] * len(ids)
        await store.upsert(points("last ")[:1])
        await engine.close()
        reopened = EdgeEngine(tmp_path)
        assert await editions(reopened) == ["last ", *[f"edition {first + 8} "] * (len(ids) - 1)]
        await reopened.close()

    for first in (0, 10):
        asyncio.run(run(first))
