"""Answers to questions in other words: only where a collection has shown that it works, and checked for ever."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from redis.asyncio import Redis

from indexes.edge import EdgeEngine
from indexes.errors import ModelUnavailable
from indexes.records import Revision
from ragopt.domain import Answer
from ragopt.results import Looked
from ragopt.stages.cache.acceptance import Acceptance, wrong_share
from ragopt.stages.cache.answer_cache import ResponseCache
from ragopt.stages.cache.entries import Place
from ragopt.stages.cache.levels import Levels
from ragopt.stages.cache.questions import QuestionIndex
from ragopt.stages.cache.similar import SimilarQuestions
from ragopt.state.labels import Label, Labels
from tests.fakes import FAKE_DIM
from tests.ragopt.stages.cache.answers import (
    ANSWER,
    QUESTION,
    FixedSources,
    cache_over,
    hit,
    keep,
    looked,
    prepared_for,
)
from tests.ragopt.state.scenarios import with_redis

KEPT, ASKED = "what is oil made of today", "what is oil made of"


@dataclass
class FixedJudge:
    """A verifier that always says the same; remembers what it was asked."""

    score: float = 0.9
    tag: str = "v"
    failure: Exception | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def scores(self, asked: str, kept: Sequence[str]) -> Sequence[float]:
        """Return the score for each, or fail."""
        self.asked += [(asked, text) for text in kept]
        if self.failure is not None:
            raise self.failure
        return [self.score] * len(kept)


def level_with_labels(labels: Sequence[Label], *, max_wrong: float) -> Acceptance | None:
    """Return a level where anything was learned that was right."""
    return Acceptance(0.5, wrong_share(0, 0), 0) if any(label.same for label in labels) else None


@dataclass
class World:
    """A cache over a real Redis and a real index of questions."""

    cache: ResponseCache
    similar: SimilarQuestions
    judge: FixedJudge
    labels: Labels
    sources: FixedSources

    async def calibrated(self) -> None:
        """Let the collection have learned that it works."""
        await self.labels.add("acme", "default", Label(0.9, same=True), judge="v")
        await self.similar.levels.refresh("acme", "default")

    async def learned(self) -> list[Label]:
        """Return what was learned once everything is quiet."""
        await self.cache.learning.idle()
        return list(await self.labels.of("acme", "default", judge="v"))


def in_world(
    redis_url: str, folder: Path, scenario: Callable[[World], Awaitable[None]], *, shadow_share: float = 0
) -> None:
    async def run(redis: Redis) -> None:
        engine, judge, sources, labels = EdgeEngine(folder), FixedJudge(), FixedSources(), Labels(redis)
        levels = Levels(labels, level_with_labels, judge="v", max_wrong=0.05)
        index = QuestionIndex(engine, dim=FAKE_DIM, tag="words")
        similar = SimilarQuestions.over(index, judge, levels, timeout_s=20)
        cache = cache_over(redis, sources=sources, similar=similar, shadow_share=shadow_share)
        await scenario(World(cache, similar, judge, labels, sources))
        await cache.close()
        await engine.close()

    with_redis(redis_url, run)


def test_other_words_are_served_once_the_collection_is_calibrated(redis_url: str, tmp_path: Path) -> None:
    """Before that only the same words are; the hit says how alike the questions are, and how sure the verifier is."""

    async def scenario(world: World) -> None:
        await keep(world.cache, standalone=KEPT)
        assert await hit(world.cache, standalone=ASKED) is None
        await world.calibrated()
        found = await hit(world.cache, replace(QUESTION, text="And oil?"), standalone=ASKED)
        assert found is not None
        assert (found.cache.status, found.cache.kind, found.cache.score) == ("hit", "semantic", 0.9)
        assert 0.6 < (found.cache.similarity or 0) < 1
        assert (found.context.question, found.context.standalone_question) == ("And oil?", ASKED)
        assert (found.usage.total_input_tokens, found.usage.cost_usd) == (0, 0)
        assert (await hit(world.cache, standalone=KEPT)).cache.kind == "exact"  # type: ignore[union-attr]

    in_world(redis_url, tmp_path, scenario)


def test_no_other_question_is_judged_once_the_nearest_may_be_served(redis_url: str, tmp_path: Path) -> None:
    """The verifier is the dearest part of a hit: it sees the others only where the nearest does not do."""
    other = "what is oil made of now"

    async def scenario(world: World) -> None:
        await keep(world.cache, standalone=KEPT)
        await keep(world.cache, standalone=other)
        await world.cache.learning.idle()
        await world.calibrated()
        world.judge.asked.clear()
        assert await hit(world.cache, standalone=ASKED) is not None
        assert len(world.judge.asked) == 1
        world.judge.asked.clear()
        world.judge.score = 0.4
        assert await hit(world.cache, standalone=ASKED) is None
        assert sorted(text for _, text in world.judge.asked) == sorted([KEPT, other])

    in_world(redis_url, tmp_path, scenario)


@pytest.mark.parametrize("change", [{"cache_similar": False}, {"cache_max_wrong": 0.001}])
def test_a_request_may_tighten_it(redis_url: str, tmp_path: Path, change: dict[str, object]) -> None:
    """No other words, or a bound that this collection has not shown."""

    async def scenario(world: World) -> None:
        await keep(world.cache, standalone=KEPT)
        await world.calibrated()
        assert await hit(world.cache, replace(QUESTION, **change), standalone=ASKED) is None  # type: ignore[arg-type]

    in_world(redis_url, tmp_path, scenario)


def test_a_score_below_the_level_is_not_served_but_taught_from(redis_url: str, tmp_path: Path) -> None:
    """The fresh answer beside it is the label, on the share that hits are checked on, and on no more."""

    async def scenario(world: World) -> None:
        await keep(world.cache, standalone=KEPT)
        await world.calibrated()
        world.judge.score = 0.4
        near = (await looked(replace(world.cache, shadow_share=1), standalone=ASKED)).near
        assert near is not None
        assert (await looked(world.cache, standalone=ASKED)) == Looked()
        prepared = replace(prepared_for(QUESTION, ASKED), near=near)
        await world.cache.put(prepared, ANSWER)
        await world.cache.put(prepared, replace(ANSWER, text="Something else entirely [1]."))
        labels = await world.learned()
        assert sorted((label.score, label.same) for label in labels) == [(0.4, False), (0.4, True), (0.9, True)]

    in_world(redis_url, tmp_path, scenario)


def test_a_share_of_hits_is_answered_freshly(redis_url: str, tmp_path: Path) -> None:
    """A shadow check: what would have been served is compared instead."""

    async def scenario(world: World) -> None:
        await keep(world.cache, standalone=KEPT)
        await world.calibrated()
        found = await looked(world.cache, standalone=ASKED)
        assert found.answer is None
        assert found.near is not None

    in_world(redis_url, tmp_path, scenario, shadow_share=1)


def test_a_collection_learns_before_it_serves(redis_url: str, tmp_path: Path) -> None:
    """Every fresh answer is compared with that of the nearest question, beside the request, at no cost."""

    async def scenario(world: World) -> None:
        await keep(world.cache, standalone=KEPT)
        await keep(world.cache, standalone=ASKED)
        await keep(world.cache, standalone="how is gas made", answer=replace(ANSWER, text="By cooking [1]."))
        assert await world.learned() == [Label(0.9, same=True)]

    in_world(redis_url, tmp_path, scenario)


def test_what_was_rated_down_is_forgotten_and_learned_from(redis_url: str, tmp_path: Path) -> None:
    """Its entry and its question; a fresh answer that was rated down teaches nothing of questions."""

    async def scenario(world: World) -> None:
        await keep(world.cache, standalone=KEPT)
        await world.calibrated()
        found = await hit(world.cache, standalone=ASKED)
        assert found is not None
        await world.cache.disliked("acme", "default", found.cache.entry, score=found.cache.score)
        assert await hit(world.cache, standalone=ASKED) is None
        assert await hit(world.cache, standalone=KEPT) is None
        await world.cache.disliked("acme", "default", found.cache.entry, score=None)
        assert [label.same for label in await world.learned()] == [False, True]

    in_world(redis_url, tmp_path, scenario)


def test_an_answer_in_other_words_dies_with_its_sources_too(redis_url: str, tmp_path: Path) -> None:
    """Doubtful where something was added, dead where a source has changed; its question goes with it."""

    async def scenario(world: World) -> None:
        await keep(world.cache, standalone=KEPT)
        await world.calibrated()
        world.sources.now, world.sources.newest = Revision("one", 9), 8
        assert (await looked(world.cache, standalone=ASKED)).doubtful is not None
        world.sources.chunks = {}
        found = await looked(world.cache, standalone=ASKED)
        assert (found.answer, found.doubtful, found.near) == (None, None, None)
        world.judge.asked.clear()
        await looked(world.cache, standalone=ASKED)
        assert world.judge.asked == []

    in_world(redis_url, tmp_path, scenario)


def test_a_question_whose_entry_is_gone_leaves_the_index(redis_url: str, tmp_path: Path) -> None:
    """Whatever became of the entry: expired, or a Redis that began anew."""

    async def scenario(world: World) -> None:
        await keep(world.cache, standalone=KEPT)
        await world.calibrated()
        place = Place.of(world.cache.keys.of(QUESTION, KEPT))
        entries = world.cache.entries
        await entries.drop([place], allowance=entries.guard.allowance())
        assert await hit(world.cache, standalone=ASKED) is None
        encoded = await world.cache.embed(KEPT)
        key = world.cache.keys.of(QUESTION, "anything else")
        assert await world.similar.index.nearest(key, encoded.dense, limit=4, at_least=0) == []

    in_world(redis_url, tmp_path, scenario)


def test_a_question_in_another_language_is_not_even_judged(redis_url: str, tmp_path: Path) -> None:
    """Its answer would be in the wrong language."""

    async def scenario(world: World) -> None:
        await keep(world.cache, standalone="was ist oil und wie made today of")
        await world.calibrated()
        assert await hit(world.cache, standalone="what is oil and how made today of") is None
        assert world.judge.asked == []

    in_world(redis_url, tmp_path, scenario)


def test_a_verifier_that_fails_is_a_miss(redis_url: str, tmp_path: Path) -> None:
    """And is left alone for a while; the same words are served all the same."""

    async def scenario(world: World) -> None:
        await keep(world.cache, standalone=KEPT)
        await world.calibrated()
        world.judge.failure = ModelUnavailable("no")
        assert await hit(world.cache, standalone=ASKED) is None
        assert await hit(world.cache, standalone=ASKED) is None
        assert len(world.judge.asked) == 1
        assert isinstance(await hit(world.cache, standalone=KEPT), Answer)

    in_world(redis_url, tmp_path, scenario)


def test_clearing_forgets_questions_too(redis_url: str, tmp_path: Path) -> None:
    """Nothing of the tenant's is left to be near to."""

    async def scenario(world: World) -> None:
        await keep(world.cache, standalone=KEPT)
        await world.calibrated()
        assert await world.cache.clear("acme", "default") == 1
        await looked(world.cache, standalone=ASKED)
        assert world.judge.asked == []

    in_world(redis_url, tmp_path, scenario)
