"""Hand-written stand-ins that satisfy the Protocols, for tests where the real thing would only be slow."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from indexes.records import BitMatrix, Encoded, EncodedQuestion, FloatVector, Hit, IntVector, StoredChunk
from ragopt.domain import Context, Passage
from ragopt.results import RankedHit

FAKE_DIM = 64


@cache
def word_vector(word: str) -> FloatVector:
    """Return a fixed random unit vector for a word, float32 [64]."""
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
    vector = np.random.default_rng(seed).standard_normal(FAKE_DIM).astype(np.float32)
    return vector / np.float32(np.linalg.norm(vector))


class WordEncoder:
    """An embedder whose vectors are sums of fixed random word vectors: texts that share words are near."""

    def __init__(self, tag: str = "words-64") -> None:
        self.tag = tag
        self.dim = FAKE_DIM
        self.encoded: list[str] = []

    async def encode(self, texts: Sequence[str], *, on_batch: Callable[[int], None] | None = None) -> list[Encoded]:
        """Return one `Encoded` per text and remember the texts."""
        self.encoded += texts
        if on_batch is not None and texts:
            on_batch(len(texts))
        return [Encoded(self._dense(text), self._bits(text)) for text in texts]

    async def token_starts(self, texts: Sequence[str]) -> list[IntVector]:
        """Return where each word begins."""
        return [np.array([word.start() for word in re.finditer(r"\S+", text)], np.int64) for text in texts]

    async def encode_question(self, text: str) -> EncodedQuestion:
        """Return the question's vectors, all tokens of equal weight."""
        words = text.lower().split()
        tokens = np.stack([np.repeat(word_vector(word), 2) for word in words]) / np.float32(np.sqrt(2))
        return EncodedQuestion(self._dense(text), tokens, np.full(len(words), 1 / len(words), np.float32))

    def _dense(self, text: str) -> FloatVector:
        total = np.sum([word_vector(word) for word in text.lower().split()], axis=0)
        return (total / max(float(np.linalg.norm(total)), 1e-9)).astype(np.float32)

    def _bits(self, text: str) -> BitMatrix:
        words = text.lower().split()
        vectors = np.stack([np.repeat(word_vector(word), 2) for word in words])
        return np.packbits(vectors > 0, axis=1)


def ranked_hit(
    text: str,
    *,
    units: Sequence[tuple[int, int]] | None = None,
    score: float = 1.0,
    unit_scores: Sequence[float] | None = None,
    n: int = 0,
) -> RankedHit:
    """Return a ranked hit of a chunk that starts at offset 0 of its own document."""
    spans = tuple(units) if units is not None else ((0, len(text)),)
    chunk = StoredChunk(f"chunk-{n}", f"document-{n}", 1, f"Title {n}", 0, len(text), spans, text)
    bits = np.zeros((0, 16), np.uint8)
    hit = Hit(chunk, bits, unit_tokens=(0,) * (len(spans) + 1), dense=0.5, bm25=1.0, fused=0.1)
    return RankedHit(hit, score, score, tuple(unit_scores) if unit_scores is not None else (0.0,) * len(spans))


def passage(text: str, *, n: int = 1, start: int = 0, sentences: Sequence[str] = ()) -> Passage:
    """Return a passage of one span at `start`, its units the given sentences (default: the whole text)."""
    units = [(start + text.index(sentence), start + text.index(sentence) + len(sentence)) for sentence in sentences]
    span = (start, start + len(text))
    return Passage(
        n=n,
        document_id=f"document-{n}",
        version=1,
        chunk_id=f"chunk-{n}",
        title=f"Title {n}",
        spans=(span,),
        text=text,
        tokens=len(text.split()),
        score=1.0 / n,
        units=tuple(units) or (span,),
    )


def context_of(*passages: Passage, question: str = "What is asked?") -> Context:
    """Return a context of these passages."""
    return Context(question, question, 800, sum(item.tokens for item in passages), passages, 1, "budget")
