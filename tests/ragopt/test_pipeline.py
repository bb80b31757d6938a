"""The path of a question over real stages: events in order, the cache used, nothing lost when a reader leaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import pytest

from indexes.edge import EdgeEngine
from indexes.errors import CollectionNotFound
from indexes.library import Library
from indexes.records import Document, EncodedQuestion, IndexKnobs
from ragopt.domain import Answer, CacheOutcome, Context, QueryKnobs, Question, Route, Turn, Usage
from ragopt.events import AnswerEvent, CitationFound, Finished, SourcesFound, TextReleased
from ragopt.pipeline import ABSTENTION, Pipeline, similarities
from ragopt.ports import Generate
from ragopt.prompt import build_prompt
from ragopt.providers.extractive import ExtractiveProvider
from ragopt.providers.protocol import CompletionRequest, TextDelta
from ragopt.results import Generated, Kept, Looked, Prepared
from ragopt.settings.history import HistorySettings
from ragopt.stages.cache.key import Keys
from ragopt.stages.cite.checker import CitationChecking
from ragopt.stages.cite.judging import ClaimJudge
from ragopt.stages.history.stage import BudgetedHistory
from ragopt.stages.pack import Packer
from ragopt.stages.rerank.late_interaction import rerank
from ragopt.stages.retrieve import HybridRetriever
from ragopt.stages.rewrite import RuleRewriter, shipped_model
from ragopt.telemetry import Trace
from ragopt.tokens import count_tokens, count_tokens_batch
from tests.fakes import WordEncoder, ranked_hit

FEES = Document(
    "fees",
    "The late fee is eight dollars. Refunds take ten days. Cats are not allowed.",
    "Fees",
    {"team": "hr", "year": 2024},
)
ROUTE = Route("fake", "fake", "simple", None, "the only one", ())


@dataclass
class MemoryCache:
    """A cache in a dict; remembers what it was asked."""

    kept: dict[str, Answer] = field(default_factory=dict)
    gets: int = 0

    def entry(self, question: Question, standalone: str) -> str:
        """Return the text."""
        return standalone

    async def look(
        self, question: Question, standalone: str, *, encoding: Awaitable[EncodedQuestion], trace: Trace
    ) -> Looked:
        """Return the kept answer of this text."""
        self.gets += 1
        kept = self.kept.get(standalone)
        if kept is None:
            return Looked()
        outcome = CacheOutcome("hit", "exact", 1.0, 0.5)
        return Looked(answer=kept.again(outcome, question=question.text, standalone=standalone))

    async def confirmed(self, doubtful: Kept, context: Context, *, question: Question, trace: Trace) -> Answer | None:
        """Return nothing: nothing is ever doubtful here."""
        return None

    async def put(self, prepared: Prepared, answer: Answer) -> None:
        """Keep it, if the question lets it."""
        if prepared.question.cache in {"on", "write_only"}:
            self.kept[prepared.context.standalone_question] = answer


async def quote(prepared: Prepared, *, trace: Trace) -> AsyncGenerator[TextDelta | Generated, None]:
    """Generate with the real built-in provider."""
    request = CompletionRequest("extractive", prepared.prompt, prepared.context, 100, 5)
    async for event in ExtractiveProvider().stream(request):
        if isinstance(event, TextDelta):
            yield event
    yield Generated(ROUTE, Usage(cost_usd=Decimal(0)), partial=False, abstained=False)


def run_with(
    folder: Path, *questions: Question, generate: Generate = quote, cache: MemoryCache | None = None
) -> list[list[AnswerEvent]]:
    async def run() -> list[list[AnswerEvent]]:
        async with opened_pipeline(folder, generate=generate, cache=cache) as pipelines:
            pipeline = await anext(pipelines)
            return [[event async for event in pipeline.answer(item, trace=Trace("r"))] for item in questions]

    return asyncio.run(run())


def opened_pipeline(
    folder: Path, *, generate: Generate = quote, cache: MemoryCache | None = None
) -> aclosing[AsyncGenerator[Pipeline, None]]:
    return aclosing(pipelines_over(folder, generate, cache or MemoryCache()))


async def pipelines_over(folder: Path, generate: Generate, cache: MemoryCache) -> AsyncGenerator[Pipeline, None]:
    engine, encoder = EdgeEngine(folder), WordEncoder()
    library = Library(engine, encoder, knobs=IndexKnobs(), count_tokens=count_tokens_batch, max_document_bytes=10_000)
    await library.ingest("t", "default", [FEES])
    try:
        yield Pipeline(
            rewrite=RuleRewriter(shipped_model()),
            embed=encoder.encode_question,
            cache=cache,
            retrieve=HybridRetriever(library, encoder.encode_question),
            rerank=rerank,
            pack=Packer(count_tokens),
            history=BudgetedHistory(HistorySettings()),
            count_tokens=count_tokens,
            prompt=build_prompt,
            generate=generate,
            cite=CitationChecking(ClaimJudge.lexical()),
        )
    finally:
        await engine.close()


def finished(events: list[AnswerEvent]) -> Answer:
    last = events[-1]
    assert isinstance(last, Finished)
    return last.answer


def test_events_come_in_the_promised_order(tmp_path: Path) -> None:
    """Sources, text, citations, and the whole answer last; the text released is the answer's text."""
    (events,) = run_with(tmp_path, Question("How much is the late fee?", "t"))
    kinds = [type(event) for event in events]
    assert kinds[0] is SourcesFound
    assert kinds == sorted(kinds, key=[SourcesFound, TextReleased, CitationFound, Finished].index)
    answer = finished(events)
    assert "".join(event.text for event in events if isinstance(event, TextReleased)) == answer.text
    assert answer.text == "The late fee is eight dollars [1]."
    citation = answer.citations[0]
    assert FEES.text[citation.source_start : citation.source_end] == citation.quote == "The late fee is eight dollars."


def test_the_second_time_it_comes_from_the_cache(tmp_path: Path) -> None:
    """A hit has the same text and citations under its own id, and `off` does not look."""
    question, cache = Question("How much is the late fee?", "t"), MemoryCache()
    first, second, third = map(
        finished, run_with(tmp_path, question, question, replace(question, cache="off"), cache=cache)
    )
    assert (first.cache.status, second.cache.status, third.cache.status) == ("miss", "hit", "bypass")
    assert (second.text, second.citations) == (first.text, first.citations)
    assert len({first.id, second.id, third.id}) == 3
    assert cache.gets == 2


@pytest.mark.parametrize(("mode", "reads", "writes"), [("read_only", 1, 0), ("write_only", 0, 1), ("off", 0, 0)])
def test_cache_modes(tmp_path: Path, mode: str, reads: int, writes: int) -> None:
    """read_only does not write, write_only does not read."""
    cache = MemoryCache()
    run_with(tmp_path, Question("How much is the late fee?", "t", cache=mode), cache=cache)  # type: ignore[arg-type]
    assert (cache.gets, len(cache.kept)) == (reads, writes)


def test_an_answer_within_a_conversation_is_not_kept_for_others(tmp_path: Path) -> None:
    """The prompt held the history, so the answer may too."""
    cache = MemoryCache()
    run_with(tmp_path, Question("And the late fee?", "t", history=(Turn("user", "I am Ann. Refunds?"),)), cache=cache)
    assert cache.kept == {}


def test_an_unsure_rewrite_is_neither_served_from_the_cache_nor_kept(tmp_path: Path) -> None:
    """What was said before decides what is meant, so the same words elsewhere may mean something else."""
    cache, before = MemoryCache(), (Turn("user", "Which late fee is there?"),)
    (events,) = run_with(tmp_path, Question("And how much is it?", "t", history=before), cache=cache)
    answer = finished(events)
    assert (answer.cache.status, cache.gets, cache.kept) == ("bypass", 0, {})
    assert answer.context.standalone_question != answer.context.question


def test_without_passages_no_model_is_called(tmp_path: Path) -> None:
    """A budget that fits nothing ends in an abstention, not in an ungrounded answer."""

    async def never(prepared: Prepared, *, trace: Trace) -> AsyncGenerator[TextDelta | Generated, None]:
        raise AssertionError
        yield

    (events,) = run_with(tmp_path, Question("late fee?", "t", knobs=QueryKnobs(context_tokens=1)), generate=never)
    answer = finished(events)
    assert (answer.text, answer.abstained, answer.citations) == (ABSTENTION, True, ())


def test_filter_decides_what_is_found(tmp_path: Path) -> None:
    """A document is found if each key has one of the values; a filter that matches nothing ends in an abstention."""

    def asked(**matching: tuple[str | int, ...]) -> Question:
        return Question("How much is the late fee?", "t", cache="off", filter=matching)

    events = run_with(
        tmp_path, asked(), asked(team=("it", "hr"), year=(2024,)), asked(team=("it",)), asked(city=("x",))
    )
    answers = [finished(item) for item in events]
    assert [answer.abstained for answer in answers] == [False, False, True, True]
    assert all("eight dollars" in answer.text for answer in answers[:2])
    assert all((answer.text, answer.context.passages) == (ABSTENTION, ()) for answer in answers[2:])


def test_an_unknown_collection_is_an_error_before_any_event(tmp_path: Path) -> None:
    """Neither an empty context nor an invented answer."""
    with pytest.raises(CollectionNotFound):
        run_with(tmp_path, Question("late fee?", "t", collection="nowhere"))


def test_a_reader_that_leaves_closes_the_model_call(tmp_path: Path) -> None:
    """Closing the answer's stream closes the generator under it at once."""
    closed: list[bool] = []

    async def endless(prepared: Prepared, *, trace: Trace) -> AsyncGenerator[TextDelta | Generated, None]:
        try:
            while True:
                yield TextDelta("word ")
        finally:
            closed.append(True)

    async def run() -> None:
        async with opened_pipeline(tmp_path, generate=endless) as pipelines:
            pipeline = await anext(pipelines)
            events = pipeline.answer(Question("late fee?", "t"), trace=Trace("r"))
            async for event in events:
                if isinstance(event, TextReleased):
                    break
            await events.aclose()
            assert closed == [True]

    asyncio.run(run())


def test_embedding_and_cache_lookup_run_side_by_side(tmp_path: Path) -> None:
    """The trace shows both, and the stages of the search, and everything adds up."""

    async def run() -> dict[str, float]:
        async with opened_pipeline(tmp_path) as pipelines:
            pipeline = await anext(pipelines)
            trace = Trace("r")
            async for _ in pipeline.answer(Question("late fee?", "t"), trace=trace):
                pass
            return trace.timings_ms()

    timings = asyncio.run(run())
    assert {"rewrite", "embed", "cache", "retrieve", "dense", "bm25", "rerank", "pack", "cite"} <= set(timings)
    stages = sum(ms for name, ms in timings.items() if name not in ("overlap", "other", "total"))
    assert stages - timings["overlap"] + timings["other"] == pytest.approx(timings["total"], abs=0.01)
    assert timings["overlap"] > 0


def test_identical_questions_at_once_make_one_model_call(tmp_path: Path) -> None:
    """All but one are hits that cost nothing, each under its own id; other questions are not held up by them."""
    calls: list[str] = []

    async def slow(prepared: Prepared, *, trace: Trace) -> AsyncGenerator[TextDelta | Generated, None]:
        calls.append(prepared.question.text)
        await asyncio.sleep(0.05)
        async with aclosing(quote(prepared, trace=trace)) as events:
            async for event in events:
                yield event

    async def run() -> list[Answer]:
        async with opened_pipeline(tmp_path, generate=slow) as pipelines:
            pipeline = await anext(pipelines)

            async def ask(text: str) -> Answer:
                return finished([event async for event in pipeline.answer(Question(text, "t"), trace=Trace("r"))])

            return await asyncio.gather(
                *(ask("How much is the late fee?") for _ in range(50)), ask("Are cats allowed?")
            )

    *same, other = asyncio.run(run())
    assert sorted(calls) == ["Are cats allowed?", "How much is the late fee?"]
    assert sorted(answer.cache.status for answer in same) == ["hit"] * 49 + ["miss"]
    assert {answer.text for answer in same} == {"The late fee is eight dollars [1]."}
    assert len({answer.id for answer in same}) == 50
    assert other.cache.status == "miss"
    hits = [answer for answer in same if answer.cache.status == "hit"]
    assert all(
        (hit.cache.kind, hit.cache.similarity, hit.usage) == ("exact", 1.0, Usage(cost_usd=Decimal(0))) for hit in hits
    )


@pytest.mark.parametrize(("newer", "looked"), [(0, 1), (1, 2)])
def test_a_shared_answer_is_not_from_before_a_change(tmp_path: Path, newer: int, looked: int) -> None:
    """Who asked after a change was acknowledged does not get the answer that was begun before it."""
    cache = MemoryCache()

    async def slow(prepared: Prepared, *, trace: Trace) -> AsyncGenerator[TextDelta | Generated, None]:
        await asyncio.sleep(0.05)
        async with aclosing(quote(prepared, trace=trace)) as events:
            async for event in events:
                yield event

    async def generation(tenant: str, collection: str) -> int:
        return 1 + newer

    async def run() -> None:
        async with opened_pipeline(tmp_path, generate=slow, cache=cache) as pipelines:
            pipeline = replace(await anext(pipelines), generation=generation)

            async def ask() -> Answer:
                asked = Question("How much is the late fee?", "t")
                return finished([event async for event in pipeline.answer(asked, trace=Trace("r"))])

            answers = await asyncio.gather(ask(), ask())
            assert {answer.text for answer in answers} == {"The late fee is eight dollars [1]."}

    asyncio.run(run())
    assert cache.gets == looked


@pytest.mark.parametrize("change", [{"cache": "off"}, {"cache": "write_only"}, {"history": (Turn("user", "Hello."),)}])
def test_what_asks_for_a_fresh_answer_does_not_wait_for_another(tmp_path: Path, change: dict[str, object]) -> None:
    """Nor does a question within a conversation: its prompt holds what was said."""
    calls: list[str] = []

    async def counted(prepared: Prepared, *, trace: Trace) -> AsyncGenerator[TextDelta | Generated, None]:
        calls.append(prepared.question.text)
        await asyncio.sleep(0.01)
        async with aclosing(quote(prepared, trace=trace)) as events:
            async for event in events:
                yield event

    async def run() -> None:
        async with opened_pipeline(tmp_path, generate=counted) as pipelines:
            pipeline = await anext(pipelines)
            question = replace(Question("How much is the late fee?", "t"), **change)  # type: ignore[arg-type]

            async def ask() -> None:
                async for _ in pipeline.answer(question, trace=Trace("r")):
                    pass

            await asyncio.gather(*(ask() for _ in range(3)))

    asyncio.run(run())
    assert len(calls) == 3


async def afforded(prepared: Prepared, *, trace: Trace) -> AsyncGenerator[TextDelta | Generated, None]:
    """Generate as where a budget is spent."""
    trace.fell_back("afford", "the budget is spent")
    async with aclosing(quote(prepared, trace=trace)) as events:
        async for event in events:
            yield event


def test_what_a_spent_budget_left_is_not_kept(tmp_path: Path) -> None:
    """The lesser answer is this caller's alone: the cache holds what the plan would have said, or nothing."""
    question, cache = Question("How much is the late fee?", "t", answer_id="ans_mine"), MemoryCache()
    (events,) = run_with(tmp_path, question, generate=afforded, cache=cache)
    assert finished(events).id == "ans_mine"
    assert cache.kept == {}


def test_similarities_are_the_ten_best_in_order() -> None:
    """The mean of late interaction and cosine, late interaction alone where a hit has no cosine."""
    hits = [ranked_hit("text", score=at / 20, n=at) for at in range(12)]
    found = similarities(hits)
    assert len(found) == 10
    assert found == tuple(sorted(found, reverse=True))
    assert found[0] == pytest.approx((11 / 20 + 0.5) / 2, abs=1e-4)
    alone = replace(hits[0], hit=replace(hits[0].hit, dense=None), similarity=0.7)
    assert similarities([alone]) == (0.7,)


def test_the_halves_make_the_answer_hours_apart(tmp_path: Path) -> None:
    """What a model wrote long after the first half becomes the live answer, and the cache keeps it."""
    question, cache = Question("How much is the late fee?", "t", answer_id="ans_1"), MemoryCache()

    async def run() -> tuple[Answer, Answer, Answer | Prepared]:
        async with opened_pipeline(tmp_path, cache=cache) as pipelines:
            pipeline = await anext(pipelines)
            live = finished(
                [event async for event in pipeline.answer(replace(question, cache="off"), trace=Trace("r"))]
            )
            first = await pipeline.first_half(question, trace=Trace("r"))
            assert isinstance(first, Prepared)
            written = [event async for event in pipeline.written(first, trace=Trace("r"))]
            rest = pipeline.second_half(first, recalled(written), trace=Trace("r"))
            late = finished([event async for event in rest])
            return live, late, await pipeline.first_half(question, trace=Trace("r"))

    live, late, again = asyncio.run(run())
    assert replace(late, cache=live.cache) == live
    assert isinstance(again, Answer)
    assert (again.cache.status, again.text) == ("hit", live.text)


def test_examples_of_a_question_are_in_its_prompt(tmp_path: Path) -> None:
    """What the collection shows reaches the model, and another text is another entry of the cache."""
    question = Question("How much is the late fee?", "t", examples="Question: Why?")

    async def run() -> str:
        async with opened_pipeline(tmp_path) as pipelines:
            first = await (await anext(pipelines)).first_half(question, trace=Trace("r"))
            assert isinstance(first, Prepared)
            return first.prompt.text_of("examples")

    assert asyncio.run(run()).endswith("Question: Why?")
    keys = Keys("models")
    assert keys.of(question, question.text) != keys.of(replace(question, examples=""), question.text)


async def recalled(events: list[TextDelta | Generated]) -> AsyncGenerator[TextDelta | Generated, None]:
    """Yield what was written before."""
    for event in events:
        yield event


def test_a_question_is_screened_as_asked_and_as_understood_and_embedded_once(tmp_path: Path) -> None:
    """A follow-up is looked at twice, and what the screen had to embed is not embedded again."""
    encoder, seen, embedded = WordEncoder(), list[str](), list[str]()

    async def look(_: Question, text: str, *, trace: Trace) -> EncodedQuestion:
        trace.note(screened=True)
        seen.append(text)
        return await encoder.encode_question(text)

    async def embed(text: str) -> EncodedQuestion:
        embedded.append(text)
        return await encoder.encode_question(text)

    async def run() -> None:
        async with opened_pipeline(tmp_path) as pipelines:
            pipeline = replace(await anext(pipelines), screen=look, embed=embed)
            history = (Turn("user", "How much is the late fee?"), Turn("assistant", "The late fee is eight dollars."))
            await pipeline.context_for(Question("How much is the late fee?", "t"), trace=Trace("r"))
            await pipeline.context_for(Question("And when is it due?", "t", history=history), trace=Trace("r"))

    asyncio.run(run())
    assert seen[:2] == ["How much is the late fee?", "And when is it due?"]
    assert len(seen) == 3
    assert "late fee" in seen[2]
    assert embedded == []
