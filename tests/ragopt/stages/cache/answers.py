"""An answer to keep, and the cache it is kept in, over a real Redis and sources that tests set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from redis.asyncio import Redis

from indexes.access import Reader
from indexes.facets import MetadataFilter
from indexes.records import EncodedQuestion, LiveChunk, Revision
from ragopt.domain import Answer, Attempt, CacheOutcome, Citation, Context, Passage, Question, Route, Usage
from ragopt.prompt import build_prompt
from ragopt.results import NO_HISTORY, Looked, Prepared
from ragopt.stages.cache.answer_cache import ResponseCache
from ragopt.stages.cache.entries import EntryLimits, RedisEntries
from ragopt.stages.cache.key import Keys
from ragopt.stages.cache.similar import SimilarQuestions
from ragopt.telemetry import Trace
from tests.fakes import WordEncoder
from tests.ragopt.state.scenarios import Clock

PASSAGE = Passage(1, "oil", 2, "oil/1", "Öl", ((0, 4), (9, 12)), "Öl i … ink", 3, 0.5, ((0, 4), (9, 12)))
CHUNK = LiveChunk(0, "Öl is, drink it.", 5)
CONTEXT = Context("What is oil?", "What is oil?", 800, 3, (PASSAGE,), 7, "budget")
CITATION = Citation(1, "oil", 2, "oil/1", "Öl", 0, 10, 0, 4, "Öl i", "supported", 0.9)
ROUTE = Route("openai", "small", "simple", 0.2, "easy", (Attempt("small", "ok", "", 812.5),))
ANSWER = Answer(
    id="a1",
    text="Öl is oil [1].",
    abstained=False,
    citations=(CITATION,),
    context=CONTEXT,
    route=ROUTE,
    cache=CacheOutcome("miss"),
    usage=Usage(1200, 1024, 0, 96, Decimal("0.000213"), estimated=False),
)
QUESTION = Question("What is oil?", "acme")
# A test machine may stall for longer than a service may wait.
PATIENT = EntryLimits(ttl_s=60, timeout_s=20)
NOW = Revision("one", 7)


@dataclass(slots=True)
class FixedSources:
    """A collection that holds what a test says. newest: the generation that the youngest chunk was born in."""

    now: Revision = NOW
    chunks: Mapping[str, LiveChunk] = field(default_factory=lambda: {"oil/1": CHUNK})
    newest: int = 7

    async def revision(self, tenant: str, collection: str) -> Revision:
        """Return what the test set."""
        return self.now

    async def live_chunks(
        self, tenant: str, collection: str, ids: Sequence[str], *, generation: int
    ) -> dict[str, LiveChunk]:
        """Return those of the chunks that are there."""
        return {item: self.chunks[item] for item in ids if item in self.chunks}

    async def has_newer(
        self, tenant: str, collection: str, *, since: int, generation: int, reader: Reader, matching: MetadataFilter
    ) -> bool:
        """Return whether the youngest chunk is younger."""
        return since < self.newest <= generation


def cache_over(
    redis: Redis,
    *,
    sources: FixedSources | None = None,
    scope: str = "v1",
    limits: EntryLimits = PATIENT,
    clock: Clock | None = None,
    similar: SimilarQuestions | None = None,
    shadow_share: float = 0,
) -> ResponseCache:
    """Return a cache that a slow machine does not trip, unless `limits` say so."""
    return ResponseCache(
        Keys(scope),
        RedisEntries(redis, limits=limits, now=clock or Clock()),
        sources or FixedSources(),
        WordEncoder().encode_question,
        similar=similar,
        shadow_share=shadow_share,
    )


async def looked(cache: ResponseCache, question: Question = QUESTION, standalone: str = "What is oil?") -> Looked:
    """Return what the cache has for a question."""

    async def encoding() -> EncodedQuestion:
        return await WordEncoder().encode_question(standalone)

    waiting = encoding()
    try:
        return await cache.look(question, standalone, encoding=waiting, trace=Trace("r"))
    finally:
        waiting.close()


async def hit(cache: ResponseCache, question: Question = QUESTION, standalone: str = "What is oil?") -> Answer | None:
    """Return the answer that the cache serves at once."""
    return (await looked(cache, question, standalone)).answer


async def keep(
    cache: ResponseCache, question: Question = QUESTION, standalone: str = "What is oil?", answer: Answer = ANSWER
) -> None:
    """Put the answer as the pipeline does, and return once it is kept."""
    await cache.put(prepared_for(question, standalone, answer), answer)
    await cache.keeping.idle()


def prepared_for(question: Question, standalone: str, answer: Answer = ANSWER) -> Prepared:
    """Return the first half of an answer to a question."""
    context = replace(answer.context, question=question.text, standalone_question=standalone)
    return Prepared(question, context, build_prompt(context, NO_HISTORY), keeps=True)
