"""The matrix and the weights that late interaction ships with: fitted from token vectors, pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.records import FloatMatrix, FloatVector
from indexes.tokens import unit_rows

ITQ_ITERATIONS = 50


@dataclass(frozen=True, slots=True)
class Squeeze:
    """A projection of token vectors: `matrix` float32 [hidden, bits] after `mean` float32 [hidden] is subtracted."""

    matrix: FloatMatrix
    mean: FloatVector


def principal_axes(vectors: FloatMatrix, *, bits: int, centred: bool) -> Squeeze:
    """Return the projection of float32 [n, hidden] to its `bits` strongest directions, strongest first.

    Without `centred` the mean stays in and `mean` is zero. The sign of a direction is free; its largest
    entry is made positive, so that the same vectors give the same matrix.
    Source: Jolliffe, "Principal Component Analysis", 2nd edition, 2002, chapters 1 and 14.2.3 (uncentred).
    """
    mean = vectors.mean(axis=0) if centred else np.zeros(vectors.shape[1], np.float32)
    offset = (vectors - mean).astype(np.float64)
    strengths, directions = np.linalg.eigh(offset.T @ offset / len(offset))
    matrix = directions[:, np.argsort(-strengths)[:bits]]
    largest = matrix[np.abs(matrix).argmax(axis=0), np.arange(matrix.shape[1])]
    return Squeeze((matrix * np.sign(largest)).astype(np.float32), mean.astype(np.float32))


def random_rotation(size: int, *, seed: int) -> FloatMatrix:
    """Return a random orthogonal matrix, float32 [size, size], the same for the same seed."""
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((size, size)))
    return np.asarray(q * np.sign(np.diagonal(r)), np.float32)


def itq_rotation(projected: FloatMatrix, *, seed: int) -> FloatMatrix:
    """Return the rotation float32 [bits, bits] after which rows of float32 [n, bits] lose least as signs.

    Source: Gong and Lazebnik, "Iterative Quantization: A Procrustean Approach to Learning Binary Codes",
    CVPR 2011, section 2.2, with its 50 iterations; on rows of unit length.
    """
    rows = unit_rows(projected)
    rotation = random_rotation(rows.shape[1], seed=seed)
    for _ in range(ITQ_ITERATIONS):
        left, _, right = np.linalg.svd(rows.T @ np.sign(rows @ rotation))
        rotation = np.asarray(left @ right, np.float32)
    return rotation


def inverse_frequencies(texts: Iterable[Sequence[int]], *, vocabulary: int) -> FloatVector:
    """Return float32 [vocabulary]: max(0, ln((N + 1) / (n + 0.5))) for a wordpiece in n of N texts of wordpiece ids.

    A wordpiece in no text weighs most, one in every text about nothing.
    Source: the smoothed inverse document frequency, Robertson, "Understanding inverse document frequency",
    Journal of Documentation 60(5), 2004, with one text added so that no logarithm is of 0.
    """
    counts: NDArray[np.float64] = np.zeros(vocabulary)
    total = 0
    for ids in texts:
        counts[np.unique(np.asarray(ids, np.int64))] += 1
        total += 1
    return np.maximum(np.log((total + 1) / (counts + 0.5)), 0.0).astype(np.float32)
