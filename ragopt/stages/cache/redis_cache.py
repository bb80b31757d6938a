"""The exact answer cache: the same question, over the same documents, under the same knobs, is answered once.

Optional by design: Redis that is down, slow or holds garbage makes a miss, never an error.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache

from pydantic import TypeAdapter
from redis.asyncio import Redis
from redis.exceptions import RedisError

from indexes.facets import wanted_facets
from ragopt.domain import Answer, CacheOutcome, Question, Usage
from ragopt.state.access import as_bytes, redis_key

TIMEOUT_S = 0.05
PAUSE_S = 5.0  # without the cache after Redis failed once: a hung one would cost TIMEOUT_S every time
MAX_ENTRY_BYTES = 64 * 1024
MAX_ENTRIES = 10_000  # Redis runs without eviction, so the cache bounds itself
INDEX = redis_key("answers")

# KEYS: the entry, the index. ARGV: value, seconds to live, now, most entries.
PUT = """
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('ZADD', KEYS[2], ARGV[3], KEYS[1])
local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[4])
if over > 0 then
  local oldest = redis.call('ZPOPMIN', KEYS[2], over)
  for i = 1, #oldest, 2 do redis.call('DEL', oldest[i]) end
end
"""


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """Bounds of the cache. Seconds; `max_entries` counts all tenants."""

    timeout_s: float = TIMEOUT_S
    pause_s: float = PAUSE_S
    max_entries: int = MAX_ENTRIES


class RedisAnswerCache:
    """Answers by everything that decides them; satisfies `ragopt.ports.AnswerCache`.

    `scope` stands for what no request names: prompt version, configured models. `ttl_s` 0 turns the
    cache off. `now` returns Unix seconds.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        ttl_s: int,
        scope: str,
        limits: CacheLimits | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._redis = redis
        self._ttl_s = ttl_s
        self._scope = scope
        self._limits = limits or CacheLimits()
        self._now = now
        self._failed_at: float | None = None

    async def get(self, question: Question, standalone: str, *, generation: int) -> Answer | None:
        """Return the answer of exactly this question at this generation; it cost nothing this time.

        None for a miss, a question that does not want the cache, and whenever Redis is in trouble.
        """
        if question.cache not in ("on", "read_only") or not self._usable():
            return None
        key = answer_key(question, standalone, generation=generation, scope=self._scope)
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                stored = await self._redis.get(key)
        except (RedisError, OSError):
            self._failed_at = self._now()
            return None
        found = None if stored is None else entry_from_bytes(as_bytes(stored))
        if found is None:
            return None
        stored_at, answer = found
        age_s = max(0.0, self._now() - stored_at)
        return replace(
            answer,
            context=replace(answer.context, question=question.text, standalone_question=standalone),
            cache=CacheOutcome("hit", "exact", 1.0, age_s),
            usage=Usage(cost_usd=Decimal("0")),
            savings=answer.savings.of_hit() if answer.savings else None,
        )

    async def put(self, question: Question, standalone: str, answer: Answer) -> None:
        """Keep the answer under its context's generation if it is worth keeping and Redis answers."""
        if question.cache not in ("on", "write_only") or not self._usable() or not is_worth_keeping(answer):
            return
        entry = entry_to_bytes(answer, stored_at=self._now())
        if entry is None or len(entry) > MAX_ENTRY_BYTES:
            return
        key = answer_key(question, standalone, generation=answer.context.generation, scope=self._scope)
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                await self._redis.eval(PUT, 2, key, INDEX, entry, self._ttl_s, self._now(), self._limits.max_entries)
        except (RedisError, OSError):
            self._failed_at = self._now()

    def _usable(self) -> bool:
        """Return whether the cache is on and Redis did not fail within the last `pause_s`."""
        if self._ttl_s <= 0:
            return False
        return self._failed_at is None or not 0 <= self._now() - self._failed_at < self._limits.pause_s


def answer_key(question: Question, standalone: str, *, generation: int, scope: str) -> str:
    """Return the Redis key of a question: it differs whenever anything that decides the answer does."""
    deciding = [
        generation,
        normalised(standalone),
        question.knobs.digest(),
        question.model,
        question.max_output_tokens,
        wanted_facets(question.filter),
        # A key that pays for better models is not answered with a cheap one's words.
        question.tier_floor,
        question.tier_ceiling,
        question.instructions,
        scope,
    ]
    digest = hashlib.sha256(json.dumps(deciding).encode()).hexdigest()
    return redis_key("answer", question.tenant, question.collection, digest)


def normalised(text: str) -> str:
    """Return the text in NFKC, case folded, each run of white space one space, none at the ends."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def is_worth_keeping(answer: Answer) -> bool:
    """Return whether the answer is whole, cites something and was not itself read from the cache."""
    return bool(answer.citations) and not answer.partial and not answer.abstained and answer.cache.status != "hit"


def answer_to_json(answer: Answer) -> bytes:
    """Return the answer as UTF-8 JSON. Raises: `ValueError` for text that is not valid Unicode."""
    return answer_adapter().dump_json(answer)


def answer_from_json(stored: bytes) -> Answer:
    """Return the answer that `answer_to_json` wrote. Raises: `ValueError` if this is no answer."""
    return answer_adapter().validate_json(stored)


@cache
def answer_adapter() -> TypeAdapter[Answer]:
    """Return the one reader and writer of answers; building it takes milliseconds."""
    return TypeAdapter(Answer)


def entry_to_bytes(answer: Answer, *, stored_at: float) -> bytes | None:
    """Return what is stored: the time on a line of its own, then the answer. None if it cannot be written."""
    try:
        return f"{stored_at!r}\n".encode() + answer_to_json(answer)
    except ValueError:
        return None


def entry_from_bytes(stored: bytes) -> tuple[float, Answer] | None:
    """Return time and answer of an entry; None for anything `entry_to_bytes` did not write."""
    stored_at, _, answer = stored.partition(b"\n")
    try:
        return float(stored_at), answer_from_json(answer)
    except ValueError:
        return None


class NoCache:
    """The answer cache of a pipeline without Redis, or whose cache is turned off: it never has anything."""

    async def get(self, question: Question, standalone: str, *, generation: int) -> Answer | None:  # noqa: ARG002
        """Return None."""
        return None

    async def put(self, question: Question, standalone: str, answer: Answer) -> None:
        """Keep nothing."""
