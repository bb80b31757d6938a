"""One kept answer, and the bytes it is stored as."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError

from indexes.records import Revision
from ragopt.domain import Answer
from ragopt.stages.cache.key import EntryKey


@dataclass(frozen=True, slots=True)
class Entry:
    """An answer with all that decides whether it may be served.

    question: as it was asked, standing alone. revision: the last one of the collection that it is known to hold
    for. stored_at: Unix seconds. stamp: drawn when it was made, so that a later one of the same key is told apart.
    """

    key: EntryKey
    question: str
    answer: Answer
    revision: Revision
    stored_at: float
    stamp: str = field(default_factory=lambda: uuid4().hex)


def entry_to_json(entry: Entry) -> bytes | None:
    """Return the entry as UTF-8 JSON, None for text that is not valid Unicode."""
    try:
        return entry_adapter().dump_json(entry)
    except ValueError:
        return None


def entry_from_json(stored: bytes, *, generation: int) -> Entry | None:
    """Return the entry as of a generation it was found to hold for since; None for anything else."""
    try:
        entry = entry_adapter().validate_json(stored)
    except ValidationError:
        return None
    return replace(entry, revision=replace(entry.revision, generation=generation))


@cache
def entry_adapter() -> TypeAdapter[Entry]:
    """Return the one reader and writer of entries; building it takes milliseconds."""
    return TypeAdapter(Entry)
