"""What a service keeps in Redis, opened beside a running service or without one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from ragopt.config import Settings
from ragopt.state.accounts import Accounts, accounts_over
from ragopt.state.client import connect
from ragopt.state.feedback import Feedback
from ragopt.state.kept import KeptAnswers, kept_in
from ragopt.state.keys import KeyStore
from ragopt.state.load import RedisLoad, redis_load
from ragopt.state.outbox import Outbox
from ragopt.wiring.engines import redis_address
from ragopt.wiring.service import STATE_TIMEOUT_S


@asynccontextmanager
async def opened_keys(settings: Settings) -> AsyncIterator[KeyStore]:
    """Yield the keys in the Redis that a service of these settings uses; an embedded one is started if none runs."""
    async with AsyncExitStack() as stack:
        url = await redis_address(settings, stack)
        yield KeyStore(await stack.enter_async_context(connect(url, timeout_s=STATE_TIMEOUT_S)), bootstrap=None)


@asynccontextmanager
async def opened_books(settings: Settings) -> AsyncIterator[Accounts]:
    """Yield the books in that Redis."""
    async with AsyncExitStack() as stack:
        url = await redis_address(settings, stack)
        books = accounts_over(await stack.enter_async_context(connect(url, timeout_s=STATE_TIMEOUT_S)), settings)
        stack.push_async_callback(books.close)
        yield books


@asynccontextmanager
async def opened_answers(settings: Settings) -> AsyncIterator[tuple[KeptAnswers, Feedback]]:
    """Yield the kept answers in that Redis, and what callers said of answers."""
    async with AsyncExitStack() as stack:
        url = await redis_address(settings, stack)
        redis = await stack.enter_async_context(connect(url, timeout_s=STATE_TIMEOUT_S))
        outbox = Outbox(redis)
        stack.push_async_callback(outbox.close)
        yield kept_in(redis, outbox, settings.export), Feedback(redis, outbox)


async def state_load(settings: Settings) -> RedisLoad:
    """Return what that Redis has done and holds. Raises: `StateUnavailable`."""
    async with AsyncExitStack() as stack:
        url = await redis_address(settings, stack)
        return await redis_load(await stack.enter_async_context(connect(url, timeout_s=STATE_TIMEOUT_S)))
