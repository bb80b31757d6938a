"""How wrong the semantic cache may be: its error bound, from pairs of questions that are labelled.

A bound is worth the right answers that it serves, less what its wrong ones cost. Both are measured as the service
learns: a level is calibrated on a part of the pairs and serves the others, twenty times over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.cache.curve import Same, Scores, calibrated
from eval.cache.measure import scores_of
from eval.cache.sets import QuestionPair, pair_of
from eval.datasets import rows_of
from eval.errors import DatasetError
from eval.intervals import Interval
from eval.routing.sets import Encode, shipped_vectors
from ragopt.config import cache_dir
from ragopt.stages.cache.verifier import SHIPPED, Verifier

BOUNDS = (0.01, 0.02, 0.05, 0.10, 0.20)
MIN_PAIRS = 100


@dataclass(frozen=True, slots=True)
class BoundRow:
    """What a bound comes to, over the splits: mean and range.

    served: the share of the duplicates; wrong: of what was served. worth: right answers less the cost of wrong ones,
    for a hundred duplicates.
    """

    max_wrong: float
    served: Interval
    wrong: Interval
    worth: float


@dataclass(frozen=True, slots=True)
class BoundTuning:
    """What was found over so many pairs. wrong_costs: right answers that one wrong answer outweighs."""

    pairs: int
    duplicates: int
    wrong_costs: float
    rows: Sequence[BoundRow]

    @property
    def chosen(self) -> BoundRow | None:
        """Return the bound that is worth most, the strictest of equals; None where no bound is worth anything."""
        best = max(self.rows, key=lambda row: (row.worth, -row.max_wrong))
        return best if best.worth > 0 else None


async def tuned_bound(path: Path, *, wrong_costs: float, seed: int, encode: Encode = shipped_vectors) -> BoundTuning:
    """Return what each bound is worth on the pairs of a file: `a`, `b` and `duplicate`. Raises: `DatasetError`."""
    pairs = read_pairs(path)
    verifier = Verifier.load(SHIPPED, cache_folder=cache_dir())
    try:
        scored = await scores_of(pairs, verifier, encode)
    finally:
        await verifier.close()
    rows = bound_rows(scored.ragopt, scored.same, wrong_costs=wrong_costs, seed=seed)
    return BoundTuning(len(pairs), int(scored.same.sum()), wrong_costs, rows)


def read_pairs(path: Path) -> list[QuestionPair]:
    """Return the pairs of a file. Raises: `DatasetError` naming the line, or if they are too few or all of one kind."""
    pairs = [pair_of(row) for row in rows_of(path)]
    same = sum(pair.same for pair in pairs)
    if len(pairs) < MIN_PAIRS or not 0 < same < len(pairs):
        raise DatasetError(
            f"{path}: at least {MIN_PAIRS} pairs are needed, some that ask the same and some that do not"
        )
    return pairs


def bound_rows(scores: Scores, same: Same, *, wrong_costs: float, seed: int) -> list[BoundRow]:
    """Return what each bound comes to."""
    rows: list[BoundRow] = []
    for bound in BOUNDS:
        found = calibrated(scores, same, max_wrong=bound, seed=seed)
        # Of a split: served and wrong are shares, so the wrong answers for each right one follow.
        right = np.array(found.served)
        wrong = right * np.array(found.wrong) / np.maximum(1e-9, 1 - np.array(found.wrong))
        worth = float(100 * (right - wrong_costs * wrong).mean())
        rows.append(BoundRow(bound, spread(found.served), spread(found.wrong), worth))
    return rows


def spread(values: Sequence[float]) -> Interval:
    """Return the mean of the splits with the least and the most."""
    return Interval(float(np.mean(values)), float(min(values)), float(max(values)))
