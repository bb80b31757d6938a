"""The built-in provider: answers with the passages' own best sentences, each with its citation. No model."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from indexes.invisible import strip_hidden
from ragopt.domain import Context, Passage, Usage
from ragopt.evidence import overlap, sentence_scores, words
from ragopt.pipeline import ABSTENTION
from ragopt.providers.protocol import Completed, CompletionRequest, ProviderEvent, TextDelta
from ragopt.tokens import count_tokens

MAX_SENTENCES = 3
# A further sentence is quoted if it has a topic word of the question that none before it has, and
# scores at least this share of the best one.
NEXT_SHARE = 0.35
# A sentence of the best passage gains this share of the top score, one of the last passage nothing.
RANK_SHARE = 1.0
MIN_WORDS = 3
LEADING_MARKS = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)]|#{1,6})\s+")
ENDING_MARKS = re.compile(r"[\s.!?…:;]*$")
SPACES = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a passage that may be quoted."""

    passage: int
    text: str
    score: float


class ExtractiveProvider:
    """Quotes; never invents. Costs nothing."""

    name = "extractive"

    async def stream(self, request: CompletionRequest) -> AsyncIterator[ProviderEvent]:
        """Yield one delta per quoted sentence, then `Completed`; the abstention where no sentence fits."""
        sentences = await asyncio.to_thread(best_sentences, request.context)
        parts = [quoted(sentence) for sentence in sentences] or [ABSTENTION]
        for at, part in enumerate(parts):
            yield TextDelta(part if at == 0 else f" {part}")
        usage = Usage(output_tokens=count_tokens(" ".join(parts)), cost_usd=Decimal(0))
        yield Completed(usage=usage, model_served=self.name, stop="end")

    async def connected(self) -> None:
        """Do nothing: there is no connection."""

    async def close(self) -> None:
        """Do nothing: there is no connection."""


def best_sentences(context: Context) -> list[Sentence]:
    """Return at most three sentences in passage order: the best by words and passage rank, and those that add to it."""
    spoken = [
        (at, passage, text)
        for at, passage in enumerate(context.passages)
        for text in sentences_of(passage)
        if len(words(text)) >= MIN_WORDS and not asks(text, context.question)
    ]
    texts = [text for _, _, text in spoken]
    # A rare word alone must not beat a sentence that speaks of everything that was asked.
    lexical = [
        score * overlap(context.standalone_question, text)
        for score, text in zip(sentence_scores(context.standalone_question, texts), texts, strict=True)
    ]
    top = max(lexical, default=0.0)
    if top <= 0:
        return []
    scored = [
        Sentence(passage.n, text, score + RANK_SHARE * top * (1 - at / len(context.passages)))
        for (at, passage, text), score in zip(spoken, lexical, strict=True)
        if score > 0
    ]
    ranked = sorted(scored, key=lambda sentence: -sentence.score)
    near = [sentence for sentence in ranked if sentence.score >= NEXT_SHARE * ranked[0].score]
    return sorted(complementary(context.standalone_question, near), key=lambda sentence: sentence.passage)


def asks(sentence: str, question: str) -> bool:
    """Return whether a sentence is a question itself, or only repeats the one that was asked."""
    return sentence.endswith("?") or " ".join(question.split()).casefold() in sentence.casefold()


def complementary(question: str, ranked: Sequence[Sentence]) -> list[Sentence]:
    """Return, up to three in all, each sentence with a word of the question that none before it has."""
    open_words = set(words(question))
    chosen: list[Sentence] = []
    for sentence in ranked:
        spoken = open_words & set(words(sentence.text))
        if spoken and len(chosen) < MAX_SENTENCES:
            chosen.append(sentence)
            open_words -= spoken
    return chosen


def sentences_of(passage: Passage) -> list[str]:
    """Return the passage's sentences as they can stand in an answer: no list marks, headings or line breaks."""
    found = (passage.source_text(*unit) for unit in passage.units)
    plain = (text for text in found if not text.lstrip().startswith(("#", "=", "|")))
    return [SPACES.sub(" ", LEADING_MARKS.sub("", strip_hidden(text))).strip() for text in plain]


def quoted(sentence: Sentence) -> str:
    """Return the sentence with its marker before the full stop; brackets that look like markers are dropped."""
    text = re.sub(r"\[\d[\d\s,]*\]", "", sentence.text)
    return f"{ENDING_MARKS.sub('', text)} [{sentence.passage}]."
