"""One protocol per stage of the path: what `ragopt.pipeline` asks of its parts."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from indexes.records import EncodedQuestion
from ragopt.domain import Answer, Context, QueryKnobs, Question, Savings
from ragopt.providers.layout import Prompt
from ragopt.results import (
    Cited,
    Generated,
    History,
    Kept,
    Looked,
    Packed,
    Prepared,
    RankedHit,
    Retrieved,
    Standalone,
    Written,
)
from ragopt.telemetry import Trace


class ScreenQuestion(Protocol):
    """A question before anything is done for it."""

    async def __call__(self, question: Question, text: str, *, trace: Trace) -> EncodedQuestion | None:
        """Return if the question in these words may be answered, with the vectors of `text` if it took them.

        Raises: `QuestionRefused`.
        """


class Rewrite(Protocol):
    """Follow-up to standalone question."""

    async def __call__(self, question: Question, *, trace: Trace, may_call: bool) -> Standalone:
        """Return the question as it would be asked without its history; the same text if it stands alone.

        may_call: whether a language model may be asked. What fails on the way costs the rewrite, never the question.
        """


class Embed(Protocol):
    """Standalone question to vectors."""

    async def __call__(self, text: str) -> EncodedQuestion:
        """Return the question's dense and token vectors."""


class Retrieve(Protocol):
    """Standalone question to fused hits."""

    async def __call__(
        self, standalone: str, question: Question, *, encoded: EncodedQuestion, trace: Trace
    ) -> Retrieved:
        """Return at most `question.knobs.top_k` hits. Raises `CollectionNotFound`, `StoreUnavailable`."""


class Rerank(Protocol):
    """Hits to hits in a better order."""

    async def __call__(
        self, standalone: str, retrieved: Retrieved, *, knobs: QueryKnobs, trace: Trace
    ) -> Sequence[RankedHit]:
        """Return every hit once, best first. A model that fails or is late costs quality, never the context."""


class Pack(Protocol):
    """Ranked hits to numbered passages within a budget."""

    async def __call__(self, standalone: str, ranked: Sequence[RankedHit], *, knobs: QueryKnobs) -> Packed:
        """Return passages whose texts joined by blank lines are at most `knobs.context_tokens` o200k_base tokens."""


class CountTokens(Protocol):
    """Text to its o200k_base tokens."""

    def __call__(self, text: str) -> int:
        """Return how many there are."""


class KeepCheap(Protocol):
    """Context to one whose prompt costs no more per token than a shorter one would."""

    async def __call__(self, question: Question, context: Context, *, history: History, trace: Trace) -> Context:
        """Return the context without its last passages where they would take the prompt past a price edge."""


class ComposeHistory(Protocol):
    """A question's earlier turns to what of them goes into its prompt."""

    async def __call__(
        self, question: Question, *, standalone: str, encoded: EncodedQuestion | None, trace: Trace
    ) -> History:
        """Return it, within the stage's budget; never fails for want of a model."""


class BuildPrompt(Protocol):
    """Context to the layout of a model call."""

    def __call__(self, context: Context, history: History, *, instructions: str, examples: str) -> Prompt:
        """Return the prompt, stable parts first; `instructions` and `examples` are the application's, "" for none."""


class Generate(Protocol):
    """Prompt to answer text, over whichever model answers."""

    def __call__(self, prepared: Prepared, *, trace: Trace) -> Written:
        """Yield deltas, then one `Generated`; a `Shortened` before them where less was sent than was prepared.

        Raises: `ProviderError` before the first delta only.
        """


class CiteStream(Protocol):
    """Citation checking of one answer while it streams."""

    async def feed(self, delta: str) -> str:
        """Return what of the text so far can be released: whole checked sentences, no marker out of range."""

    async def finish(self) -> tuple[str, Cited]:
        """Return the rest to release, and the whole answer with its citations."""


class Cite(Protocol):
    """A prepared answer to a fresh checker."""

    def __call__(self, prepared: Prepared, *, trace: Trace) -> CiteStream:
        """Return the checker for an answer that cites the passages of `prepared`."""


class AnswerCache(Protocol):
    """Answers by question. Fails open: a cache that is down has nothing and keeps nothing."""

    def entry(self, question: Question, standalone: str) -> str:
        """Return what an answer to this question is kept as: questions of one entry get the same answer."""

    async def look(
        self, question: Question, standalone: str, *, encoding: Awaitable[EncodedQuestion], trace: Trace
    ) -> Looked:
        """Return what there is for the question; `encoding`, of `standalone`, is awaited only if that takes it."""

    async def confirmed(self, doubtful: Kept, context: Context, *, question: Question, trace: Trace) -> Answer | None:
        """Return the doubtful answer if a fresh context rests on nothing younger, else None."""

    async def put(self, prepared: Prepared, answer: Answer) -> None:
        """Keep a fresh answer if it is worth keeping and the question lets it, and learn from it."""


class CountSavings(Protocol):
    """An answer to what it saved against the baseline."""

    async def __call__(self, prepared: Prepared, generated: Generated) -> Savings | None:
        """Return what was saved, None where a price is not known."""
