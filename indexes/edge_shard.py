"""One shard of the embedded engine on the disk: made, loaded, and compacted in a process of its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
from pathlib import Path

from qdrant_edge import (
    Distance,
    EdgeConfig,
    EdgeOptimizersConfig,
    EdgeShard,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    Memory,
    Modifier,
    PayloadSchemaType,
    UpdateOperation,
    VectorStorageDatatype,
)

from indexes.points import DENSE, SPARSE
from indexes.shard_files import sync_tree
from indexes.store import INTEGER_FIELDS, KEYWORD_FIELDS

# Half precision: the model computes with fewer digits still, and a scan reads half as much memory.
NUMBERS = VectorStorageDatatype.Float16
# A scan is exact: of 20,000 vectors of 384 floats it took 5 ms. Up to this size, now 26,000, no graph is built.
SCAN_KIBIBYTES = 20_000
# What was deleted is dropped where it is a fifth of a segment of so many points. The engine's 1,000 would leave a store
# of fifty points that was written over a thousand times as it is.
VACUUM_POINTS = 100
# What the engine says where another process holds the files of a shard.
LOCKED = "WouldBlock"
LOCKED_FOR_S = 0.25


def shard_kind(dim: int) -> str:
    """Return what changes when an empty shard would be made differently."""
    made_of = (KEYWORD_FIELDS, INTEGER_FIELDS, str(NUMBERS), SCAN_KIBIBYTES, VACUUM_POINTS)
    return f"{dim}-{hashlib.sha256(repr(made_of).encode()).hexdigest()[:8]}"


def create_shard(path: Path, *, dim: int) -> None:
    """Make an empty shard in a new folder, with its payload indexes, and close it."""
    config = EdgeConfig(
        vectors={DENSE: EdgeVectorParams(size=dim, distance=Distance.Cosine, datatype=NUMBERS)},
        sparse_vectors={SPARSE: EdgeSparseVectorParams(modifier=Modifier.Idf)},
        optimizers=EdgeOptimizersConfig(indexing_threshold=SCAN_KIBIBYTES, vacuum_min_vector_number=VACUUM_POINTS),
        # Cold, the default: 50 payloads of 3 kB take 4 to 6 ms after a restart or a compaction, cached 0.2 ms.
        payload_memory=Memory.Cached,
        max_search_threads=2,  # the default is eight more threads for each open shard
    )
    EdgeShard.create(str(path), config).close()
    load_shard(path).close()


def load_shard(path: Path) -> EdgeShard:
    """Return the shard of a folder; payload indexes that it lacks are made, in 0.2 s each for 20,000 points."""
    shard = unlocked(path)
    present = shard.info().payload_schema
    for name in (*KEYWORD_FIELDS, *INTEGER_FIELDS):
        if name not in present:
            kind = PayloadSchemaType.Keyword if name in KEYWORD_FIELDS else PayloadSchemaType.Integer
            shard.update(UpdateOperation.create_field_index(name, kind))
    return shard


def unlocked(path: Path) -> EdgeShard:
    """Return the shard of a folder; one that is locked is tried again for a quarter of a second.

    A process that this one is just starting holds every lock of it until it runs its own program.
    """
    ends = time.monotonic() + LOCKED_FOR_S
    while True:
        try:
            return EdgeShard.load(str(path))
        except Exception as error:  # the engine raises no other type
            if LOCKED not in str(error) or time.monotonic() >= ends:
                raise
            time.sleep(LOCKED_FOR_S / 10)


def compact(copy: Path) -> None:
    """Compact the copy of a shard, or delete it where there was nothing to gain."""
    os.nice(10)
    try:
        shard = load_shard(copy)
        changed = shard.optimize()
        shard.close()
        sync_tree(copy)
    except BaseException:
        shutil.rmtree(copy, ignore_errors=True)
        raise
    if not changed:
        shutil.rmtree(copy)


if __name__ == "__main__":
    compact(Path(sys.argv[1]))
