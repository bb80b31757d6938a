"""The path of a question, top to bottom, and the protocol of each stage.

    rewrite → cache → retrieve (embed, dense ∥ BM25, fuse) → rerank → pack → prompt → route
            → generate → cite → cache
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from indexes.records import EncodedQuestion, Hit
from ragopt.domain import Answer, CacheOutcome, Citation, Context, Passage, Question, Route, Usage
from ragopt.providers.protocol import Completed, Prompt, TextDelta
from ragopt.telemetry import Trace

ABSTENTION = "I could not find this in the documents."


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Fused hits, best first, of one committed generation of the collection."""

    question: EncodedQuestion
    hits: tuple[Hit, ...]
    generation: int


@dataclass(frozen=True, slots=True)
class RankedHit:
    """A hit with its rerank score, higher is better."""

    hit: Hit
    score: float


@dataclass(frozen=True, slots=True)
class Prepared:
    """The first half of an answer: everything up to the model call."""

    question: Question
    context: Context
    prompt: Prompt


@dataclass(frozen=True, slots=True)
class Generated:
    """The terminal event of generation: the route that was taken and what it used."""

    route: Route
    usage: Usage
    partial: bool
    abstained: bool


@dataclass(frozen=True, slots=True)
class Cited:
    """An answer text after citation checking."""

    text: str
    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class SourcesFound:
    """Event: the passages are packed. `cache` says whether a model call will follow."""

    context: Context
    cache: CacheOutcome


@dataclass(frozen=True, slots=True)
class TextReleased:
    """Event: a piece of the answer that will not be taken back."""

    text: str


@dataclass(frozen=True, slots=True)
class CitationFound:
    """Event: one checked citation; it will not move."""

    citation: Citation


@dataclass(frozen=True, slots=True)
class Finished:
    """Event: the whole answer, the last one."""

    answer: Answer


AnswerEvent: TypeAlias = SourcesFound | TextReleased | CitationFound | Finished


class Rewrite(Protocol):
    """Follow-up to standalone question."""

    def __call__(self, question: Question) -> str:
        """Return the question as it would be asked without its history; the same text if it stands alone."""


class Retrieve(Protocol):
    """Standalone question to fused hits."""

    async def __call__(self, standalone: str, question: Question, *, trace: Trace) -> Retrieved:
        """Return at most `question.knobs.top_k` hits. Raises `CollectionNotFound`, `StoreUnavailable`."""


class Rerank(Protocol):
    """Hits to hits in a better order."""

    async def __call__(self, retrieved: Retrieved) -> Sequence[RankedHit]:
        """Return every hit once, best first."""


class Pack(Protocol):
    """Ranked hits to numbered passages within a budget."""

    async def __call__(self, standalone: str, ranked: Sequence[RankedHit], *, budget_tokens: int) -> tuple[Passage, ...]:
        """Return passages whose texts joined by blank lines are at most `budget_tokens` o200k_base tokens."""


class Generate(Protocol):
    """Prompt to answer text, over whichever model answers."""

    def __call__(self, prepared: Prepared, *, trace: Trace) -> AsyncIterator[TextDelta | Generated]:
        """Yield deltas, then one `Generated`. Raises `ProviderError` before the first delta only."""


class CiteStream(Protocol):
    """Citation checking of one answer while it streams."""

    def feed(self, delta: str) -> str:
        """Return what of the text so far can be released: never half a marker, never one out of range."""

    def finish(self) -> tuple[str, Cited]:
        """Return the rest to release, and the whole answer with its citations."""


class Cite(Protocol):
    """Passages to a fresh checker."""

    def __call__(self, context: Context) -> CiteStream:
        """Return the checker for an answer that cites these passages."""


class AnswerCache(Protocol):
    """Answers by question. Fails open: a cache that is down misses."""

    async def get(self, question: Question, standalone: str, *, generation: int) -> Answer | None:
        """Return the cached answer of exactly this question at this generation, with its `cache` set to the hit."""

    async def put(self, question: Question, standalone: str, answer: Answer) -> None:
        """Keep a complete answer under its context's generation."""


class CurrentGeneration(Protocol):
    """The committed generation of a collection."""

    async def __call__(self, tenant: str, collection: str) -> int:
        """Return it. Raises `CollectionNotFound`, `StoreUnavailable`."""
