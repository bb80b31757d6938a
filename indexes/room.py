"""Room on the disk: the engine maps its files, and the kernel kills who writes to a mapped file without room for it."""

from __future__ import annotations

import shutil
from pathlib import Path

from indexes.errors import StorageFull

# Two of the engine's write-ahead segments of 32 MB.
LEAST_FREE_BYTES = 64 * 1024 * 1024


def refuse_full(folder: Path, *, least_bytes: int = LEAST_FREE_BYTES) -> None:
    """Return if there is room for a write on the disk of a folder. Raises: `StorageFull`."""
    free = shutil.disk_usage(folder).free
    if free < least_bytes:
        raise StorageFull(
            f"the disk of {folder} has {free / 1e6:.0f} MB left, and nothing is written below "
            f"{least_bytes / 1e6:.0f} MB: make room, or set RAGOPT_DATA_DIR to a larger disk"
        )
