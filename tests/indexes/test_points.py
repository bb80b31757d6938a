"""Batches and order of points."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import InvalidText
from indexes.points import BATCH_BYTES, BATCH_POINTS, batches, in_order, payload_bytes
from indexes.store import Point


def sized(number: int, characters: int) -> Point:
    """Return a point whose payload has that many characters."""
    return Point(str(UUID(int=number)), {"text": "x" * characters})


@given(st.lists(st.sampled_from([0, 10, BATCH_BYTES // 3, BATCH_BYTES, 2 * BATCH_BYTES]), max_size=300))
def test_batches_keep_order_and_limits(sizes: list[int]) -> None:
    """Batches hold every point in order; none is over a limit, except a point that is over it alone."""
    points = [sized(number, characters) for number, characters in enumerate(sizes)]
    result = batches(points)
    assert [point for batch in result for point in batch] == points
    for batch in result:
        assert 1 <= len(batch) <= BATCH_POINTS
        assert len(batch) == 1 or sum(payload_bytes(point.payload) for point in batch) <= BATCH_BYTES


def test_vectors_count() -> None:
    """Dense vectors count towards the bytes of a batch."""
    vector = np.zeros(BATCH_BYTES // 8, dtype=np.float32)
    points = [Point(str(UUID(int=n)), {}, vector) for n in range(6)]
    assert [len(batch) for batch in batches(points)] == [2, 2, 2]


def test_bytes_are_utf8() -> None:
    """Sizes are counted in UTF-8, keys included, through lists and objects; a lone surrogate is refused."""
    assert payload_bytes({"ü": "漢", "a": [1, None, True, {"b": "xyz"}]}) == 2 + 3 + 1 + 24 + 1 + 3
    with pytest.raises(InvalidText):
        batches([sized(1, 1), Point(str(UUID(int=2)), {"a": ["\ud800"]})])


def test_order_of_ids() -> None:
    """Points come in the order of the ids, whatever form the UUID has."""
    points = [sized(number, 1) for number in range(10, 13)]
    wanted = [str(UUID(int=12)).upper(), UUID(int=10).hex, str(UUID(int=99)), str(UUID(int=12))]
    assert in_order(wanted, points) == [points[2], points[0], points[2]]
