"""Conversations to replay: the turns of the rewriting sets, put together again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.datasets import Row, jsonl_file, rows_of
from eval.errors import DatasetError

ROWS = "rewrites"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question of a conversation, and what was answered to it, "" where the set does not say."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class ReplaySet:
    """The conversations of a set, in the order of its file."""

    name: str
    conversations: tuple[tuple[Exchange, ...], ...]


def read_replay_set(folder: Path) -> ReplaySet:
    """Return the conversations of `rewrites` {history: [{role, text}], query}. Raises: `DatasetError`.

    A row that begins with all that the row before asked goes on with its conversation; rows of single turns may lack.
    """
    conversations: list[list[Exchange]] = []
    for row in rows_of(jsonl_file(folder, ROWS)):
        told = exchanges_of(row)
        before = conversations[-1] if conversations else told
        if len(before) < len(told) and all(
            old.question == new.question for old, new in zip(before, told, strict=False)
        ):
            conversations[-1] = told
        else:
            conversations.append(told)
    return ReplaySet(folder.resolve().name, tuple(tuple(told) for told in conversations))


def exchanges_of(row: Row) -> list[Exchange]:
    """Return the exchanges of a row's history, and its question without an answer. Raises: `DatasetError`."""
    told: list[Exchange] = []
    for turn in turns_of(row):
        text = str(turn.get("text", ""))
        if turn.get("role") == "assistant" and told and not told[-1].answer:
            told[-1] = Exchange(told[-1].question, text)
        elif turn.get("role") == "user":
            told.append(Exchange(text, ""))
    return [*told, Exchange(row.text("query"), "")]


def turns_of(row: Row) -> Sequence[Mapping[str, object]]:
    """Return the history of a row. Raises: `DatasetError` if it is no list of objects."""
    found = row.fields.get("history", [])
    if not isinstance(found, list):
        raise DatasetError(f"{row.place}: `history` must be a list")
    return [turn for turn in found if isinstance(turn, dict)]
