"""When a store is compacted, and when its writers wait for it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from indexes.edge import EdgeEngine
from indexes.library import Library
from indexes.records import Document, IndexKnobs
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
