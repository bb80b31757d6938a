"""Scores of texts: how likely a question, or a part of a document, is an instruction that does not belong there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from anyio import CapacityLimiter, to_thread

from indexes.records import Encoded, EncodedQuestion, FloatVector, Span
from ragopt.injection.model import InjectionModel, document_row, shipped_model
from ragopt.screening.heads import Head
from ragopt.screening.judging import Encode, Judged, Reading, judged, read
from ragopt.screening.pieces import Piece, pieces
from ragopt.screening.readings import readings

# Of a document, so many of the most suspicious pieces are embedded: a long one must not hold up the others.
MOST_EMBEDDED = 256
# Texts read at once, in threads of their own.
THREADS = 1


class Encoder(Protocol):
    """What the detector needs of an embedder; `tag` names model and projection."""

    tag: str

    async def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Return one `Encoded` per text, in order."""

    async def encode_question(self, text: str) -> EncodedQuestion:
        """Return the vectors of a question."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The score of a text, in [0, 1], 0.5 and more where it is one, and where its most suspicious part stands."""

    score: float
    span: Span


@dataclass(frozen=True, slots=True)
class Suspect:
    """A reading of a piece of a document, with the log-odds of its signs."""

    text: str
    signs: float
    span: Span
    around: str


CLEAN = Finding(0.0, (0, 0))


class InjectionDetector:
    """Scores questions and documents. Without an encoder whose vectors it knows, by their words alone."""

    def __init__(self, model: InjectionModel, encoder: Encoder | None) -> None:
        known = encoder is not None and encoder.tag.startswith(model.embedder)
        self.tag = f"{'joint' if known else 'signs'}-{model.tag}"
        self._model = model
        self._encoder = encoder if known else None
        self._threads = CapacityLimiter(THREADS)

    @classmethod
    def shipped(cls, encoder: Encoder | None) -> InjectionDetector:
        """Return the detector with the weights that ship. Raises: `ConfigError`."""
        return cls(shipped_model(), encoder)

    async def question(self, text: str) -> Finding:
        """Return the finding of a question; its span is the whole of it."""
        return Finding((await self.judged(read(text))).score, (0, len(text)))

    async def judged(self, question: Sequence[Reading], encode: Encode | None = None) -> Judged:
        """Return what is found in a question. encode: in place of the encoder's own, of the same model."""
        own = (encode or self._encoder.encode_question) if self._encoder else None
        return await judged(question, self._model.heads["question"], own)

    async def document(self, text: str) -> Finding:
        """Return the finding of a document: that of its most suspicious piece."""
        return (await self.documents([text]))[0]

    async def documents(self, texts: Sequence[str]) -> list[Finding]:
        """Return the finding of each document, in order; what is suspicious in all of them is embedded together."""
        head = self._model.heads["document"]
        found = await to_thread.run_sync(lambda: [suspects_of(text, head) for text in texts], limiter=self._threads)
        if self._encoder is None:
            return [worst(some, [head.by_signs(item.signs) for item in some]) for some in found]
        found = [sorted(some, key=lambda item: -item.signs)[:MOST_EMBEDDED] for some in found]
        vectors = await self._vectors([part for some in found for item in some for part in (item.text, item.around)])
        return [worst(some, joint(head, some, vectors)) for some in found]

    async def _vectors(self, texts: Sequence[str]) -> dict[str, FloatVector]:
        distinct = list(dict.fromkeys(texts))
        encoded = await self._encoder.encode(distinct) if self._encoder and distinct else []
        return {text: item.dense for text, item in zip(distinct, encoded, strict=True)}


def suspects_of(text: str, head: Head) -> list[Suspect]:
    """Return the readings of a document's pieces that the signs do not clear."""
    return [item for piece in pieces(text) for item in readings_of(piece, head) if item.signs >= head.gate]


def readings_of(piece: Piece, head: Head) -> list[Suspect]:
    """Return the readings of a piece."""
    span = (piece.start, piece.end)
    return [Suspect(text, head.signs.log_odds(text), span, piece.around) for text in readings(piece.text)]


def joint(head: Head, suspects: Sequence[Suspect], vectors: Mapping[str, FloatVector]) -> list[float]:
    """Return the score of each suspect by signs and meaning; [] for none. vectors: of its text and surroundings."""
    if not suspects:
        return []
    meaning = head.meaning.log_odds(
        np.stack([document_row(vectors[item.text], vectors[item.around]) for item in suspects])
    )
    return [head.joint(item.signs, float(odds)) for item, odds in zip(suspects, meaning, strict=True)]


def worst(suspects: Sequence[Suspect], scores: Sequence[float]) -> Finding:
    """Return the highest score with its place; nothing suspicious is clean."""
    best = max(zip(scores, suspects, strict=True), key=lambda item: item[0], default=None)
    return CLEAN if best is None else Finding(best[0], best[1].span)
