"""The path of a question, top to bottom, and the protocol of each stage.

rewrite → cache → retrieve (embed, dense ∥ BM25, fuse) → rerank → pack → prompt → route
        → generate → cite → cache
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Protocol

from indexes.records import EncodedQuestion
from ragopt.domain import (
    PASSAGE_SEPARATOR,
    Answer,
    CacheOutcome,
    Context,
    QueryKnobs,
    Question,
    Route,
    Savings,
    Turn,
    Usage,
)
from ragopt.events import AnswerEvent, CitationFound, Finished, SourcesFound, TextReleased
from ragopt.providers.protocol import Prompt, TextDelta
from ragopt.results import Cited, Generated, Packed, Prepared, RankedHit, Retrieved
from ragopt.telemetry import Trace

ABSTENTION = "I could not find this in the documents."
KEPT_SIMILARITIES = 10


class Rewrite(Protocol):
    """Follow-up to standalone question."""

    def __call__(self, question: Question) -> str:
        """Return the question as it would be asked without its history; the same text if it stands alone."""


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


class BuildPrompt(Protocol):
    """Context to the layout of a model call."""

    def __call__(self, context: Context, history: tuple[Turn, ...]) -> Prompt:
        """Return the prompt, stable parts first."""


class Generate(Protocol):
    """Prompt to answer text, over whichever model answers."""

    def __call__(self, prepared: Prepared, *, trace: Trace) -> AsyncGenerator[TextDelta | Generated, None]:
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


class CountSavings(Protocol):
    """An answer to what it saved against the baseline."""

    async def __call__(self, prepared: Prepared, generated: Generated) -> Savings | None:
        """Return what was saved, None where a price is not known."""


class CurrentGeneration(Protocol):
    """The committed generation of a collection."""

    async def __call__(self, tenant: str, collection: str) -> int:
        """Return it. Raises `CollectionNotFound`, `StoreUnavailable`."""


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The stages, and the path through them."""

    rewrite: Rewrite
    embed: Embed
    generation: CurrentGeneration
    cache: AnswerCache
    retrieve: Retrieve
    rerank: Rerank
    pack: Pack
    count_tokens: CountTokens
    prompt: BuildPrompt
    generate: Generate
    cite: Cite
    savings: CountSavings | None = None

    async def context_for(self, question: Question, *, trace: Trace) -> Context:
        """Return the packed context of a question; no model is called.

        Raises: `CollectionNotFound`, `StoreUnavailable`.
        """
        standalone = self._standalone(question, trace)
        return await self._context(question, standalone, encoded=await self._encoded(standalone, trace), trace=trace)

    async def answer(self, question: Question, *, trace: Trace) -> AsyncGenerator[AnswerEvent, None]:
        """Yield `SourcesFound`, the text as it is released, each citation, and `Finished` last.

        Closing it closes the model call under it at once.
        Raises, before the first text only: `CollectionNotFound`, `StoreUnavailable`, `ProviderError`.
        """
        standalone = self._standalone(question, trace)
        encoded, cached = await asyncio.gather(
            self._encoded(standalone, trace), self._cached(question, standalone, trace)
        )
        if cached is not None:
            for event in replay(cached, question):
                yield event
            return
        context = await self._context(question, standalone, encoded=encoded, trace=trace)
        outcome = CacheOutcome("miss" if question.cache in ("on", "read_only") else "bypass")
        yield SourcesFound(context, outcome)
        # What was said with a history is that conversation's: it must not answer a stranger.
        keeps = question.cache in ("on", "write_only") and not question.history
        prepared = self.prepare(question, context, encoded=encoded)
        async with aclosing(self._answered(prepared, outcome, trace=trace)) as events:
            async for event in events:
                # What a spent budget left is a lesser answer, and not everybody's.
                if isinstance(event, Finished) and keeps and "afford" not in trace.fallbacks:
                    await self.cache.put(question, standalone, event.answer)
                yield event

    def prepare(self, question: Question, context: Context, *, encoded: EncodedQuestion | None = None) -> Prepared:
        """Return the first half of an answer, ready for a model; `encoded` is the standalone question."""
        return Prepared(question, context, self.prompt(context, question.history), encoded)

    async def finish(self, prepared: Prepared, cited: Cited, *, generated: Generated, outcome: CacheOutcome) -> Answer:
        """Return the whole answer of a completion, with what it saved."""
        return Answer(
            id=prepared.question.answer_id or answer_id(),
            text=cited.text,
            abstained=generated.abstained,
            citations=cited.citations,
            context=prepared.context,
            route=generated.route,
            cache=outcome,
            usage=generated.usage,
            partial=generated.partial,
            savings=await self.savings(prepared, generated) if self.savings else None,
        )

    async def _answered(
        self, prepared: Prepared, outcome: CacheOutcome, *, trace: Trace
    ) -> AsyncGenerator[TextReleased | CitationFound | Finished, None]:
        checker, generated = self.cite(prepared.context), NOTHING_FOUND
        written = self.generate(prepared, trace=trace) if prepared.context.passages else nothing_found()
        async with aclosing(written) as events:
            async for event in events:
                if isinstance(event, Generated):
                    generated = event
                elif released := checker.feed(event.text):
                    yield TextReleased(released)
        with trace.stage("cite"):
            rest, cited = checker.finish()
        if rest:
            yield TextReleased(rest)
        for citation in cited.citations:
            yield CitationFound(citation)
        yield Finished(await self.finish(prepared, cited, generated=generated, outcome=outcome))

    def _standalone(self, question: Question, trace: Trace) -> str:
        with trace.stage("rewrite"):
            return self.rewrite(question)

    async def _encoded(self, standalone: str, trace: Trace) -> EncodedQuestion:
        with trace.stage("embed"):
            return await self.embed(standalone)

    async def _cached(self, question: Question, standalone: str, trace: Trace) -> Answer | None:
        if question.cache not in ("on", "read_only"):
            return None
        with trace.stage("cache"):
            generation = await self.generation(question.tenant, question.collection)
            return await self.cache.get(question, standalone, generation=generation)

    async def _context(self, question: Question, standalone: str, *, encoded: EncodedQuestion, trace: Trace) -> Context:
        with trace.stage("retrieve"):
            retrieved = await self.retrieve(standalone, question, encoded=encoded, trace=trace)
        with trace.stage("rerank"):
            ranked = await self.rerank(standalone, retrieved, knobs=question.knobs, trace=trace)
        with trace.stage("pack"):
            packed = await self.pack(standalone, ranked, knobs=question.knobs)
            tokens = self.count_tokens(PASSAGE_SEPARATOR.join(passage.text for passage in packed.passages))
        return Context(
            question=question.text,
            standalone_question=standalone,
            token_budget=question.knobs.context_tokens,
            tokens=tokens,
            passages=packed.passages,
            generation=retrieved.generation,
            stopped_by=packed.stopped_by,
            similarities=similarities(ranked),
        )


def similarities(ranked: Sequence[RankedHit]) -> tuple[float, ...]:
    """Return the highest similarities among the hits, descending, at most ten.

    Of a hit: the mean of late interaction and cosine, late interaction alone where it has no cosine.
    """
    alike = [item.similarity if item.hit.dense is None else (item.similarity + item.hit.dense) / 2 for item in ranked]
    return tuple(round(float(value), 4) for value in sorted(alike, reverse=True)[:KEPT_SIMILARITIES])


NOTHING_FOUND = Generated(
    route=Route("extractive", "extractive", "simple", None, "no passage was found, so no model was called", ()),
    usage=Usage(cost_usd=Decimal(0)),
    partial=False,
    abstained=True,
)


async def nothing_found() -> AsyncGenerator[TextDelta | Generated, None]:
    """Yield the abstention of a question without passages, as a model would."""
    yield TextDelta(ABSTENTION)
    yield NOTHING_FOUND


def answer_id() -> str:
    """Return a fresh id of an answer."""
    return f"ans_{uuid.uuid4().hex}"


def replay(cached: Answer, question: Question) -> list[AnswerEvent]:
    """Return a cached answer as the events of a fresh one, under an id of its own."""
    answer = replace(cached, id=question.answer_id or answer_id())
    citations = [CitationFound(citation) for citation in answer.citations]
    return [SourcesFound(answer.context, answer.cache), TextReleased(answer.text), *citations, Finished(answer)]
