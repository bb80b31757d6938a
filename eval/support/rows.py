"""Claims to what the calibration is fitted to and measured on: features, the model's logit, and the label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from eval.support.sets import ClaimCase
from indexes.pair_model import PairModel
from ragopt.stages.cite.evidence import Units
from ragopt.stages.cite.judging import Reading, reading_of

PAIRS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """One claim of a case as the judge reads it. logits: of its candidates, () without a model or a candidate."""

    case: ClaimCase
    reading: Reading
    logits: tuple[float, ...]

    @property
    def logit(self) -> float:
        """Return the highest logit; 0 where there is none."""
        return max(self.logits, default=0.0)


def rows_of_cases(cases: Sequence[ClaimCase], model: PairModel | None) -> list[ClaimRow]:
    """Return a row per claim of the cases, in order, with a progress bar."""
    return [
        ClaimRow(case, reading, logits_of_reading(reading, model))
        for case in tqdm(cases, desc="read", unit="claim", mininterval=5)
        for reading in readings(case)
    ]


def readings(case: ClaimCase) -> list[Reading]:
    """Return the claims of a case beside its passage."""
    units = Units([case.passage])
    return [reading_of(claim, units) for claim in case.claims]


def logits_of_reading(reading: Reading, model: PairModel | None) -> tuple[float, ...]:
    """Return the logit of each candidate, in order; () without a model."""
    pairs = [(candidate.text, reading.claim) for candidate in reading.candidates]
    if model is None or not pairs:
        return ()
    return tuple(float(row[0]) for row in model.judged(pairs))


def matrix_of(rows: Sequence[ClaimRow], *, judged: bool) -> NDArray[np.float64]:
    """Return float64 [n, features]: those of `FEATURES`, and the logit last where a model judged."""
    columns = [[*row.reading.features, row.logit] if judged else list(row.reading.features) for row in rows]
    return np.array(columns, np.float64)
