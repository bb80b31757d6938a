"""Rewriting sets: {id, history: [{role, text}], query, rewrite} in `rewrites.jsonl`, and what counts as what."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.datasets import Row, jsonl_file, rows_of
from eval.errors import DatasetError
from ragopt.domain import Turn
from ragopt.evidence import words

WORD = re.compile(r"\w+")
# What stands between the id of a conversation and the number of a turn, in the order in which they are looked for.
TURN_MARKS = ("#", "<::>", "_")


@dataclass(frozen=True, slots=True)
class RewriteCase:
    """One turn. human: the question as a person rewrote it. conversation: the same for turns of one conversation."""

    id: str
    conversation: str
    segment: str
    history: tuple[Turn, ...]
    query: str
    human: str

    @property
    def self_contained(self) -> bool:
        """Return whether it is a first turn, or the person left it as it was but for case, marks and spaces."""
        return not self.history or plain(self.query) == plain(self.human)

    @property
    def missing(self) -> frozenset[str]:
        """Return the topic words of the human rewrite that the question does not have."""
        return frozenset(words(self.human)) - frozenset(words(self.query))


@dataclass(frozen=True, slots=True)
class RewriteSet:
    """The turns of one folder, named after it. digest: 16 hex digits that change with them."""

    name: str
    cases: tuple[RewriteCase, ...]
    digest: str


def read_rewrite_set(folder: Path) -> RewriteSet:
    """Return the set. Raises: `DatasetError` naming file and line."""
    cases = tuple(case_of(row) for row in rows_of(jsonl_file(folder, "rewrites")))
    if not cases:
        raise DatasetError(f"{folder}: no turns")
    digest = hashlib.sha256(repr([(case.id, case.history, case.query, case.human) for case in cases]).encode())
    return RewriteSet(folder.resolve().name, cases, digest.hexdigest()[:16])


def case_of(row: Row) -> RewriteCase:
    """Return one line as a case. Raises: `DatasetError`."""
    turns = row.fields.get("history")
    if not isinstance(turns, list):
        raise DatasetError(f"{row.place}: `history` must be a list")
    history: list[Turn] = []
    for turn in turns:
        if not isinstance(turn, dict):
            raise DatasetError(f"{row.place}: a turn must be an object")
        said = Row(row.place, turn)
        history.append(Turn("user" if said.text("role") == "user" else "assistant", said.text("text")))
    return RewriteCase(
        id=row.text("id"),
        conversation=conversation_of(row.text("id")),
        segment=row.optional("domain"),
        history=tuple(history),
        query=row.text("query"),
        human=row.text("rewrite"),
    )


def conversation_of(case_id: str) -> str:
    """Return the part of a turn's id that its conversation shares."""
    mark = next((mark for mark in TURN_MARKS if mark in case_id), None)
    return case_id.rsplit(mark, 1)[0] if mark else case_id


def plain(text: str) -> str:
    """Return the words of a text in lower case, joined by spaces."""
    return " ".join(WORD.findall(text.lower()))


def conversations(cases: Sequence[RewriteCase]) -> list[str]:
    """Return the distinct conversations in order."""
    return list(dict.fromkeys(case.conversation for case in cases))
