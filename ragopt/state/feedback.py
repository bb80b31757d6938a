"""What callers think of answers, and what each answer was, so that a rating reaches what it is about."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from redis.asyncio import Redis

from ragopt.domain import Answer, CacheKind, Question
from ragopt.errors import NotFound
from ragopt.state.access import as_bytes, redis_errors, redis_key
from ragopt.state.outbox import Outbox, Write

Rating: TypeAlias = Literal["up", "down"]

# An answer can be rated for so long.
RATED_WITHIN_S = 7 * 86_400
MAX_RATINGS = 10_000
# An answer whose note is still on its way may be rated already.
ON_ITS_WAY_S = 0.5

NOTE = "redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])"


@dataclass(frozen=True, slots=True)
class Given:
    """An answer that was given: of which collection, and which entry of the response cache it came from or went to.

    kind: None for a fresh answer. score: the verifier's, of a semantic hit. entry: "" where it has none.
    """

    collection: str
    entry: str
    kind: CacheKind | None
    score: float | None


@dataclass(frozen=True, slots=True)
class Rated:
    """One rating; `at` in Unix seconds."""

    answer_id: str
    collection: str
    rating: Rating
    comment: str
    at: float


class Feedback:
    """Notes of answers and their ratings, by tenant. Noting never fails and never waits."""

    def __init__(self, redis: Redis, outbox: Outbox, *, now: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._outbox = outbox
        self._now = now

    def given(self, answer: Answer, question: Question) -> None:
        """Note an answer, so that it can be rated."""
        given = Given(question.collection, answer.cache.entry, answer.cache.kind, answer.cache.score)
        key = given_key(question.tenant, answer.id)
        self._outbox.put(Write(NOTE, (key,), (json.dumps(asdict(given)), RATED_WITHIN_S)))

    async def rate(self, tenant: str, answer_id: str, *, rating: Rating, comment: str = "") -> Given:
        """Keep a rating and return what the answer was.

        Raises: `NotFound` for an answer that this tenant was not given within a week; `StateUnavailable`.
        """
        given = await self._note(tenant, answer_id)
        if given is None:
            await self._outbox.flush(within_s=ON_ITS_WAY_S)
            given = await self._note(tenant, answer_id)
        if given is None:
            raise NotFound("There is no such answer.")
        rated = Rated(answer_id, given.collection, rating, comment, self._now())
        key = ratings_key(tenant)
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as commands:
                commands.lpush(key, json.dumps(asdict(rated)))
                commands.ltrim(key, 0, MAX_RATINGS - 1)
                await commands.execute()
        return given

    async def ratings(self, tenant: str, *, limit: int = 1_000) -> list[Rated]:
        """Return the newest ratings of a tenant, newest first. Raises: `StateUnavailable`."""
        with redis_errors():
            stored = await self._redis.lrange(ratings_key(tenant), 0, limit - 1)
        return [Rated(**json.loads(value)) for value in stored]

    async def _note(self, tenant: str, answer_id: str) -> Given | None:
        with redis_errors():
            stored = await self._redis.get(given_key(tenant, answer_id))
        return None if stored is None else Given(**json.loads(as_bytes(stored)))


def given_key(tenant: str, answer_id: str) -> str:
    """Return where the note of an answer is."""
    return redis_key("given", tenant, answer_id)


def ratings_key(tenant: str) -> str:
    """Return where the ratings of a tenant are."""
    return redis_key("ratings", tenant)
