"""The kept answers in Redis: found by their key, bounded by number, the least used forgotten first.

Redis runs without eviction, so the bound is kept here: least frequently used with dynamic ageing, so
that what was popular once does not stay for ever. Source: Arlitt, Cherkasova, Dilley, Friedrich, Jin,
"Evaluating content management techniques for Web proxy caches", HP Laboratories, 1999.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import unquote

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ragopt.stages.cache.entry import Entry, entry_adapter, entry_from_json, entry_to_json
from ragopt.stages.cache.guard import Allowance, Guard
from ragopt.stages.cache.key import EntryKey
from ragopt.state.access import as_bytes, redis_errors, redis_key

TIMEOUT_S = 0.05
PAUSE_S = 5.0  # a Redis that hangs would cost TIMEOUT_S every time
KIND = "answer"
USES, ENDS, AGE = redis_key("answers-uses"), redis_key("answers-ends"), redis_key("answers-age")
SCANNED = 1_000

# KEYS: the entry, the uses.
GET = """
local found = redis.call('HMGET', KEYS[1], 'entry', 'generation')
if found[1] then redis.call('ZINCRBY', KEYS[2], 1, KEYS[1]) end
return found
"""

# KEYS: the entry, the uses, the ends, the age. ARGV: entry, question, generation, stamp, seconds to live, now, most
# entries. Returns the keys of the entries that had to go. The newest of equally used entries stays longest.
PUT = """
local age = tonumber(redis.call('GET', KEYS[4]) or '0')
local now = tonumber(ARGV[6])
local gone = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '(' .. ARGV[6], 'LIMIT', 0, 100)
local others = redis.call('ZCARD', KEYS[2]) - #gone
for i = 1, #gone do redis.call('ZREM', KEYS[2], gone[i]) end
if not redis.call('ZSCORE', KEYS[2], KEYS[1]) and others + 1 > tonumber(ARGV[7]) then
  local least = redis.call('ZPOPMIN', KEYS[2], others + 1 - tonumber(ARGV[7]))
  for i = 1, #least, 2 do
    gone[#gone + 1] = least[i]
    age = math.max(age, math.floor(tonumber(least[i + 1])))
  end
  redis.call('SET', KEYS[4], age)
end
for i = 1, #gone do
  redis.call('DEL', gone[i])
  redis.call('ZREM', KEYS[3], gone[i])
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'entry', ARGV[1], 'question', ARGV[2], 'generation', ARGV[3], 'stamp', ARGV[4])
redis.call('EXPIRE', KEYS[1], ARGV[5])
redis.call('ZADD', KEYS[2], 'GT', age + 1 + now / 1e11, KEYS[1])
redis.call('ZADD', KEYS[3], now + tonumber(ARGV[5]), KEYS[1])
return gone
"""

# KEYS: the entry. ARGV: its stamp, the generation that it is found to hold for.
MOVE = """
local found = redis.call('HMGET', KEYS[1], 'stamp', 'generation')
if found[1] == ARGV[1] and tonumber(found[2]) < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[1], 'generation', ARGV[2])
end
"""

# KEYS: the uses, the ends, entries. ARGV: the stamp that the entry must have, "" for any.
DROP = """
for i = 3, #KEYS do
  if ARGV[1] == '' or redis.call('HGET', KEYS[i], 'stamp') == ARGV[1] then
    redis.call('DEL', KEYS[i])
    redis.call('ZREM', KEYS[1], KEYS[i])
    redis.call('ZREM', KEYS[2], KEYS[i])
  end
end
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry is: whose it is, and its id."""

    tenant: str
    collection: str
    id: str

    @classmethod
    def of(cls, key: EntryKey) -> Place:
        """Return the place of a key's entry."""
        return cls(key.tenant, key.collection, key.id)

    def redis_key(self) -> str:
        """Return the Redis key of the entry."""
        return redis_key(KIND, self.tenant, self.collection, self.id)


@dataclass(frozen=True, slots=True)
class EntryLimits:
    """Bounds. Seconds and bytes; `entries` counts all tenants."""

    ttl_s: int = 86_400
    entries: int = 10_000
    entry_bytes: int = 65_536
    timeout_s: float = TIMEOUT_S
    pause_s: float = PAUSE_S


class RedisEntries:
    """The entries of every tenant. Methods raise `Skipped` when Redis is down, late or left alone."""

    def __init__(self, redis: Redis, *, limits: EntryLimits, now: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._limits = limits
        self.now = now
        self.guard = Guard(RedisError, OSError, timeout_s=limits.timeout_s, pause_s=limits.pause_s, clock=now)

    async def warm(self) -> None:
        """Connect, and build what reads entries: the first request has no time for either. Redis may be down."""
        await asyncio.to_thread(entry_adapter)
        with suppress(RedisError, OSError):
            await self._redis.get(AGE)

    async def get(self, place: Place, key: EntryKey, *, allowance: Allowance) -> Entry | None:
        """Return the entry of a place if `key` may have it, counted as a use; None if there is none.

        It must be of the same tenant, collection and partition as the key, and what is stored there must say so.
        """
        stored, generation = await self.guard.run(self._eval(GET, (place.redis_key(), USES)), allowance)
        entry = entry_from_json(as_bytes(stored), generation=int(generation)) if stored and generation else None
        return entry if entry is not None and Place.of(entry.key) == place and fits(entry.key, key) else None

    async def questions(self, places: Sequence[Place], *, allowance: Allowance) -> list[str | None]:
        """Return the question of each place, as it was asked; None where there is no entry any more."""
        found = await self.guard.run(self._fields(places, "question"), allowance)
        return [None if value is None else as_bytes(value).decode("utf-8", "replace") for value in found]

    async def put(self, entry: Entry, *, allowance: Allowance) -> list[Place] | None:
        """Keep the entry and return the places of those that had to go; None if it is too large to keep."""
        stored = entry_to_json(entry)
        if stored is None or len(stored) > self._limits.entry_bytes:
            return None
        keys = (Place.of(entry.key).redis_key(), USES, ENDS, AGE)
        head = (stored, entry.question, entry.revision.generation, entry.stamp)
        bounds = (self._limits.ttl_s, self.now(), self._limits.entries)
        gone = await self.guard.run(self._eval(PUT, keys, *head, *bounds), allowance)
        # One that had ended may be the very one that was put.
        return [place for place in map(place_of, gone) if place.id != entry.key.id]

    async def move(self, place: Place, *, stamp: str, generation: int, allowance: Allowance) -> None:
        """Note that the entry of this stamp holds for a later generation too."""
        await self.guard.run(self._eval(MOVE, (place.redis_key(),), stamp, generation), allowance)

    async def drop(self, places: Sequence[Place], *, stamp: str = "", allowance: Allowance) -> None:
        """Forget the entries of these places; with a stamp, only one that has it."""
        keys = (USES, ENDS, *(place.redis_key() for place in places))
        await self.guard.run(self._eval(DROP, keys, stamp), allowance)

    async def clear(self, tenant: str, collection: str | None) -> int:
        """Forget the entries of a tenant, of one collection if it is given; return how many.

        Raises: `StateUnavailable`.
        """
        scope = (tenant,) if collection is None else (tenant, collection)
        # What `redis_key` makes holds no character that a pattern gives a meaning to.
        pattern = redis_key(KIND, *scope, "") + "*"
        with redis_errors():
            found: list[bytes] = [
                as_bytes(key) async for key, _ in self._redis.zscan_iter(USES, match=pattern, count=SCANNED)
            ]
            for at in range(0, len(found), SCANNED):
                batch = found[at : at + SCANNED]
                await self._redis.eval(DROP, 2 + len(batch), USES, ENDS, *batch, "")
        return len(set(found))

    async def _eval(self, script: str, keys: Sequence[str], *args: str | bytes | int | float) -> Sequence[bytes | str]:
        replied: Sequence[bytes | str] = await self._redis.eval(script, len(keys), *keys, *args)
        return replied

    async def _fields(self, places: Sequence[Place], name: str) -> list[bytes | str | None]:
        async with self._redis.pipeline(transaction=False) as commands:
            for place in places:
                commands.hget(place.redis_key(), name)
            found: list[bytes | str | None] = await commands.execute()
        return found


def fits(kept: EntryKey, asked: EntryKey) -> bool:
    """Return whether everything that decides the answer but the words is the same."""
    return (kept.tenant, kept.collection, kept.partition) == (asked.tenant, asked.collection, asked.partition)


def place_of(key: bytes | str) -> Place:
    """Return the place that a Redis key names."""
    tenant, collection, entry = as_bytes(key).decode().split(":")[2:]
    return Place(unquote(tenant, errors="surrogatepass"), unquote(collection, errors="surrogatepass"), entry)
