"""From which score on a collection's kept answers may be served."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from redis.asyncio import Redis

from ragopt.errors import StateUnavailable
from ragopt.stages.cache.acceptance import Acceptance, calibrate, wrong_share
from ragopt.stages.cache.levels import REFRESH_S, Levels
from ragopt.state.labels import Label, Labels
from tests.ragopt.state.scenarios import Clock, with_redis


def bound(max_wrong: float, labels: int) -> Acceptance:
    """Return a level that shows for which bound it was worked out, and from how many labels."""
    return Acceptance(max_wrong, wrong_share(0, labels), labels)


def bound_of(labels: Sequence[Label], *, max_wrong: float) -> Acceptance | None:
    """Return the bound, None without labels."""
    return bound(max_wrong, len(labels)) if labels else None


def levels_over(redis: Redis, *, clock: Clock | None = None) -> Levels:
    return Levels(Labels(redis), bound_of, judge="v", max_wrong=0.1, clock=clock or Clock())


async def background() -> None:
    """Wait for what was started beside this."""
    await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))  # type: ignore[arg-type]


def test_a_level_is_there_from_the_next_question_on(redis_url: str) -> None:
    """The first one starts the reading and does not wait; what is learned counts after a minute."""

    async def scenario(redis: Redis) -> None:
        clock = Clock()
        levels = levels_over(redis, clock=clock)
        await levels.learn("acme", "c", Label(0.9, same=True))
        assert levels.level("acme", "c") is None
        await background()
        assert levels.level("acme", "c") == bound(0.1, 1)
        await levels.learn("acme", "c", Label(0.8, same=False))
        assert levels.level("acme", "c") == bound(0.1, 1)
        clock.seconds += REFRESH_S
        levels.level("acme", "c")
        await background()
        assert levels.level("acme", "c") == bound(0.1, 2)

    with_redis(redis_url, scenario)


def test_a_caller_makes_it_stricter_never_looser(redis_url: str) -> None:
    """A larger bound is the operator's, a smaller one is rounded down, and one below all of them serves nothing."""

    async def scenario(redis: Redis) -> None:
        levels = levels_over(redis)
        await levels.learn("acme", "c", Label(0.9, same=True))
        await levels.refresh("acme", "c")
        asked = {bound: levels.level("acme", "c", max_wrong=bound) for bound in (1.0, 0.1, 0.09, 0.03, 0.011, 0.009)}
        found = [level and level.level for level in asked.values()]
        assert found == [0.1, 0.1, 0.05, 0.020000000000000004, 0.010000000000000002, None]

    with_redis(redis_url, scenario)


def test_a_collection_without_labels_serves_nothing(redis_url: str) -> None:
    """By the calibration that ships; nor does one with a few, nor another tenant's of the same name."""

    async def scenario(redis: Redis) -> None:
        levels = Levels(Labels(redis), calibrate, judge="v", max_wrong=0.05)
        for _ in range(30):
            await levels.learn("acme", "c", Label(0.9, same=True))
        for scope in (("acme", "c"), ("acme", "d"), ("other", "c")):
            await levels.refresh(*scope)
            assert levels.level(*scope) is None
        for at in range(120):
            await levels.learn("acme", "c", Label(0.9 + at / 10_000, same=True))
        for scope in (("acme", "c"), ("other", "c")):
            await levels.refresh(*scope)
        level = levels.level("acme", "c")
        assert level is not None
        assert (level.accepts(0.95), level.accepts(0.5)) == (True, False)
        assert levels.level("other", "c") is None

    with_redis(redis_url, scenario)


def test_without_redis_the_last_level_holds(redis_url: str) -> None:
    """Nothing is raised, neither by reading nor by learning."""

    class Failing(Labels):
        down = False

        async def of(self, tenant: str, collection: str, *, judge: str) -> Sequence[Label]:
            if self.down:
                raise StateUnavailable("down")
            return await super().of(tenant, collection, judge=judge)

        async def add(self, tenant: str, collection: str, label: Label, *, judge: str) -> None:
            if self.down:
                raise StateUnavailable("down")
            await super().add(tenant, collection, label, judge=judge)

    async def scenario(redis: Redis) -> None:
        labels = Failing(redis)
        levels = Levels(labels, bound_of, judge="v", max_wrong=0.1)
        await levels.learn("acme", "c", Label(0.9, same=True))
        await levels.refresh("acme", "c")
        labels.down = True
        await levels.learn("acme", "c", Label(0.9, same=True))
        await levels.refresh("acme", "c")
        assert levels.level("acme", "c") == bound(0.1, 1)
        await levels.close()

    with_redis(redis_url, scenario)


def test_what_a_collection_has_taught_is_read_at_once(redis_url: str) -> None:
    """Who asks for it does not wait for the next minute, and sees every bound."""

    async def scenario(redis: Redis) -> None:
        levels = levels_over(redis)
        await levels.learn("acme", "c", Label(0.9, same=True))
        known = await levels.known("acme", "c")
        assert known is not None
        assert (known.labels, next(iter(known.levels)), known.levels[0.1]) == (1, 0.1, bound(0.1, 1))
        await levels.close()

    with_redis(redis_url, scenario)
