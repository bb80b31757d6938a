"""Splitting calls over batches: nothing lost, nothing doubled, no limit passed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ragopt.providers.batches.protocol import BatchLimits
from ragopt.providers.batches.splitting import split

SIZES = st.lists(st.integers(1, 30), max_size=40)


@given(sizes=SIZES, requests=st.integers(1, 8), most=st.integers(1, 60))
def test_parts_hold_every_call_once_within_the_limits(sizes: list[int], requests: int, most: int) -> None:
    """The parts are consecutive and cover all calls; only a call too large by itself passes a limit."""
    parts = split(sizes, BatchLimits(requests, most))
    assert [at for part in parts for at in part] == list(range(len(sizes)))
    for part in parts:
        assert 0 < len(part) <= requests
        assert len(part) == 1 or sum(sizes[at] for at in part) <= most


@given(sizes=SIZES, requests=st.integers(1, 8), most=st.integers(30, 60))
def test_no_part_could_have_held_the_next_call(sizes: list[int], requests: int, most: int) -> None:
    """A new part begins only where the one before is full."""
    parts = split(sizes, BatchLimits(requests, most))
    for part, following in zip(parts, parts[1:], strict=False):
        full = len(part) == requests
        assert full or sum(sizes[at] for at in part) + sizes[following[0]] > most
