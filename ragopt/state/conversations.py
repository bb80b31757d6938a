"""Conversations: the turns that the service keeps for a `conversation_id`, and the summary of the older ones."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Protocol, TypeAlias

from redis.asyncio import Redis

from indexes.access import ANYONE, EVERYTHING, Reader
from ragopt.domain import Question, Summary, Turn
from ragopt.errors import ConversationUnavailable
from ragopt.state.access import as_bytes, redis_errors, redis_key

# Of a longer conversation the newest turns are read; for the others the summary stands.
MAX_TURNS_READ = 1_000
UNKNOWN = "There is no such conversation."
# Among the principals of a conversation, for a reader of everything; no principal is this one.
ALL_DOCUMENTS = "*"

Fold: TypeAlias = Callable[[Summary, Sequence[Turn]], Summary]
"""A summary, and all turns from the first on, to the summary after them."""


class WriteSummary(Protocol):
    """A `Fold` that takes its time: a model writes."""

    async def __call__(self, question: Question, summary: Summary, turns: Sequence[Turn]) -> Summary:
        """Return the summary after all turns; a model that fails is no error. question: to whom it is counted."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is kept of a conversation: its newest turns, oldest first, and how many older ones there are.

    summary: of the first of `turns`, and of the older ones; None before the first. reader: who may read all that
    its answers were made of.
    """

    turns: tuple[Turn, ...] = ()
    summary: Summary | None = None
    older: int = 0
    reader: Reader = ANYONE


NEW = Conversation()


def unfolded(summary: Summary, turns: Sequence[Turn]) -> Summary:  # noqa: ARG001 - a `Fold`
    """Return the summary as it was: nothing is folded."""
    return summary


class Conversations:
    """Turns and summary by tenant and conversation id, forgotten `ttl_s` after the last turn.

    Methods raise `ConversationUnavailable` when Redis does not answer: an answer without its history is
    not an answer.

    With `write`, the summary after a turn is made in the background; a next turn that comes sooner does without it.
    """

    def __init__(self, redis: Redis, *, ttl_s: int, fold: Fold = unfolded, write: WriteSummary | None = None) -> None:
        self._redis = redis
        self._ttl_s = ttl_s
        self._fold = fold
        self._write = write
        self._writing: set[asyncio.Task[None]] = set()

    async def load(self, tenant: str, conversation_id: str) -> Conversation:
        """Return what is kept; `NEW` for a conversation that is not known."""
        turns_key, summary_key, readers_key = keys_of(tenant, conversation_id)
        with redis_errors(ConversationUnavailable):
            async with self._redis.pipeline(transaction=True) as commands:
                commands.llen(turns_key)
                commands.lrange(turns_key, -MAX_TURNS_READ, -1)
                commands.get(summary_key)
                commands.smembers(readers_key)
                total, stored, summary, readers = await commands.execute()
        older = max(0, total - len(stored))
        return Conversation(
            turns=tuple(turn_from_json(value) for value in stored),
            summary=None if summary is None else shifted(summary_from_json(summary), -older),
            older=older,
            reader=reader_of_members(readers),
        )

    async def append(
        self,
        tenant: str,
        conversation_id: str,
        turns: Sequence[Turn],
        *,
        known: Conversation = NEW,
        question: Question | None = None,
    ) -> None:
        """Add the turns, all or none, with the summary after them, and start the conversation's life anew.

        known: the conversation as it was loaded, which the summary is made from. question: to whom a model that
        writes it is counted, without it none does; and whose reader it takes to read the turns. Nothing happens for
        no turns.
        """
        if not turns:
            return
        before, whole = known.summary or Summary(), (*known.turns, *turns)
        later = self._write is not None and question is not None
        summary = before if later else await asyncio.to_thread(self._fold, before, whole)
        turns_key, summary_key, readers_key = keys_of(tenant, conversation_id)
        members = members_of(question.reader) if question is not None else []
        with redis_errors(ConversationUnavailable):
            async with self._redis.pipeline(transaction=True) as commands:
                # A set, so that turns at the same time cannot lose each other's readers.
                if members:
                    commands.sadd(readers_key, *members)
                commands.expire(readers_key, self._ttl_s)
                commands.rpush(turns_key, *(turn_to_json(turn) for turn in turns))
                commands.expire(turns_key, self._ttl_s)
                if summary != before:
                    commands.set(summary_key, summary_to_json(shifted(summary, known.older)))
                commands.expire(summary_key, self._ttl_s)
                await commands.execute()
        if self._write is not None and question is not None:
            place = (tenant, conversation_id)
            task = asyncio.create_task(self._written(self._write, place, question, known=known, turns=whole))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def _written(
        self,
        write: WriteSummary,
        place: tuple[str, str],
        question: Question,
        *,
        known: Conversation,
        turns: Sequence[Turn],
    ) -> None:
        """Have a summary written and keep it, unless another turn kept one meanwhile or the conversation is gone."""
        before = known.summary or Summary()
        summary = await write(question, before, turns)
        if summary == before:
            return
        turns_key, summary_key, _ = keys_of(*place)
        expected = None if known.summary is None else summary_to_json(shifted(before, known.older))
        with suppress(ConversationUnavailable), redis_errors(ConversationUnavailable):
            async with self._redis.pipeline(transaction=True) as commands:
                await commands.watch(turns_key, summary_key)
                stored = await commands.get(summary_key)
                if not await commands.exists(turns_key) or (stored and as_bytes(stored).decode()) != expected:
                    return
                commands.multi()  # type: ignore[no-untyped-call]
                commands.set(summary_key, summary_to_json(shifted(summary, known.older)), ex=self._ttl_s)
                await commands.execute()

    async def close(self) -> None:
        """Give up what is being written: the next turn has it written again."""
        for task in self._writing:
            task.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)

    async def delete(self, tenant: str, conversation_id: str) -> bool:
        """Forget the conversation; returns False if there was none."""
        with redis_errors(ConversationUnavailable):
            return bool(await self._redis.delete(*keys_of(tenant, conversation_id)))


def keys_of(tenant: str, conversation_id: str) -> tuple[str, str, str]:
    """Return where the turns of a conversation are, where its summary is, and where the principals it takes."""
    return (
        redis_key("conversation", tenant, conversation_id),
        redis_key("conversation-summary", tenant, conversation_id),
        redis_key("conversation-readers", tenant, conversation_id),
    )


def members_of(reader: Reader) -> list[str]:
    """Return a reader as the members of a set, whose unions stand for joined readers."""
    return [ALL_DOCUMENTS] if reader.everything else [*reader.principals]


def reader_of_members(members: Iterable[bytes | str]) -> Reader:
    """Return the reader of what `members_of` returned, of one or of several."""
    found = {as_bytes(member).decode() for member in members}
    return EVERYTHING if ALL_DOCUMENTS in found else Reader.of(found)


def shifted(summary: Summary, by: int) -> Summary:
    """Return the summary with its turns counted from another one on."""
    return replace(summary, folded=max(0, summary.folded + by))


def turn_to_json(turn: Turn) -> str:
    """Return the turn as it is stored."""
    return json.dumps({"role": turn.role, "content": turn.content})


def turn_from_json(stored: bytes | str) -> Turn:
    """Return the turn that `turn_to_json` wrote."""
    fields = json.loads(stored)
    return Turn(role=fields["role"], content=fields["content"])


def summary_to_json(summary: Summary) -> str:
    """Return the summary as it is stored."""
    return json.dumps(asdict(summary))


def summary_from_json(stored: bytes | str) -> Summary:
    """Return the summary that `summary_to_json` wrote."""
    fields = json.loads(stored)
    return Summary(blocks=tuple(fields["blocks"]), folded=fields["folded"], version=fields["version"])
