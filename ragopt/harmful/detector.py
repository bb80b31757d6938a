"""Scores of questions and of sentences of answers: how likely they ask for, or give, what harms somebody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from indexes.records import EncodedQuestion
from ragopt.harmful.model import HarmfulModel, Place, shipped_model
from ragopt.screening.heads import THRESHOLD
from ragopt.screening.judging import Encode, Once, Reading, judged, read
from ragopt.settings.collections import Category


class QuestionEncoder(Protocol):
    """What the detector needs of an embedder; `tag` names model and projection."""

    tag: str

    async def encode_question(self, text: str) -> EncodedQuestion:
        """Return the vectors of a short text, before any document's."""


@dataclass(frozen=True, slots=True)
class Harm:
    """The score of a text, in [0, 1], 0.5 and more where it is harmful, and then its category, else None."""

    score: float
    category: Category | None = None

    def __bool__(self) -> bool:
        """Return whether the text is harmful."""
        return self.category is not None


HARMLESS = Harm(0.0)


class HarmfulDetector:
    """Scores texts where they stand. Without an encoder whose vectors it knows, by their words alone."""

    def __init__(self, model: HarmfulModel, encoder: QuestionEncoder | None) -> None:
        known = encoder is not None and encoder.tag.startswith(model.weights.embedder)
        self.tag = f"{'joint' if known else 'signs'}-{model.weights.tag}"
        self._model = model
        self._encoder = encoder if known else None

    @classmethod
    def shipped(cls, encoder: QuestionEncoder | None) -> HarmfulDetector:
        """Return the detector with the weights that ship. Raises: `ConfigError`."""
        return cls(shipped_model(), encoder)

    async def question(self, text: str) -> Harm:
        """Return what a question asks for."""
        return await self.judged(read(text))

    async def sentence(self, text: str) -> Harm:
        """Return what a sentence of an answer gives."""
        return await self.judged(read(text), place="answer")

    async def judged(
        self, texts: Sequence[Reading], encode: Encode | None = None, *, place: Place = "question"
    ) -> Harm:
        """Return the same of a text that was read. encode: in place of the encoder's own, of the same model."""
        own = Once(encode or self._encoder.encode_question) if self._encoder else None
        found = await judged(texts, self._model.weights.heads[place], own)
        if found.reading is None or found.score < THRESHOLD:
            return Harm(found.score)
        vector = own.known.get(found.reading.text) if own else None
        return Harm(found.score, self._model.categories.of(found.reading, None if vector is None else vector.dense))
