"""Whether two measurements of the same cases differ by more than chance: a paired randomisation test.

Source: Smucker, Allan and Carterette, "A Comparison of Statistical Significance Tests for Information
Retrieval Evaluation", CIKM 2007, which recommends it; the idea is Fisher's, "The Design of Experiments", 1935.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eval.intervals import CELLS_AT_ONCE

FLIPS = 10_000
# Sums of the same numbers in another order differ in their last digits.
TOLERANCE = 1e-9


def sign_flip_p(differences: Sequence[float], *, seed: int) -> float:
    """Return the two-sided p-value that the mean difference is 0, in (0, 1]; 1 where nothing differs.

    If both sides were the same system, each difference could as well have the other sign: the share of
    such sign patterns whose mean is at least as far from 0. Exact where there are no more than 10,000
    patterns; else of 10,000 drawn ones, the observed counted with them, so that it is never 0.
    Source: as the module; for counting the observed, Phipson and Smyth, "Permutation P-values Should
    Never Be Zero", SAGMB 9(1), 2010.
    """
    moved = np.asarray([value for value in differences if value], np.float64)
    if not moved.size:
        return 1.0
    observed = abs(float(moved.sum())) - TOLERANCE * float(np.abs(moved).sum())
    if moved.size < FLIPS.bit_length():
        return float((np.abs(all_signs(moved.size) @ moved) >= observed).mean())
    rng = np.random.default_rng(seed)
    at_once = max(1, CELLS_AT_ONCE // moved.size)
    beyond = 0
    for start in range(0, FLIPS, at_once):
        rows = min(at_once, FLIPS - start)
        signs = 2.0 * rng.integers(0, 2, (rows, moved.size), dtype=np.int8) - 1.0
        beyond += int((np.abs(signs @ moved) >= observed).sum())
    return (1 + beyond) / (1 + FLIPS)


def all_signs(n: int) -> NDArray[np.float64]:
    """Return every pattern of `n` signs, float64 [2^n, n], of 1 and -1."""
    patterns = np.arange(2**n)[:, None] >> np.arange(n)[None, :]
    return np.asarray(1.0 - 2.0 * (patterns & 1), np.float64)
