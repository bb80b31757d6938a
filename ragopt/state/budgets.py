"""Budgets in Redis: money is held before a call and settled after it, over all that apply in one script.

Per window there is a hash with what is `spent` and what is `held`, in whole nano-USD, and a sorted set of the
reservations by the time they expire: what a process that died had held comes free by itself.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis

from ragopt.money.budgets import BudgetWindow
from ragopt.state.access import as_bytes, redis_errors, redis_key
from ragopt.state.outbox import Outbox, Write

# Longer than the period itself, so that what is still held at its end finds its sums.
TTL_S = {"day": 3 * 86_400, "month": 35 * 86_400}
# A lost reply is made up for as soon as Redis answers again; marks of a day would fill its memory.
SETTLED_TTL_S = 7_200
# Scripts under way at once: a thousand questions at one moment must not use up the pool of connections.
MAX_AT_ONCE = 64

# KEYS: the hold's mark, then sums and reservations of each window. ARGV: now, when the hold expires, its id, nano-USD
# to hold; then limit and seconds to live of each. Returns which windows refuse, counted from 1; holds nothing unless
# none does. A mark says that the caller is gone and has given back what had not arrived yet; what is held already is
# not held twice.
RESERVE = """
if redis.call('EXISTS', KEYS[1]) == 1 then return {} end
local refused, member = {}, ARGV[3] .. ':' .. ARGV[4]
if redis.call('ZSCORE', KEYS[3], member) then return {} end
for i = 2, #KEYS, 2 do
  for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[i + 1], '-inf', ARGV[1])) do
    redis.call('ZREM', KEYS[i + 1], gone)
    redis.call('HINCRBY', KEYS[i], 'held', '-' .. string.match(gone, ':(%d+)$'))
  end
  local sums = redis.call('HMGET', KEYS[i], 'spent', 'held')
  local used = tonumber(sums[1] or '0') + tonumber(sums[2] or '0')
  if used + tonumber(ARGV[4]) > tonumber(ARGV[3 + i]) then refused[#refused + 1] = i / 2 end
end
if #refused > 0 then return refused end
for i = 2, #KEYS, 2 do
  redis.call('HINCRBY', KEYS[i], 'held', ARGV[4])
  redis.call('ZADD', KEYS[i + 1], ARGV[2], member)
  redis.call('EXPIRE', KEYS[i], ARGV[4 + i])
  redis.call('EXPIRE', KEYS[i + 1], ARGV[4 + i])
end
return refused
"""

# KEYS: the hold's mark, then as above. ARGV: the hold's id, nano-USD held, nano-USD spent, seconds the mark lives;
# then seconds to live of each window. A hold that expired is settled all the same: the money is spent.
SETTLE = """
if not redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[4]) then return 0 end
for i = 2, #KEYS, 2 do
  if redis.call('ZREM', KEYS[i + 1], ARGV[1] .. ':' .. ARGV[2]) == 1 then
    redis.call('HINCRBY', KEYS[i], 'held', '-' .. ARGV[2])
  end
  if ARGV[3] ~= '0' then
    redis.call('HINCRBY', KEYS[i], 'spent', ARGV[3])
    redis.call('EXPIRE', KEYS[i], ARGV[4 + i / 2])
  end
end
return 1
"""


@dataclass(frozen=True, slots=True)
class Hold:
    """Money that is held until it is settled or its time is over; `nano` of it, from each window.

    marked_s: how long a second settlement is known to be one.
    """

    id: str
    windows: tuple[BudgetWindow, ...]
    nano: int
    marked_s: int = SETTLED_TTL_S


@dataclass(frozen=True, slots=True)
class Standing:
    """What is spent and held of one window, in nano-USD."""

    window: BudgetWindow
    spent_nano: int
    held_nano: int


class Budgets:
    """The budgets of every process on one Redis. `now` returns Unix seconds."""

    def __init__(self, redis: Redis, outbox: Outbox, *, now: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._outbox = outbox
        self._now = now
        self._places = asyncio.Semaphore(MAX_AT_ONCE)

    async def hold(self, windows: Sequence[BudgetWindow], nano: int, *, hold_s: float) -> Hold | list[BudgetWindow]:
        """Return the hold on `nano` nano-USD from every window, or those that lack it; then nothing is held.

        Raises: `StateUnavailable`; what Redis may have held all the same is given back as soon as it answers.
        """
        hold = Hold(uuid.uuid4().hex, tuple(windows), nano)
        try:
            refused = await self.take(hold, hold_s=hold_s)
        except BaseException:
            self.settle(hold, spent_nano=0)
            raise
        return refused or hold

    async def take(self, hold: Hold, *, hold_s: float) -> list[BudgetWindow]:
        """Hold what `hold` says, once however often; returns the windows that lack it, and then nothing is held.

        Raises: `StateUnavailable`: then it may be held, and taking it again finds out.
        """
        now = self._now()
        limits = [value for item in hold.windows for value in (item.limit_nano, TTL_S[item.period])]
        keys = [settled_key(hold), *counter_keys(hold.windows)]
        refused = await self._eval(RESERVE, keys, [now, now + hold_s, hold.id, hold.nano, *limits])
        return [hold.windows[int(place) - 1] for place in refused]

    def settle(self, hold: Hold, *, spent_nano: int) -> None:
        """Give back the hold and count what was spent, once however often; it never fails and never waits."""
        ttls = [TTL_S[item.period] for item in hold.windows]
        keys = [settled_key(hold), *counter_keys(hold.windows)]
        self._outbox.put(Write(SETTLE, keys, [hold.id, hold.nano, spent_nano, hold.marked_s, *ttls]))

    async def standing(self, windows: Sequence[BudgetWindow]) -> list[Standing]:
        """Return what is spent and held of each; what expired is still held here. Raises: `StateUnavailable`."""
        with redis_errors():
            async with self._places, self._redis.pipeline(transaction=False) as pipeline:
                for sums in counter_keys(windows)[::2]:
                    pipeline.hmget(sums, ["spent", "held"])
                stored = await pipeline.execute()
        amounts = [[int(as_bytes(amount or b"0")) for amount in pair] for pair in stored]
        return [Standing(item, *pair) for item, pair in zip(windows, amounts, strict=True)]

    async def _eval(self, script: str, keys: Sequence[str], args: Sequence[str | int | float]) -> list[int]:
        with redis_errors():
            async with self._places:
                reply = self._redis.eval(script, len(keys), *keys, *args)
                return await cast("Awaitable[list[int]]", reply)


def settled_key(hold: Hold) -> str:
    """Return the key that marks a hold as settled."""
    return redis_key("budget-settled", hold.id)


def counter_keys(windows: Sequence[BudgetWindow]) -> list[str]:
    """Return for each window the keys of its sums and of its reservations."""
    keys: list[str] = []
    for item in windows:
        parts = (item.tenant, item.scope, item.name, item.key_id, item.starts)
        keys += [redis_key("budget", *parts), redis_key("budget-held", *parts)]
    return keys
