"""Kept answers in Redis: bounded, rated, and forgotten in time or on request."""

from __future__ import annotations

from redis.asyncio import Redis

from ragopt.state.kept import KeptAnswers, KeptPassage, document_key, keys_of
from ragopt.state.outbox import Outbox
from tests.ragopt.exports.kept_answers import kept
from tests.ragopt.state.scenarios import Clock, with_redis


async def ids(store: KeptAnswers, outbox: Outbox, tenant: str = "kept-acme") -> list[str]:
    """Return the ids of what is kept once everything is written, oldest first."""
    assert await outbox.flush(within_s=60)
    return [one.id for one in await store.all(tenant)]


def test_the_oldest_go_first_and_what_is_too_old_goes(redis_url: str) -> None:
    """At most three here, and none after its day; the keys themselves end too."""

    async def scenario(redis: Redis) -> None:
        clock, outbox = Clock(), Outbox(redis)
        store = KeptAnswers(redis, outbox, days=1, max_answers=3, now=clock)
        for n in range(5):
            store.keep("kept-acme", kept(id=str(n), at=clock() + n))
        assert await ids(store, outbox) == ["2", "3", "4"]
        clock.seconds += 86_403
        assert await ids(store, outbox) == ["3", "4"]
        store.keep("kept-acme", kept(id="new", at=clock()))
        assert await ids(store, outbox) == ["3", "4", "new"]
        assert await redis.hlen(keys_of("kept-acme")[0]) == 3
        assert 0 < await redis.ttl(keys_of("kept-acme")[0]) <= 86_400
        assert await store.forget_all("kept-acme") == 3
        assert await ids(store, outbox) == []

    with_redis(redis_url, scenario)


def test_a_rating_is_of_a_kept_answer_and_the_last_one_holds(redis_url: str) -> None:
    """A rating of an answer that is not kept leaves nothing."""

    async def scenario(redis: Redis) -> None:
        clock, outbox = Clock(), Outbox(redis)
        store = KeptAnswers(redis, outbox, days=1, max_answers=10, now=clock)
        store.keep("kept-acme", kept(id="one", at=clock()))
        for liked in (False, True):
            store.rated("kept-acme", "one", liked=liked)
        store.rated("kept-acme", "unknown", liked=True)
        assert await outbox.flush(within_s=60)
        assert [one.liked for one in await store.all("kept-acme")] == [True]
        assert await redis.hlen(keys_of("kept-acme")[2]) == 1
        assert await store.forget("kept-acme", "one")
        assert not await store.forget("kept-acme", "one")
        assert await redis.exists(*keys_of("kept-acme")) == 0

    with_redis(redis_url, scenario)


def test_with_a_document_go_the_answers_that_were_shown_it(redis_url: str) -> None:
    """Answers from other documents stay, and so do those of another tenant."""

    async def scenario(redis: Redis) -> None:
        clock, outbox = Clock(), Outbox(redis)
        store = KeptAnswers(redis, outbox, days=1, max_answers=10, now=clock)
        other = (KeptPassage(1, "other.md", 1, "", "text"),)
        for tenant in ("kept-acme", "kept-globex"):
            store.keep(tenant, kept(id="leave", at=clock()))
            store.keep(tenant, kept(id="other", at=clock() + 1, passages=other))
        store.document_deleted("kept-acme", "default", "leave.md")
        assert await ids(store, outbox) == ["other"]
        assert await ids(store, outbox, "kept-globex") == ["leave", "other"]
        assert await redis.exists(document_key("kept-acme", "default", "leave.md")) == 0
        for tenant in ("kept-acme", "kept-globex"):
            await store.forget_all(tenant)

    with_redis(redis_url, scenario)
