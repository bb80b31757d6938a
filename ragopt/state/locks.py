"""Locks that hold across the processes that share one Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from redis.asyncio import Redis
from redis.exceptions import LockError

from ragopt.errors import StateUnavailable
from ragopt.state.access import redis_errors, redis_key

# A commit writes at most a few hundred points; a holder that is gone frees the lock after this.
HOLD_S = 120.0
WAIT_S = 60.0


def commit_lock_for(redis: Redis) -> Callable[[str], AbstractAsyncContextManager[None]]:
    """Return a maker of locks by store name: one writer commits to a store at a time, in whichever process."""

    @asynccontextmanager
    async def hold(name: str) -> AsyncIterator[None]:
        lock = redis.lock(redis_key("commit", name), timeout=HOLD_S, blocking_timeout=WAIT_S)
        with redis_errors():
            held = await lock.acquire()
        if not held:
            raise StateUnavailable(f"another process has been committing for over {WAIT_S:.0f} s")
        try:
            yield
        finally:
            # Lost or out of reach, it frees itself after HOLD_S.
            with suppress(LockError, StateUnavailable), redis_errors():
                await lock.release()

    return hold
