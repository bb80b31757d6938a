"""Conversations: the turns that the service keeps for a `conversation_id`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from redis.asyncio import Redis

from ragopt.domain import Turn
from ragopt.errors import ConversationUnavailable
from ragopt.state.access import redis_errors, redis_key


class Conversations:
    """Turns by tenant and conversation id, forgotten `ttl_s` after the last one.

    Methods raise `ConversationUnavailable` when Redis does not answer: an answer without its history is
    not an answer.
    """

    def __init__(self, redis: Redis, *, ttl_s: int) -> None:
        self._redis = redis
        self._ttl_s = ttl_s

    async def history(self, tenant: str, conversation_id: str) -> tuple[Turn, ...]:
        """Return the turns, oldest first; () for a conversation that is not known."""
        with redis_errors(ConversationUnavailable):
            stored = await self._redis.lrange(conversation_key(tenant, conversation_id), 0, -1)
        return tuple(turn_from_json(value) for value in stored)

    async def append(self, tenant: str, conversation_id: str, turns: Sequence[Turn]) -> None:
        """Add the turns, all or none, and start the conversation's life anew; nothing for no turns."""
        if not turns:
            return
        key = conversation_key(tenant, conversation_id)
        with redis_errors(ConversationUnavailable):
            async with self._redis.pipeline(transaction=True) as commands:
                commands.rpush(key, *(turn_to_json(turn) for turn in turns))
                commands.expire(key, self._ttl_s)
                await commands.execute()

    async def delete(self, tenant: str, conversation_id: str) -> bool:
        """Forget the conversation; returns False if there was none."""
        with redis_errors(ConversationUnavailable):
            return bool(await self._redis.delete(conversation_key(tenant, conversation_id)))


def conversation_key(tenant: str, conversation_id: str) -> str:
    """Return where the turns of a conversation are."""
    return redis_key("conversation", tenant, conversation_id)


def turn_to_json(turn: Turn) -> str:
    """Return the turn as it is stored."""
    return json.dumps({"role": turn.role, "content": turn.content})


def turn_from_json(stored: bytes | str) -> Turn:
    """Return the turn that `turn_to_json` wrote."""
    fields = json.loads(stored)
    return Turn(role=fields["role"], content=fields["content"])
