"""State from one Redis to another, both real: two databases of one server."""

from __future__ import annotations

import asyncio

from pydantic import SecretStr

from ragopt.domain import Turn
from ragopt.errors import MissingKey
from ragopt.state.client import connect
from ragopt.state.conversations import Conversations
from ragopt.state.keys import KeyStore
from ragopt.state.transfer import copy_state

LIFE_S = 500


def test_keys_and_conversations_move_with_their_lives(redis_url: str) -> None:
    """A key works in the new Redis, a conversation still expires; answers of the cache and locks stay behind."""

    async def run() -> None:
        async with connect(redis_url, timeout_s=60) as source, connect(f"{redis_url}?db=1", timeout_s=60) as target:
            key, plain = await KeyStore(source, bootstrap=None).create("acme", "front end", scopes=["query"])
            await Conversations(source, ttl_s=LIFE_S).append("acme", "c1", [Turn("user", "Hello")])
            await source.set("ragopt:answer:acme:x", "kept nowhere")
            await source.set("somebody:else", "s")
            told: list[int] = []
            assert await copy_state(source, target, copied=told.append) == (len(told), 0)
            assert (await KeyStore(target, bootstrap=None).authenticate(plain)).id == key.id
            assert (await Conversations(target, ttl_s=LIFE_S).load("acme", "c1")).turns == (Turn("user", "Hello"),)
            names = await target.keys("*")
            lives = [await target.ttl(name) for name in names if b"conversation" in name]
            assert lives
            assert all(0 < life <= LIFE_S for life in lives)
            assert not [name for name in names if b"answer" in name or b"else" in name]

    asyncio.run(run())


def test_what_the_target_has_already_stays(redis_url: str) -> None:
    """A second run copies nothing, and a key of the target is never written over."""

    async def run() -> None:
        async with connect(redis_url, timeout_s=60) as source, connect(f"{redis_url}?db=1", timeout_s=60) as target:
            await source.set("ragopt:a", "old")
            await target.set("ragopt:a", "new")
            await source.set("ragopt:b", "b")
            assert await copy_state(source, target) == (1, 1)
            assert await copy_state(source, target) == (0, 2)
            assert await target.get("ragopt:a") == b"new"

    asyncio.run(run())


def test_key_store_of_an_empty_redis_knows_nobody(redis_url: str) -> None:
    """Without the transfer the same key is unknown: the first test is not passed by a bootstrap key."""

    async def run() -> bool:
        async with connect(f"{redis_url}?db=1", timeout_s=60) as target:
            try:
                await KeyStore(target, bootstrap=SecretStr("")).authenticate("rag_00000000_" + "a" * 43)
            except MissingKey:
                return True
            return False

    assert asyncio.run(run())
