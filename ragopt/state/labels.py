"""What a collection has taught about its questions: how sure the verifier was of a pair, and whether it was right."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from ragopt.state.access import redis_errors, redis_key

# The newest so many of a collection: enough for a bound of 1 %, and what a collection is asked changes.
MAX_LABELS = 2_000
# A collection that nothing was learned of for so long begins again.
TTL_S = 180 * 86_400


@dataclass(frozen=True, slots=True)
class Label:
    """A pair of questions: the verifier's score, and whether the answer to one answers the other."""

    score: float
    same: bool


class Labels:
    """Labelled pairs by tenant, collection and the verifier that scored them. Raises `StateUnavailable`."""

    def __init__(self, redis: Redis, *, max_labels: int = MAX_LABELS) -> None:
        self._redis = redis
        self._max_labels = max_labels

    async def add(self, tenant: str, collection: str, label: Label, *, judge: str) -> None:
        """Keep a label; beyond the bound the oldest is forgotten."""
        key = labels_key(tenant, collection, judge)
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as commands:
                commands.lpush(key, json.dumps([label.score, label.same]))
                commands.ltrim(key, 0, self._max_labels - 1)
                commands.expire(key, TTL_S)
                await commands.execute()

    async def of(self, tenant: str, collection: str, *, judge: str) -> Sequence[Label]:
        """Return the labels of a collection, newest first; [] where nothing was learned."""
        with redis_errors():
            stored = await self._redis.lrange(labels_key(tenant, collection, judge), 0, -1)
        return [Label(float(score), bool(same)) for score, same in map(json.loads, stored)]


def labels_key(tenant: str, collection: str, judge: str) -> str:
    """Return where the labels of a collection are."""
    return redis_key("cache-labels", tenant, collection, judge)
