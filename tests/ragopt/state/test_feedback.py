"""Ratings reach the answer they are about, of their own tenant alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from ragopt.domain import CacheOutcome, Question
from ragopt.errors import NotFound
from ragopt.state.feedback import Feedback, Given, Rated
from ragopt.state.outbox import Outbox
from tests.ragopt.stages.cache.answers import ANSWER
from tests.ragopt.state.scenarios import Clock, with_redis

HIT = replace(ANSWER, cache=CacheOutcome("hit", "semantic", 0.9, 1.0, score=0.7, entry="e"))


def test_a_rating_finds_what_the_answer_was(redis_url: str) -> None:
    """Even while its note is on its way; the ratings are kept, newest first."""

    async def scenario(redis: Redis) -> None:
        outbox = Outbox(redis)
        feedback = Feedback(redis, outbox, now=Clock())
        feedback.given(HIT, Question("?", "acme", collection="c"))
        assert await feedback.rate("acme", HIT.id, rating="down", comment="no") == Given("c", "e", "semantic", 0.7)
        await feedback.rate("acme", HIT.id, rating="up")
        up, down = await feedback.ratings("acme")
        assert down == Rated(HIT.id, "c", "down", "no", Clock().seconds)
        assert (up.rating, up.comment) == ("up", "")
        await outbox.close()

    with_redis(redis_url, scenario)


def test_another_tenants_answer_is_not_found(redis_url: str) -> None:
    """Nor is one that never was; neither leaves a trace."""

    async def scenario(redis: Redis) -> None:
        outbox = Outbox(redis)
        feedback = Feedback(redis, outbox)
        feedback.given(HIT, Question("?", "acme"))
        for tenant, answer_id in (("other", HIT.id), ("acme", "ans_none")):
            with pytest.raises(NotFound):
                await feedback.rate(tenant, answer_id, rating="up")
        assert await feedback.ratings("acme") == await feedback.ratings("other") == []
        await outbox.close()

    with_redis(redis_url, scenario)
