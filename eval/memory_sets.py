"""Sets of long conversations: turns, and questions whose answers stand in some of them.

`conversations` {id, sessions: [{turns: [{id?, speaker | role, text, image_caption?}]}]}; `qa` or `questions`
{id, conversation, question, evidence?: [turn id], category?}.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from eval.datasets import JsonValue, Row, jsonl_file, jsonl_in, rows_of
from eval.errors import DatasetError
from ragopt.domain import Role, Turn

QUESTION_FILES = ("qa", "questions")


@dataclass(frozen=True, slots=True)
class Said:
    """One turn of a conversation and its id, "" where the set gives none."""

    id: str
    turn: Turn


@dataclass(frozen=True, slots=True)
class MemoryQuestion:
    """A question after a whole conversation. evidence: places of the turns that answer it, () where nobody says."""

    id: str
    text: str
    conversation: str
    evidence: tuple[int, ...]
    segment: str


@dataclass(frozen=True, slots=True)
class MemorySet:
    """One set. unknown_evidence: ids that no turn of the conversation has; they are left out."""

    name: str
    conversations: Mapping[str, tuple[Said, ...]]
    questions: tuple[MemoryQuestion, ...]
    unknown_evidence: int


def read_memory_set(folder: Path) -> MemorySet:
    """Return the set in `folder`, named after it. Raises: `DatasetError` naming file and line."""
    conversations = {row.text("id"): tuple(turns_in(row)) for row in rows_of(jsonl_file(folder, "conversations"))}
    questions, unknown = [], 0
    for row in rows_of(questions_file(folder)):
        if row.text("conversation") not in conversations:
            raise DatasetError(f"{row.place}: no conversation {row.text('conversation')!r}")
        question, missing = question_in(row, conversations)
        questions.append(question)
        unknown += missing
    return MemorySet(folder.resolve().name, conversations, tuple(questions), unknown)


def questions_file(folder: Path) -> Path:
    """Return the file of the questions. Raises: `DatasetError` if there is none."""
    for name in QUESTION_FILES:
        if (path := jsonl_in(folder, name)) is not None:
            return path
    raise DatasetError(f"{folder}: no {' or '.join(f'{name}.jsonl' for name in QUESTION_FILES)}")


def turns_in(row: Row) -> Iterator[Said]:
    """Yield the turns of a conversation in order. Raises: `DatasetError`.

    Two people have the roles of user and assistant, the first to speak is the user; their names stand before what
    they say, as a chat would show them. A picture is its caption.
    """
    user = ""
    for fields in (turn for session in objects(row, row.fields, "sessions") for turn in objects(row, session, "turns")):
        turn = Row(row.place, fields)
        speaker, text = str(fields.get("speaker") or ""), turn.text("text")
        user = user or speaker
        if fields.get("image_caption"):
            text = f"{text} (shows {turn.text('image_caption')})"
        role: Role = "assistant" if fields.get("role") == "assistant" or (speaker and speaker != user) else "user"
        yield Said(str(fields.get("id") or ""), Turn(role, f"{speaker}: {text}" if speaker else text))


def objects(row: Row, fields: Mapping[str, JsonValue], name: str) -> list[Mapping[str, JsonValue]]:
    """Return a list of objects. Raises: `DatasetError` if it is anything else."""
    found = fields.get(name)
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise DatasetError(f"{row.place}: `{name}` must be a list of objects")
    return [item for item in found if isinstance(item, dict)]


def question_in(row: Row, conversations: Mapping[str, tuple[Said, ...]]) -> tuple[MemoryQuestion, int]:
    """Return a question, and how many of its evidence ids are of no turn."""
    evidence = row.fields.get("evidence") or []
    ids = [str(item) for item in evidence] if isinstance(evidence, list) else []
    places = {said.id: at for at, said in enumerate(conversations[row.text("conversation")]) if said.id}
    found = tuple(dict.fromkeys(places[item] for item in ids if item in places))
    category = row.fields.get("category")
    segment = "" if category is None else f"category {category}"
    question = MemoryQuestion(row.text("id"), row.text("question"), row.text("conversation"), found, segment)
    return question, sum(item not in places for item in ids)
