"""Room on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from indexes.errors import StorageFull
from indexes.room import refuse_full
from indexes.shard_files import copy_shard


def test_a_disk_with_room_is_written_to(tmp_path: Path) -> None:
    """Nothing is raised while more is left than a write may need."""
    assert refuse_full(tmp_path, least_bytes=0) is None


def test_a_full_disk_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """The error says how much is left, how much there has to be, and what to do."""
    with pytest.raises(StorageFull, match=r"MB left, and nothing is written below .* MB: make room"):
        refuse_full(tmp_path, least_bytes=1 << 62)


def test_a_copy_that_cannot_fit_is_not_begun(tmp_path: Path) -> None:
    """A shard of holes takes its room only where it was written."""
    (tmp_path / "shard").mkdir()
    (tmp_path / "shard" / "segment").write_bytes(b"x" * 4096)
    copy_shard(tmp_path / "shard", tmp_path / "copy")
    assert (tmp_path / "copy" / "segment").read_bytes() == b"x" * 4096
