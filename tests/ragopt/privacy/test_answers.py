"""No answer carries personal data out of a collection that redacts it, however it came in and however it goes out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from redis.asyncio import Redis

from eval.stub import Step, StubOptions, serve_in_thread
from indexes.edge import EdgeEngine
from indexes.library import Library
from indexes.records import Document, IndexKnobs
from ragopt.api.rendering import answer_json
from ragopt.config import Settings
from ragopt.domain import Answer, Question, Turn
from ragopt.events import AnswerEvent, CitationFound, Finished, TextReleased
from ragopt.pipeline import Pipeline
from ragopt.settings.collections import CollectionSettings, PersonalData, Unsupported
from ragopt.stages.cache.answer_cache import ResponseCache
from ragopt.stages.cache.entries import EntryLimits, RedisEntries
from ragopt.stages.cache.key import Keys
from ragopt.state.client import connect
from ragopt.telemetry import Trace
from ragopt.tokens import count_tokens_batch
from ragopt.wiring.path import pipeline_over
from tests.fakes import WordEncoder
from tests.ragopt.batches.desks import CATS, ROUTING, RULES, Model, Office, ask, opened

if TYPE_CHECKING:
    from indexes.embedding import Embedder

MAIL = "ada@example.org"
OLD = Document("desk", f"The help desk answers within two hours. Write to the help desk at {MAIL} every day.", "Desk")
TOLD = f"Cats sleep sixteen hours a day [1]. Do you want to ask {MAIL}?"
SHOWN = "Cats sleep sixteen hours a day [1]. Do you want to ask [EMAIL]?"


def settings_of(policy: PersonalData, unsupported: Unsupported = "flag") -> Settings:
    """Return settings under which every collection has the policies."""
    policies = (CollectionSettings(personal_data=policy, unsupported=unsupported),)
    return Settings(routing=ROUTING, batch=RULES, collections=policies, min_relevance=0)


@asynccontextmanager
async def extracting(redis_url: str, folder: Path, policy: PersonalData) -> AsyncIterator[Pipeline]:
    """Yield the path over a document that was stored before there was a policy; the answers are quotes from it."""
    encoder, engine, redis = WordEncoder(), EdgeEngine(folder), connect(redis_url, timeout_s=60)
    library = Library(engine, encoder, knobs=IndexKnobs(), count_tokens=count_tokens_batch, max_document_bytes=10_000)
    await library.ingest("acme", "default", [OLD])
    entries = RedisEntries(redis, limits=EntryLimits(timeout_s=30))
    cache = ResponseCache(Keys("test", frozenset()), entries, library, encoder.encode_question)
    try:
        yield pipeline_over(
            library,
            cast("Embedder", encoder),
            judge=None,
            settings=settings_of(policy),
            cache=cache,
            deployments=(),
        )
    finally:
        await cache.close()
        await redis.aclose()
        await engine.close()


async def events_of(pipeline: Pipeline, question: Question) -> list[AnswerEvent]:
    """Return the events of an answer."""
    return [event async for event in pipeline.answer(question, trace=Trace("r"))]


def answer_in(events: list[AnswerEvent]) -> Answer:
    """Return the whole answer, which is what was released of it."""
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.answer.text == "".join(event.text for event in events if isinstance(event, TextReleased))
    assert list(last.answer.citations) == [event.citation for event in events if isinstance(event, CitationFound)]
    return last.answer


async def stored_in(redis: Redis) -> str:
    """Return everything that Redis holds in texts and hashes."""
    texts = [await redis.get(key) async for key in redis.scan_iter(_type="string")]
    hashes = [await redis.hgetall(key) async for key in redis.scan_iter(_type="hash")]
    return repr((texts, hashes))


def test_a_document_from_before_the_policy_is_not_quoted_as_it_stands(redis_url: str, tmp_path: Path) -> None:
    """Streamed, kept by the response cache and served again: the address is in none of it."""

    async def scenario() -> None:
        asked = ask("How do I write to the help desk every day?", cache="on")
        async with extracting(redis_url, tmp_path, "redact") as pipeline:
            first = answer_in(await events_of(pipeline, asked))
            again = answer_in(await events_of(pipeline, asked))
        assert (first.cache.status, again.cache.status) == ("miss", "hit")
        assert "[EMAIL]" in first.text
        assert first.checks.personal_data == {"email": 1}
        quoted = next(item for item in first.citations if item.quote and "[EMAIL]" in item.quote)
        assert MAIL in OLD.text[quoted.source_start : quoted.source_end]
        assert (quoted.support, MAIL in str((first.text, first.citations))) == ("supported", False)
        assert (again.text, again.citations, again.checks) == (first.text, first.citations, first.checks)
        said = answer_json(again, conversation_id=None, trace=Trace("r"))
        assert json.loads(json.dumps(said["checks"]))["personal_data"] == {"email": 1}

    asyncio.run(scenario())


def test_off_and_flag_leave_the_answer(redis_url: str, tmp_path: Path) -> None:
    """`flag` says how much of each kind it holds."""

    async def said(policy: PersonalData) -> Answer:
        async with extracting(redis_url, tmp_path / policy, policy) as pipeline:
            return answer_in(await events_of(pipeline, ask("How do I write to the help desk every day?")))

    for policy, found in (("off", {}), ("flag", {"email": 1})):
        answer = asyncio.run(said(policy))  # type: ignore[arg-type]
        assert (MAIL in answer.text, answer.checks.personal_data) == (True, found)


def test_what_the_model_repeats_of_a_conversation_is_redacted(redis_url: str) -> None:
    """Also what the caller said earlier: the answer is kept and shown to others."""

    async def scenario(office: Office) -> None:
        turns = (Turn("user", f"I am {MAIL}. How long do cats sleep?"), Turn("assistant", "Sixteen hours a day [1]."))
        office.stub.plan(Step(answer=f"You said that you are {MAIL}. Cats sleep sixteen hours a day [1]."))
        events = await events_of(office.desk.pipeline, ask("Who am I, and how long do cats sleep?", history=turns))
        assert answer_in(events).text == "You said that you are [EMAIL]. Cats sleep sixteen hours a day [1]."

    in_office(redis_url, scenario)


def test_what_is_told_of_a_rejected_draft_goes_without_it(redis_url: str) -> None:
    """The route names the claim that was wrong; the model is told it as it wrote it."""

    async def scenario(office: Office) -> None:
        office.stub.plan(Step(answer=f"Cats sleep nine hours a day at {MAIL} [1]."), Step(answer=TOLD))
        answer = answer_in(await events_of(office.desk.pipeline, ask(CATS)))
        assert answer.route.attempts[0].outcome == "rejected"
        assert "at [EMAIL]" in answer.route.attempts[0].detail
        assert MAIL not in str((answer.text, answer.citations, answer.route))
        assert MAIL in str(office.stub.calls[-1].body)

    in_office(redis_url, scenario, unsupported="correct")


def test_json_of_a_model_is_redacted(redis_url: str) -> None:
    """Its strings are, and it still is JSON."""

    async def scenario(office: Office) -> None:
        office.stub.plan(Step(answer=json.dumps({"hours": "Cats sleep sixteen hours a day [1].", "ask": MAIL})))
        asked = replace(ask(CATS), answer_schema='{"type": "object"}')
        answer = answer_in(await events_of(office.desk.pipeline, asked))
        assert json.loads(answer.text) == {"hours": "Cats sleep sixteen hours a day [1].", "ask": "[EMAIL]"}
        assert answer.checks.personal_data == {"email": 1}

    in_office(redis_url, scenario)


def test_results_of_a_batch_are_redacted(redis_url: str) -> None:
    """So are those of its duplicates, what the response cache keeps of it, and what is kept of the batch itself."""

    async def scenario(office: Office) -> None:
        asked = ask(CATS, cache="on")
        _, results = await office.answered(asked, ask("How many hours a day do cats sleep?"), asked)
        answers = [result.answer for result in results.values()]
        assert [answer and answer.text for answer in answers] == [SHOWN] * 3
        assert answers[0] is not None
        assert answers[0].checks.personal_data == {"email": 1}
        _, later = await office.answered(asked)
        assert later["q0"].served == "cache"
        assert later["q0"].answer is not None
        assert (later["q0"].answer.text, later["q0"].answer.checks) == (SHOWN, answers[0].checks)
        await office.desk.flush()
        stored = await stored_in(office.redis)
        assert ("[EMAIL]" in stored, MAIL in stored) == (True, False)

    in_office(redis_url, scenario)


def in_office(redis_url: str, scenario: object, *, unsupported: Unsupported = "flag") -> None:
    """Run a scenario where every collection redacts, with a model that names an address unless told otherwise."""

    async def run(url: str) -> None:
        with serve_in_thread(StubOptions(answer=TOLD, batch_s=0)) as stub:
            settings = settings_of("redact", unsupported)
            async with opened(url, stub, [Model("small")], settings=settings) as office:
                await scenario(office)  # type: ignore[operator]

    asyncio.run(run(redis_url))
