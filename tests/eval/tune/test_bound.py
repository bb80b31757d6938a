"""The error bound of the semantic cache from labelled pairs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from eval.errors import DatasetError
from eval.intervals import Interval
from eval.tune.bound import BoundRow, BoundTuning, bound_rows, read_pairs


def scored(n: int, *, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and labels of pairs, half of them the same question."""
    rng = np.random.default_rng(3)
    same = np.arange(n) % 2 == 0
    return same + noise * rng.standard_normal(n), same


def test_a_looser_bound_serves_more_and_is_more_often_wrong() -> None:
    """Both rise from bound to bound; what was wrong stays within it."""
    rows = bound_rows(*scored(2_000, noise=0.35), wrong_costs=2, seed=1)
    served, wrong = ([getattr(row, name).value for row in rows] for name in ("served", "wrong"))
    assert served == sorted(served)
    assert wrong == sorted(wrong)
    assert all(row.wrong.value <= row.max_wrong for row in rows)


def test_what_a_wrong_answer_costs_decides() -> None:
    """Where it costs little a loose bound is chosen, where it costs much a strict one or none."""
    given = scored(2_000, noise=0.35)
    loose, strict = (
        BoundTuning(2_000, 1_000, cost, bound_rows(*given, wrong_costs=cost, seed=1)).chosen for cost in (0.0, 60.0)
    )
    assert loose is not None
    assert strict is None or strict.max_wrong < loose.max_wrong
    whole = Interval(1.0, 1.0, 1.0)
    assert BoundTuning(100, 50, 10, [BoundRow(0.05, whole, whole, worth=-900.0)]).chosen is None


def test_pairs_of_one_kind_or_too_few_are_refused(tmp_path: Path) -> None:
    """The message names the file and what is needed."""
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(f"{json.dumps({'a': 'x', 'b': str(n), 'duplicate': True})}\n" for n in range(200)), "utf-8")
    with pytest.raises(DatasetError, match=r"pairs\.jsonl: at least 100 pairs"):
        read_pairs(path)
