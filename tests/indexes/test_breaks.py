"""Breaks: where a section is cut, and that nothing cheaper exists."""

from __future__ import annotations

from itertools import combinations, pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.breaks import MAX_STRETCH, MAX_UNITS, Unit, best_runs, cut_costs
from indexes.structure import Block, Kind

TARGET = 20


def unit(tokens: int, *, kind: Kind = "prose", part: int = 0, at: int = 0) -> Unit:
    block = Block(at, at, at + 1, at + 1, kind, part or at + 1, part or at + 1)
    return Unit(at, at + 1, tokens, block, colon=False, stop=True)


def total_cost(units: list[Unit], cuts: tuple[int, ...]) -> float:
    """Return what chunks that end before `cuts` cost."""
    edges = [0, *cuts, len(units)]
    sizes = [sum(item.tokens for item in units[start:end]) for start, end in pairwise(edges)]
    too_large = any(
        size > MAX_STRETCH * TARGET and end - start > 1
        for size, (start, end) in zip(sizes, pairwise(edges), strict=True)
    )
    costs = cut_costs(units, TARGET)
    torn = sum(costs[cut - 1] for cut in cuts)
    return float("inf") if too_large else sum((size / TARGET - 1) ** 2 for size in sizes) + torn


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(1, 50), st.sampled_from(["prose", "row", "code"])), min_size=1, max_size=9))
def test_no_other_cuts_are_cheaper(shapes: list[tuple[int, Kind]]) -> None:
    """The runs are the units in order, and cost as little as any way of cutting them."""
    parts = {"prose": 0, "row": 100, "code": 200}
    units = [unit(tokens, kind=kind, part=parts[kind], at=at) for at, (tokens, kind) in enumerate(shapes)]
    runs = best_runs(units, TARGET)
    assert [item for run in runs for item in run] == units
    found = tuple(run[0].start for run in runs[1:])
    ways = [cuts for count in range(len(units)) for cuts in combinations(range(1, len(units)), count)]
    assert total_cost(units, found) <= min(total_cost(units, cuts) for cuts in ways) + 1e-9


def test_chunks_are_balanced_rather_than_filled() -> None:
    """Five equal units that do not fit into two chunks of the target leave no stub."""
    runs = best_runs([unit(8, at=at) for at in range(5)], TARGET)
    assert sorted(len(run) for run in runs) == [2, 3]


def test_a_chunk_holds_no_more_than_64_units() -> None:
    """Units of no size at all are cut too."""
    assert max(len(run) for run in best_runs([unit(0, at=at) for at in range(300)], TARGET)) == MAX_UNITS


def test_nothing_gives_no_runs() -> None:
    """No units, no chunks."""
    assert best_runs([], TARGET) == []
