"""What collections teach about their questions."""

from __future__ import annotations

from redis.asyncio import Redis

from ragopt.state.labels import Label, Labels
from tests.ragopt.state.scenarios import with_redis


def test_labels_are_of_one_collection_and_one_verifier(redis_url: str) -> None:
    """Newest first, at most so many; another tenant, collection or verifier has none of them."""

    async def scenario(redis: Redis) -> None:
        labels = Labels(redis, max_labels=3)
        for at in range(5):
            await labels.add("acme", "c", Label(at / 10, same=at % 2 == 0), judge="v1")
        assert list(await labels.of("acme", "c", judge="v1")) == [
            Label(0.4, same=True),
            Label(0.3, same=False),
            Label(0.2, same=True),
        ]
        for tenant, collection, judge in (("other", "c", "v1"), ("acme", "d", "v1"), ("acme", "c", "v2")):
            assert await labels.of(tenant, collection, judge=judge) == []

    with_redis(redis_url, scenario)
