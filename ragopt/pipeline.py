"""The path of a question, top to bottom.

screen → rewrite → cache → retrieve (embed, dense ∥ BM25, fuse) → rerank → pack ∥ history → prompt → route
        → generate → cite → cache
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial

from indexes.records import EncodedQuestion
from ragopt.domain import (
    PASSAGE_SEPARATOR,
    Answer,
    CacheOutcome,
    Context,
    Question,
    Route,
    Usage,
)
from ragopt.events import AnswerEvent, CitationFound, Finished, SourcesFound, TextReleased
from ragopt.flights import Flights
from ragopt.form import instructions_of
from ragopt.ports import (
    AnswerCache,
    BuildPrompt,
    Cite,
    ComposeHistory,
    CountSavings,
    CountTokens,
    Embed,
    Generate,
    KeepCheap,
    Pack,
    Rerank,
    Retrieve,
    Rewrite,
    ScreenQuestion,
)
from ragopt.providers.protocol import TextDelta
from ragopt.results import Cited, Generated, History, Looked, Prepared, RankedHit, Shortened, Standalone, Written
from ragopt.telemetry import Trace

ABSTENTION = "I could not find this in the documents."
KEPT_SIMILARITIES = 10


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The stages, and the path through them."""

    rewrite: Rewrite
    embed: Embed
    cache: AnswerCache
    retrieve: Retrieve
    rerank: Rerank
    pack: Pack
    history: ComposeHistory
    count_tokens: CountTokens
    prompt: BuildPrompt
    generate: Generate
    cite: Cite
    savings: CountSavings | None = None
    keep_cheap: KeepCheap | None = None
    flights: Flights = field(default_factory=Flights)
    screen: ScreenQuestion | None = None
    generation: Callable[[str, str], Awaitable[int]] | None = None

    async def context_for(self, question: Question, *, trace: Trace) -> Context:
        """Return the packed context of a question; no model is called.

        Raises: `QuestionRefused`, `CollectionNotFound`, `StoreUnavailable`.
        """
        standalone = await self._standalone(question, trace, may_call=False)
        encoded = await self._encoded(standalone, trace)
        context, _ = await self._sent(question, standalone.text, encoded=encoded, trace=trace)
        return context

    async def answer(self, question: Question, *, trace: Trace) -> AsyncGenerator[AnswerEvent, None]:
        """Yield `SourcesFound`, the text as it is released, each citation, and `Finished` last.

        Closing it closes the model call under it at once.
        Raises, before the first text only: `QuestionRefused`, `CollectionNotFound`, `StoreUnavailable`,
        `ProviderError`.
        """
        standalone = await self._standalone(question, trace)
        key = self.cache.entry(question, standalone.text) if is_everybodys(question, standalone) else ""
        shared = await self.flights.joined(key) if key else None
        if shared is not None and await self._is_current(shared, question):
            for event in replay(named(joined(shared, question, standalone), question)):
                yield event
            return
        alone = self._events(question, standalone, trace=trace)
        led = self.flights.led(key, alone, private=partial(is_private, trace)) if key else alone
        async with aclosing(led) as events:
            async for event in events:
                yield event

    async def _is_current(self, answer: Answer, question: Question) -> bool:
        """Return whether nothing was committed since: a change may have been acknowledged before this was asked."""
        if self.generation is None:
            return True
        return await self.generation(question.tenant, question.collection) == answer.context.generation

    async def _events(
        self, question: Question, standalone: Standalone, *, trace: Trace
    ) -> AsyncGenerator[AnswerEvent, None]:
        first = await self._first_half(question, standalone, trace=trace)
        if isinstance(first, Answer):
            for event in replay(first):
                yield event
            return
        yield SourcesFound(first.context, first.outcome)
        async with aclosing(self.second_half(first, self.written(first, trace=trace), trace=trace)) as events:
            async for rest in events:
                yield rest

    async def first_half(self, question: Question, *, trace: Trace) -> Answer | Prepared:
        """Return everything up to the model call, or the whole answer where the response cache has it.

        Raises: `CollectionNotFound`, `StoreUnavailable`.
        """
        return await self._first_half(question, await self._standalone(question, trace), trace=trace)

    async def _first_half(self, question: Question, standalone: Standalone, *, trace: Trace) -> Answer | Prepared:
        async with self._encoding(standalone, trace) as encoding:
            looked = await self._look(question, standalone, encoding=encoding, trace=trace)
            if looked.answer is not None:
                return named(looked.answer, question)
            encoded = await encoding
        context, history = await self._sent(question, standalone.text, encoded=encoded, trace=trace)
        confirmed = await self._confirmed(looked, context, question=question, trace=trace)
        if confirmed is not None:
            return named(confirmed, question)
        prepared = self.prepare(question, context, history=history, encoded=encoded)
        trace.note(prefix=prepared.prompt.prefix_digest())
        return replace(
            prepared,
            outcome=CacheOutcome(
                "miss" if reads_cache(question, standalone) else "bypass",
                entry=self.cache.entry(question, standalone.text),
            ),
            # What was said with a history is that conversation's: it must not answer a stranger.
            keeps=standalone.sure and not question.history,
            near=looked.near,
        )

    def written(self, prepared: Prepared, *, trace: Trace) -> Written:
        """Return what a model that is called now writes; the abstention, and no call, where no passage was found."""
        return self.generate(prepared, trace=trace) if prepared.context.passages else nothing_found()

    async def second_half(
        self, prepared: Prepared, written: Written, *, trace: Trace
    ) -> AsyncGenerator[TextReleased | CitationFound | Finished, None]:
        """Yield the text of `written` as it is released, each citation, and `Finished` last, which the cache may keep.

        written: of a call that runs or that ended hours ago; closed at the end.
        """
        checker, generated = self.cite(prepared, trace=trace), NOTHING_FOUND
        async with aclosing(written) as events:
            async for event in events:
                if isinstance(event, Generated):
                    generated = event
                elif isinstance(event, Shortened):
                    prepared = event.of(prepared)
                    checker = self.cite(prepared, trace=trace)
                elif released := await checker.feed(event.text):
                    yield TextReleased(released)
        rest, cited = await checker.finish()
        if rest:
            yield TextReleased(rest)
        for citation in cited.citations:
            yield CitationFound(citation)
        answer = await self.finish(prepared, cited, generated=generated)
        # What a spent budget left is a lesser answer, and not everybody's.
        if prepared.keeps and "afford" not in trace.fallbacks:
            await self.cache.put(prepared, answer)
        yield Finished(answer)

    def prepare(
        self, question: Question, context: Context, *, history: History, encoded: EncodedQuestion | None = None
    ) -> Prepared:
        """Return the first half of an answer, ready for a model; `encoded` is the standalone question."""
        prompt = self.prompt(context, history, instructions=instructions_of(question), examples=question.examples)
        return Prepared(question, context, prompt, encoded, history=history)

    async def finish(self, prepared: Prepared, cited: Cited, *, generated: Generated) -> Answer:
        """Return the whole answer of a completion, with what it saved."""
        return Answer(
            id=prepared.question.answer_id or answer_id(),
            text=cited.text,
            abstained=generated.abstained or cited.text == ABSTENTION,
            citations=cited.citations,
            context=prepared.context,
            route=generated.route,
            cache=prepared.outcome,
            usage=generated.usage,
            partial=generated.partial or cited.checks.dropped > 0,
            savings=await self.savings(prepared, generated) if self.savings else None,
            prompt_tokens=prepared.prompt.tokens(self.count_tokens),
            claims=cited.claims,
            checks=replace(cited.checks, corrections=generated.corrections),
        )

    async def _standalone(self, question: Question, trace: Trace, *, may_call: bool = True) -> Standalone:
        """Return the question as it stands alone, screened as it was asked and as it is understood."""
        asked = await self._screened(question, question.text, trace)
        with trace.stage("rewrite"):
            standalone = await self.rewrite(question, trace=trace, may_call=may_call)
        if standalone.text != question.text:
            asked = await self._screened(question, standalone.text, trace)
        return replace(standalone, encoded=asked)

    async def _screened(self, question: Question, text: str, trace: Trace) -> EncodedQuestion | None:
        if self.screen is None:
            return None
        with trace.stage("screen"):
            return await self.screen(question, text, trace=trace)

    async def _encoded(self, standalone: Standalone, trace: Trace) -> EncodedQuestion:
        with trace.stage("embed"):
            return standalone.encoded or await self.embed(standalone.text)

    @asynccontextmanager
    async def _encoding(self, standalone: Standalone, trace: Trace) -> AsyncIterator[asyncio.Task[EncodedQuestion]]:
        """Encode the question beside the block; given up if nobody has waited for it by then."""
        task = asyncio.create_task(self._encoded(standalone, trace))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _look(
        self, question: Question, standalone: Standalone, *, encoding: Awaitable[EncodedQuestion], trace: Trace
    ) -> Looked:
        if not reads_cache(question, standalone):
            return Looked()
        with trace.stage("cache"):
            return await self.cache.look(question, standalone.text, encoding=encoding, trace=trace)

    async def _confirmed(self, looked: Looked, context: Context, *, question: Question, trace: Trace) -> Answer | None:
        if looked.doubtful is None:
            return None
        with trace.stage("cache"):
            return await self.cache.confirmed(looked.doubtful, context, question=question, trace=trace)

    async def _sent(
        self, question: Question, standalone: str, *, encoded: EncodedQuestion, trace: Trace
    ) -> tuple[Context, History]:
        """Return what of the documents and of the conversation goes into the prompt."""
        context, history = await asyncio.gather(
            self._context(question, standalone, encoded=encoded, trace=trace),
            self._earlier(question, standalone, encoded=encoded, trace=trace),
        )
        if self.keep_cheap is not None:
            context = await self.keep_cheap(question, context, history=history, trace=trace)
        return context, history

    async def _earlier(self, question: Question, standalone: str, *, encoded: EncodedQuestion, trace: Trace) -> History:
        with trace.stage("history"):
            return await self.history(question, standalone=standalone, encoded=encoded, trace=trace)

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


def reads_cache(question: Question, standalone: Standalone) -> bool:
    """Return whether a cached answer may be served: the caller lets it, and what is asked is known for certain."""
    return question.cache in ("on", "read_only") and standalone.sure


def is_everybodys(question: Question, standalone: Standalone) -> bool:
    """Return whether who asks the same at the same time may have the same answer: no history shapes it."""
    return reads_cache(question, standalone) and not question.history


def is_private(trace: Trace) -> bool:
    """Return whether what a request came to is its own: its budget or its deadline decided."""
    return "afford" in trace.fallbacks or asyncio.get_running_loop().time() >= trace.ends


def joined(shared: Answer, question: Question, standalone: Standalone) -> Answer:
    """Return the answer that somebody who asked the same just got, as it is given to this caller."""
    outcome = CacheOutcome("hit", "exact", 1.0, 0.0, entry=shared.cache.entry)
    return shared.again(
        shared.cache if shared.cache.status == "hit" else outcome, question=question.text, standalone=standalone.text
    )


def named(cached: Answer, question: Question) -> Answer:
    """Return the answer under an id of its own."""
    return replace(cached, id=question.answer_id or answer_id())


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


async def nothing_found() -> Written:
    """Yield the abstention of a question without passages, as a model would."""
    yield TextDelta(ABSTENTION)
    yield NOTHING_FOUND


def answer_id() -> str:
    """Return a fresh id of an answer."""
    return f"ans_{uuid.uuid4().hex}"


def replay(cached: Answer) -> list[AnswerEvent]:
    """Return a cached answer as the events of a fresh one."""
    citations = [CitationFound(citation) for citation in cached.citations]
    return [SourcesFound(cached.context, cached.cache), TextReleased(cached.text), *citations, Finished(cached)]
