"""Moving state from one Redis to another: every key of ours with its life, none that is there already."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from ragopt.state.access import as_bytes, redis_errors

# Of what begins so, nothing need be kept: it is made again, or belongs to one running process.
LEFT_BEHIND = (b"ragopt:answer", b"ragopt:cache", b"ragopt:lock")
PAGE = 500


async def copy_state(source: Redis, target: Redis, *, copied: Callable[[int], None] | None = None) -> tuple[int, int]:
    """Copy keys, conversations, jobs, budgets and ledger; return how many keys were copied and how many were there.

    A key that the target has already stays as it is. copied: told of each key that is done with.
    Raises: `StateUnavailable`.
    """
    moved = kept = 0
    with redis_errors():
        async for key in keys_of(source):
            if await copy_key(source, target, key):
                moved += 1
            else:
                kept += 1
            if copied is not None:
                copied(1)
    return moved, kept


async def keys_of(redis: Redis) -> AsyncIterator[bytes]:
    """Yield the names of our keys that are worth keeping, in no particular order."""
    async for name in redis.scan_iter(match="ragopt:*", count=PAGE):
        key = as_bytes(name)
        if not key.startswith(LEFT_BEHIND):
            yield key


async def copy_key(source: Redis, target: Redis, key: bytes) -> bool:
    """Copy one key with what is left of its life; returns False if the target has it, or it has just expired."""
    async with source.pipeline(transaction=True) as commands:
        commands.dump(key)
        commands.pttl(key)
        value, left_ms = await commands.execute()
    if value is None:
        return False
    try:
        await target.restore(key, max(0, cast("int", left_ms)), value)
    except ResponseError as error:
        if "BUSYKEY" not in str(error):
            raise
        return False
    return True
