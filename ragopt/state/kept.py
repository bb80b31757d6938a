"""Answers that are kept word for word, to train a model on or to measure with: by tenant, bounded, with an end."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from redis.asyncio import Redis

from ragopt.domain import Tier
from ragopt.settings.exports import ExportSettings
from ragopt.state.access import as_bytes, redis_errors, redis_key
from ragopt.state.outbox import Outbox, Write

PAGE = 500

# KEYS: answers, times, ratings, then a set of answers for each document. ARGV: id, answer, Unix seconds, most answers,
# seconds that answers are kept.
KEEP = """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], ARGV[1])
for i = 4, #KEYS do
  redis.call('SADD', KEYS[i], ARGV[1])
  redis.call('EXPIRE', KEYS[i], ARGV[5])
end
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('(%d', ARGV[3] - ARGV[5]))
for _, id in ipairs(redis.call('ZRANGE', KEYS[2], 0, -ARGV[4] - 1)) do gone[#gone + 1] = id end
for _, id in ipairs(gone) do
  redis.call('HDEL', KEYS[1], id)
  redis.call('ZREM', KEYS[2], id)
  redis.call('HDEL', KEYS[3], id)
end
for i = 1, 3 do redis.call('EXPIRE', KEYS[i], ARGV[5]) end
"""
# KEYS: answers, ratings. ARGV: id, 1 or 0.
RATE = "if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then redis.call('HSET', KEYS[2], ARGV[1], ARGV[2]) end"
# KEYS: the answers of a document, answers, times, ratings.
FORGET = """
for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  redis.call('HDEL', KEYS[2], id)
  redis.call('ZREM', KEYS[3], id)
  redis.call('HDEL', KEYS[4], id)
end
redis.call('DEL', KEYS[1])
"""


@dataclass(frozen=True, slots=True)
class KeptPassage:
    """A passage as the model read it."""

    n: int
    document_id: str
    version: int
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class KeptQuote:
    """The words of a document that carry the answer."""

    document_id: str
    quote: str


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """A question that stands alone, what was sent for it, and the answer, without personal data.

    at: Unix seconds. difficulty: in [0, 1], None where nothing scored it. supported: every claim was judged to be
    carried by what it cites. liked: the last rating, None without one.
    """

    id: str
    at: float
    collection: str
    question: str
    passages: tuple[KeptPassage, ...]
    answer: str
    quotes: tuple[KeptQuote, ...]
    provider: str
    model: str
    tier: Tier
    difficulty: float | None
    supported: bool
    liked: bool | None = None


class KeptAnswers:
    """The kept answers of each tenant. Writing never fails and never waits; reading raises `StateUnavailable`."""

    def __init__(
        self, redis: Redis, outbox: Outbox, *, days: int, max_answers: int, now: Callable[[], float] = time.time
    ) -> None:
        self._redis = redis
        self._outbox = outbox
        self._ttl_s = days * 86_400
        self._max_answers = max_answers
        self._now = now

    def keep(self, tenant: str, kept: KeptAnswer) -> None:
        """Keep an answer; the oldest beyond the most go, and what is too old."""
        documents = sorted({passage.document_id for passage in kept.passages})
        keys = (*keys_of(tenant), *(document_key(tenant, kept.collection, name) for name in documents))
        args = (kept.id, packed(kept), int(kept.at), self._max_answers, self._ttl_s)
        self._outbox.put(Write(KEEP, keys, args))

    def rated(self, tenant: str, answer_id: str, *, liked: bool) -> None:
        """Note what was said of an answer, if it is kept."""
        answers, _, ratings = keys_of(tenant)
        self._outbox.put(Write(RATE, (answers, ratings), (answer_id, int(liked))))

    def document_deleted(self, tenant: str, collection: str, document_id: str) -> None:
        """Forget the answers that were shown a passage of a document."""
        self._outbox.put(Write(FORGET, (document_key(tenant, collection, document_id), *keys_of(tenant)), ()))

    async def all(self, tenant: str) -> list[KeptAnswer]:
        """Return the tenant's kept answers, oldest first. Raises: `StateUnavailable`."""
        answers, _, ratings = keys_of(tenant)
        found: list[bytes] = []
        with redis_errors():
            rated = {as_bytes(name): as_bytes(value) for name, value in (await self._redis.hgetall(ratings)).items()}
            async for _, value in self._redis.hscan_iter(answers, count=PAGE):
                found.append(as_bytes(value))
        kept = await asyncio.to_thread(lambda: {one.id: one for one in map(unpacked, found)})
        first = self._now() - self._ttl_s
        liked = {name.decode(): value == b"1" for name, value in rated.items()}
        fresh = [replace(one, liked=liked.get(one.id)) for one in kept.values() if one.at >= first]
        return sorted(fresh, key=lambda one: (one.at, one.id))

    async def forget(self, tenant: str, answer_id: str) -> bool:
        """Forget one answer; return whether it was kept. Raises: `StateUnavailable`."""
        answers, times, ratings = keys_of(tenant)
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as commands:
                commands.hdel(answers, answer_id)
                commands.zrem(times, answer_id)
                commands.hdel(ratings, answer_id)
                return bool((await commands.execute())[0])

    async def forget_all(self, tenant: str) -> int:
        """Forget every answer of a tenant; return how many there were. Raises: `StateUnavailable`."""
        answers, times, ratings = keys_of(tenant)
        with redis_errors():
            async with self._redis.pipeline(transaction=True) as commands:
                commands.hlen(answers)
                commands.delete(answers, times, ratings)
                return int((await commands.execute())[0])


def kept_in(redis: Redis, outbox: Outbox, settings: ExportSettings) -> KeptAnswers:
    """Return the kept answers of a Redis."""
    return KeptAnswers(redis, outbox, days=settings.days, max_answers=settings.max_answers)


def keys_of(tenant: str) -> tuple[str, str, str]:
    """Return where a tenant's answers, their times and their ratings are."""
    return redis_key("kept", tenant), redis_key("kept-times", tenant), redis_key("kept-ratings", tenant)


def document_key(tenant: str, collection: str, document_id: str) -> str:
    """Return where the ids of the answers are that were shown a passage of a document."""
    return redis_key("kept-of", tenant, collection, document_id)


def packed(kept: KeptAnswer) -> bytes:
    """Return an answer as it is stored; the rating is stored beside it."""
    return zlib.compress(json.dumps(asdict(replace(kept, liked=None)), ensure_ascii=False).encode("utf-8", "replace"))


def unpacked(stored: bytes) -> KeptAnswer:
    """Return a stored answer."""
    fields = json.loads(zlib.decompress(stored))
    passages = tuple(KeptPassage(**item) for item in fields.pop("passages"))
    quotes = tuple(KeptQuote(**item) for item in fields.pop("quotes"))
    return KeptAnswer(**fields, passages=passages, quotes=quotes)
