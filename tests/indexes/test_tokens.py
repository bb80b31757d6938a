"""Token bits and MaxSim."""

from __future__ import annotations

import numpy as np
import pytest

from indexes.model import SHIPPED_SHA256
from indexes.records import BitMatrix, EncodedQuestion, FloatMatrix
from indexes.tokens import (
    BITS,
    BLOCK_TOKENS,
    SIGN_SCALE,
    TokenProjection,
    cosines,
    from_text,
    max_sim,
    max_sim_parts,
    shipped_projection,
    to_text,
    unit_rows,
)


def random_vectors(seed: int, rows: int, size: int = 384) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return unit_rows(np.random.default_rng(seed).standard_normal((rows, size)).astype(np.float32))


def question_of(
    projection: TokenProjection, vectors: np.ndarray[tuple[int, int], np.dtype[np.float32]]
) -> EncodedQuestion:
    weights = np.full(len(vectors), 1 / max(len(vectors), 1), np.float32)
    return EncodedQuestion(vectors[0] if len(vectors) else vectors, projection.project(vectors), weights)


def unpack(bits: BitMatrix) -> FloatMatrix:
    """Return -1 or +1 for each bit, scaled so that a dot product with a unit vector estimates the cosine."""
    signs = 2 * np.unpackbits(bits, axis=1).astype(np.float32) - 1
    return np.asarray(signs * (SIGN_SCALE / np.sqrt(signs.shape[1])), np.float32)


def test_the_shipped_projection_is_used_for_its_model_only() -> None:
    """Another model gets a rotation of its own size and no IDF."""
    fitted, other = shipped_projection(SHIPPED_SHA256, 384), shipped_projection("0" * 64, 96)
    assert fitted.matrix.shape == (384, BITS)
    assert fitted.idf.size > 30_000
    assert other.matrix.shape == (96, BITS)
    assert other.idf.size == 0
    assert fitted.name != other.name


def test_stored_bits_come_back_as_they_were() -> None:
    """base64 of packed bits loses nothing, the empty matrix included."""
    bits = shipped_projection(SHIPPED_SHA256, 384).squeeze(random_vectors(1, 7))
    assert bits.shape == (7, BITS // 8)
    assert np.array_equal(from_text(to_text(bits)), bits)
    assert from_text("").shape == (0, BITS // 8)


def test_bits_estimate_the_cosine() -> None:
    """Over random pairs the estimate from sign bits has the cosine's scale and little error."""
    projection = shipped_projection("0" * 64, 128)
    one = random_vectors(2, 400, 128)
    two = unit_rows(one + 0.7 * random_vectors(3, 400, 128))
    estimate = np.sum(projection.project(one) * unpack(projection.squeeze(two)), axis=1)
    assert float(np.mean(estimate - np.sum(one * two, axis=1))) == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("rows", [0, 1, BLOCK_TOKENS, 2 * BLOCK_TOKENS + 1])
def test_cosines_block_by_block_are_the_one_product(rows: int) -> None:
    """However many blocks the tokens fill, each cosine is the product with its scaled signs."""
    vectors = random_vectors(8, 5, BITS)
    bits = np.packbits(random_vectors(9, rows, BITS) > 0, axis=1)
    assert cosines(vectors, bits).shape == (5, rows)
    assert np.allclose(cosines(vectors, bits), vectors @ unpack(bits).T, atol=1e-6)


def test_max_sim_equals_the_definition() -> None:
    """The reduced form equals the loop over tokens and documents; empty documents score 0."""
    projection = shipped_projection(SHIPPED_SHA256, 384)
    question = question_of(projection, random_vectors(4, 5))
    documents = [projection.squeeze(random_vectors(seed, rows)) for seed, rows in ((5, 3), (6, 0), (7, 9))]
    expected = [
        sum(
            w * max((float(t @ d) for d in unpack(bits)), default=0.0)
            for w, t in zip(question.weights, question.tokens, strict=True)
        )
        for bits in documents
    ]
    assert max_sim(question, documents) == pytest.approx(expected, abs=1e-5)


def test_nothing_asked_or_nothing_stored_scores_zero() -> None:
    """An empty question and no documents are no error."""
    projection = shipped_projection(SHIPPED_SHA256, 384)
    empty = question_of(projection, np.zeros((0, 384), np.float32))
    assert max_sim(empty, [projection.squeeze(random_vectors(8, 2))]).tolist() == [0.0]
    assert max_sim(question_of(projection, random_vectors(9, 2)), []).size == 0


def test_weights_sum_to_one_and_prefer_rare_words() -> None:
    """IDF weights are normalised, and equal where the table is unknown."""
    fitted = shipped_projection(SHIPPED_SHA256, 384)
    the, valkyria_piece = 1996, 11748
    weights = fitted.weights([the, valkyria_piece])
    assert float(weights.sum()) == pytest.approx(1)
    assert weights[1] > 3 * weights[0]
    assert shipped_projection("0" * 64, 32).weights([1, 2]).tolist() == [0.5, 0.5]


def test_a_part_scores_as_if_it_stood_alone() -> None:
    """Each part's score is MaxSim over its own tokens, the whole's is not changed by the cut, no tokens score 0."""
    projection = shipped_projection(SHIPPED_SHA256, 384)
    question = question_of(projection, random_vectors(8, 4))
    documents = [projection.squeeze(random_vectors(seed, rows)) for seed, rows in ((9, 7), (10, 0), (11, 5))]
    parts = [(2, 0, 5), (0, 0), (5,)]
    wholes, scores = max_sim_parts(question, documents, parts)
    assert np.array_equal(wholes, max_sim(question, documents))
    for bits, sizes, by_part in zip(documents, parts, scores, strict=True):
        ends = np.cumsum(sizes)
        alone = max_sim(question, [bits[end - size : end] for end, size in zip(ends, sizes, strict=True)])
        assert by_part == pytest.approx(alone, abs=1e-6)
    assert max_sim_parts(question, [], []) == (pytest.approx([]), [])
