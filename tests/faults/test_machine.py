"""Ingest, update, delete, ask, expire and restart in any order, over real engines, beside a model in memory."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from eval.cache.world import PATIENCE_S, World, opened_world
from indexes.errors import CollectionNotFound, DocumentNotFound
from indexes.records import Document
from ragopt.domain import Passage, QueryKnobs, Question
from ragopt.stages.cache.entries import EntryLimits
from ragopt.state.client import connect
from ragopt.telemetry import Trace
from tests.environment import campaign_examples
from tests.fakes import WordEncoder

PLACES = [(tenant, collection) for tenant in ("acme", "globex") for collection in ("default", "other")]
IDS = ("a", "b/c", "d e", "é")
SUBJECTS = ("barge", "canoe", "ferry", "kayak")
FACTS = ("fee", "weight", "range")
KNOBS = QueryKnobs(context_tokens=60, top_k=20)
STEPS = 30
T = TypeVar("T")

sentences = st.lists(st.tuples(st.sampled_from(FACTS), st.sampled_from(SUBJECTS)), min_size=1, max_size=3)


@dataclass(frozen=True)
class Written:
    """A document as it was last written: by which step, as which version."""

    text: str
    version: int
    step: int


class Documents(RuleBasedStateMachine):
    """Two tenants with two collections each."""

    steps = 0
    hits = 0
    asked = 0

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="ragopt-machine-"))
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.live: dict[tuple[str, str], dict[str, Written]] = {place: {} for place in PLACES}
        self.versions: dict[tuple[tuple[str, str], str], int] = {}
        self.given: dict[tuple[tuple[str, str], str], int] = {}
        self.now = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what the work comes to, in the loop of this machine."""
        return self.runner.run(work)

    async def open(self) -> World:
        """Return the world over the folder."""
        limits = EntryLimits(timeout_s=PATIENCE_S)
        return await self.stack.enter_async_context(opened_world(self.folder, WordEncoder(), limits=limits))

    @initialize()
    def start(self) -> None:
        """Open the world."""
        self.world = self.run(self.open())

    def teardown(self) -> None:
        """Close the world and forget it."""
        self.run(self.stack.aclose())
        self.runner.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def tick(self) -> None:
        """Count a step."""
        self.now += 1
        Documents.steps += 1

    @rule(place=st.sampled_from(PLACES), name=st.sampled_from(IDS), said=sentences)
    def ingest(self, place: tuple[str, str], name: str, said: list[tuple[str, str]]) -> None:
        """Write a document."""
        self.write(place, {name: said})

    @rule(place=st.sampled_from(PLACES), batch=st.dictionaries(st.sampled_from(IDS), sentences, min_size=2, max_size=4))
    def ingest_many(self, place: tuple[str, str], batch: dict[str, list[tuple[str, str]]]) -> None:
        """Write several documents in one request."""
        self.write(place, batch)

    def write(self, place: tuple[str, str], batch: dict[str, list[tuple[str, str]]]) -> None:
        """Ingest new texts, and hold the results to what was there."""
        self.tick()
        # Every text is new and says whose it is.
        texts = {
            name: " ".join(f"The {fact} of the {subject} of {place[0]} is {self.now}." for fact, subject in said)
            for name, said in batch.items()
        }
        documents = [Document(name, text) for name, text in texts.items()]
        results = self.run(self.world.library.ingest(*place, documents))
        for result in results:
            known = self.versions.get((place, result.id), 0)
            assert result.status == ("updated" if result.id in self.live[place] else "created")
            assert result.version is not None
            assert result.version > known
            self.versions[place, result.id] = result.version
            self.live[place][result.id] = Written(texts[result.id], result.version, self.now)

    @rule(data=st.data(), place=st.sampled_from(PLACES))
    def ingest_the_same(self, data: st.DataObject, place: tuple[str, str]) -> None:
        """Write a document as it is already."""
        if not self.live[place]:
            return
        self.tick()
        name = data.draw(st.sampled_from(sorted(self.live[place])))
        known = self.live[place][name]
        (result,) = self.run(self.world.library.ingest(*place, [Document(name, known.text)]))
        assert (result.status, result.version) == ("unchanged", known.version)

    @rule(place=st.sampled_from(PLACES), name=st.sampled_from(IDS))
    def delete(self, place: tuple[str, str], name: str) -> None:
        """Delete a document, or be told that there is none."""
        self.tick()
        if name in self.live[place]:
            self.run(self.world.library.delete(*place, name))
            del self.live[place][name]
        else:
            with pytest.raises((CollectionNotFound, DocumentNotFound)):
                self.run(self.world.library.delete(*place, name))

    @rule(place=st.sampled_from(PLACES), fact=st.sampled_from(FACTS), subject=st.sampled_from(SUBJECTS))
    def ask(self, place: tuple[str, str], fact: str, subject: str) -> None:
        """Ask, and hold the answer to what is live; a kept one to a fresh context."""
        if not any(known == place for known, _ in self.versions):
            return
        self.tick()
        Documents.asked += 1
        question = Question(f"What is the {fact} of the {subject}?", *place, knobs=KNOBS)
        answer = self.run(self.world.asked(question))
        self.check(place, answer.context.passages)
        for citation in answer.citations:
            source = self.live[place][citation.document_id]
            assert source.text[citation.source_start : citation.source_end] == citation.quote
        if answer.cache.status == "hit":
            Documents.hits += 1
            fresh = self.run(self.world.pipeline.context_for(question, trace=Trace("oracle")))
            newest = max((self.live[place][passage.document_id].step for passage in fresh.passages), default=0)
            assert newest <= self.given[place, question.text], "a newer document would have been packed"
        else:
            self.given[place, question.text] = self.now

    def check(self, place: tuple[str, str], passages: tuple[Passage, ...]) -> None:
        """Every passage is the tenant's own, live, and word for word what was written last."""
        for passage in passages:
            source = self.live[place].get(passage.document_id)
            assert source is not None, f"{passage.document_id} is not live"
            assert passage.version == source.version
            assert passage.text == " … ".join(source.text[start:end] for start, end in passage.spans)

    @rule(share=st.integers(1, 3))
    def expire(self, share: int) -> None:
        """Let Redis forget some of what it holds, or all."""
        self.tick()

        async def drop() -> None:
            redis = connect(self.world.server.url, timeout_s=PATIENCE_S)
            keys = sorted([key async for key in redis.scan_iter(match="ragopt:*")])
            for key in keys[::share]:
                await redis.pexpire(key, 1)
            await asyncio.sleep(0.002)
            await redis.aclose()

        self.run(drop())

    @precondition(lambda self: self.now > 0)
    @rule()
    def restart(self) -> None:
        """Close everything and open it again."""
        self.tick()
        self.run(self.stack.aclose())
        self.world = self.run(self.open())

    @invariant()
    def lists_are_what_was_written(self) -> None:
        """A list holds what is live, as the version that was written last."""
        if not self.now:
            return
        place = PLACES[self.now % len(PLACES)]
        if any(known == place for known, _ in self.versions):
            listed = self.run(self.world.library.documents(*place))
            assert {info.id: info.version for info in listed} == {
                name: written.version for name, written in self.live[place].items()
            }


@pytest.mark.campaign
def test_no_order_of_operations_shows_what_is_not_there(record_property: Any) -> None:
    """No foreign tenant, no deleted or superseded chunk, and no kept answer that a newer document would change."""
    Documents.steps = Documents.asked = Documents.hits = 0
    steady = settings(
        max_examples=campaign_examples(6),
        stateful_step_count=STEPS,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Documents, settings=steady)  # type: ignore[no-untyped-call]
    record_property("steps", Documents.steps)
    record_property("questions", Documents.asked)
    record_property("hits", Documents.hits)
    assert Documents.asked > 0
