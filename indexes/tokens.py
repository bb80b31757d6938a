"""Token vectors: squeezed to sign bits at ingest, compared by MaxSim when a question comes.

Late interaction after Khattab and Zaharia, "ColBERT", SIGIR 2020: a chunk scores the sum, over the
question's tokens, of the best similarity to any of its tokens. Here the tokens are the embedder's
own, projected by a fixed matrix and kept as one bit a dimension.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from indexes.records import BitMatrix, EncodedQuestion, FloatMatrix, FloatVector

BITS = 128
SHIPPED_FILE = Path(__file__).parent / "data" / "minilm_tokens.npz"
# Of x·sign(y) against x·y for random unit vectors: E|y_i| = sqrt(2 / (pi d)), so signs overstate cosine by this.
SIGN_SCALE = float(np.sqrt(np.pi / 2))
# Compared at once: their floats stay in the processor's cache. 50 hits take 0.3 ms so, and 3 ms as one product.
BLOCK_TOKENS = 512


@dataclass(frozen=True, slots=True)
class TokenProjection:
    """How token vectors become bits.

    matrix: float32 [hidden, bits]. mean: float32 [hidden], subtracted first. idf: float32 [vocabulary],
    the weight of each wordpiece of a question; empty if unknown. name: changes when any of it does.
    """

    matrix: FloatMatrix
    mean: FloatVector
    idf: FloatVector
    name: str

    def project(self, vectors: FloatMatrix) -> FloatMatrix:
        """Return float32 [n, bits], rows of unit length, for token vectors float32 [n, hidden]."""
        centred: FloatMatrix = unit_rows(vectors) - self.mean
        return unit_rows((centred @ self.matrix).astype(np.float32))

    def squeeze(self, vectors: FloatMatrix) -> BitMatrix:
        """Return uint8 [n, bits / 8]: the packed signs of the projected token vectors."""
        return np.packbits(self.project(vectors) > 0, axis=1)

    def weights(self, ids: Sequence[int]) -> FloatVector:
        """Return float32 [n] for wordpiece ids, summing to 1; equal weights where the IDF is unknown."""
        if not ids:
            return np.zeros(0, np.float32)
        raw = np.ones(len(ids), np.float32) if not self.idf.size else self.idf[np.asarray(ids)]
        total = float(raw.sum())
        return (raw / total if total > 0 else np.full(len(ids), 1 / len(ids))).astype(np.float32)


def shipped_projection(model_sha256: str, hidden: int) -> TokenProjection:
    """Return the projection fitted to this model if one ships, else a fixed random rotation without IDF.

    Signs of random projections keep angles (Source: Charikar, "Similarity estimation techniques from
    rounding algorithms", STOC 2002), so late interaction works, less sharply, for any model.
    """
    data = SHIPPED_FILE.read_bytes()
    with np.load(SHIPPED_FILE, allow_pickle=False) as file:
        if str(file["model_sha256"]) == model_sha256:
            return TokenProjection(
                matrix=file["projection"].astype(np.float32),
                mean=file["mean"].astype(np.float32),
                idf=file["idf"].astype(np.float32),
                name=f"fitted-{hashlib.sha256(data).hexdigest()[:8]}",
            )
    normal = np.random.default_rng(0).standard_normal((max(hidden, BITS), BITS))
    rotation = np.linalg.qr(normal)[0][:hidden].astype(np.float32)
    empty = np.zeros(0, np.float32)
    return TokenProjection(rotation, np.zeros(hidden, np.float32), empty, name=f"random-{hidden}")


def max_sim(question: EncodedQuestion, documents: Sequence[BitMatrix]) -> FloatVector:
    """Return float32 [n]: the weighted mean over the question's tokens of the best cosine to each document's tokens.

    Cosines are estimates from sign bits. A document or question without tokens scores 0.
    """
    return max_sim_parts(question, documents, [[len(bits)] for bits in documents])[0]


def max_sim_parts(
    question: EncodedQuestion, documents: Sequence[BitMatrix], parts: Sequence[Sequence[int]]
) -> tuple[FloatVector, list[FloatVector]]:
    """Return `max_sim` of each document, float32 [n], and of each of its parts alone, float32 [parts] each.

    `parts` are the numbers of tokens of each document's parts in order; they sum to its tokens. A part
    without tokens scores 0.
    """
    sizes = np.array([size for document in parts for size in document], np.int64)
    owners = np.repeat(np.arange(len(documents)), [len(document) for document in parts])
    wholes, scores = np.zeros(len(documents), np.float32), np.zeros(len(sizes), np.float32)
    filled = np.flatnonzero(sizes)
    if filled.size and len(question.tokens):
        similarity = cosines(question.tokens, np.concatenate(list(documents)))
        best = np.maximum.reduceat(similarity, np.cumsum(sizes)[filled] - sizes[filled], axis=1)
        scores[filled] = question.weights @ best
        with_tokens, firsts = np.unique(owners[filled], return_index=True)
        wholes[with_tokens] = question.weights @ np.maximum.reduceat(best, firsts, axis=1)
    ends = np.cumsum([len(document) for document in parts])
    return wholes, np.split(scores, ends[:-1]) if len(documents) else []


def cosines(vectors: FloatMatrix, bits: BitMatrix) -> FloatMatrix:
    """Return float32 [q, n]: estimates of the cosines of unit vectors [q, d] to vectors of packed signs [n, d / 8].

    Signs are ±1 and bits are 0 and 1, so v·sign = 2 v·bit - sum(v): the signs are never made.
    """
    result = np.empty((len(vectors), len(bits)), np.float32)
    for at in range(0, len(bits), BLOCK_TOKENS):
        block = np.unpackbits(bits[at : at + BLOCK_TOKENS], axis=1).astype(np.float32)
        np.matmul(vectors, block.T, out=result[:, at : at + BLOCK_TOKENS])
    scale = np.float32(SIGN_SCALE / np.sqrt(vectors.shape[1]))
    result *= 2 * scale
    result -= scale * vectors.sum(axis=1, keepdims=True)
    return result


def unit_rows(matrix: FloatMatrix) -> FloatMatrix:
    """Return the rows scaled to unit length; zero rows stay zero."""
    norms = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.asarray(matrix / np.maximum(norms, np.float32(1e-12)), np.float32)


def to_text(bits: BitMatrix) -> str:
    """Return base64 of packed bits [n, bits / 8], the form they are stored in."""
    return base64.b64encode(bits.tobytes()).decode("ascii")


def from_text(text: str, *, bits: int = BITS) -> BitMatrix:
    """Return uint8 [n, bits / 8] from `to_text`'s form."""
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(-1, bits // 8)
