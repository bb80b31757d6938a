"""Documents from JSON lines: one object {id, title?, text, metadata?, access?} a line, `.jsonl` or `.jsonl.gz`.

A folder that holds a `corpus` in this form is an evaluation set: its corpus is its documents, its
questions and labels are not.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

from indexes.access import Access
from indexes.errors import DocumentError
from indexes.points import payload_bytes
from indexes.records import Document, IngestFailure, IngestResult, Scalar
from ragopt.errors import InvalidRequest
from ragopt.principals import reader_of

SUFFIXES = (".jsonl", ".jsonl.gz")
CORPUS_NAMES = tuple(f"corpus{suffix}" for suffix in SUFFIXES)


def holds_documents(path: Path) -> bool:
    """Return whether a file is JSON lines, by its name."""
    return path.name.lower().endswith(SUFFIXES)


def corpus_of(folder: Path) -> Path | None:
    """Return the corpus of an evaluation set, None if the folder is none."""
    return next((folder / name for name in CORPUS_NAMES if (folder / name).is_file()), None)


def count_documents(path: Path) -> int:
    """Return how many lines hold something, as far as the file can be read."""
    return sum(1 for line, _ in numbered_lines(path) if line and line.strip())


def read_documents(path: Path) -> Iterator[Document | IngestResult]:
    """Yield the document of each line, a failed result named `file:line` for each that holds none."""
    for line, number in numbered_lines(path):
        place = f"{path.name}:{number}"
        if line is None:
            yield failed(place, "the file cannot be read further: it is damaged or not what its name says")
            return
        if line.strip():
            yield document_of(line, place)


def numbered_lines(path: Path) -> Iterator[tuple[bytes | None, int]]:
    """Yield each line with its number from 1; None for the line at which reading failed."""
    number = 0
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield line, number
    except (OSError, EOFError, zlib.error):
        yield None, number + 1


def document_of(line: bytes, place: str) -> Document | IngestResult:
    """Return the document of one line, or the failed result that says what is wrong with it."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return failed(place, "not a JSON object in UTF-8")
    if not isinstance(fields, dict):
        return failed(place, "not a JSON object")
    name, text, title, metadata = (fields.get(field) for field in ("id", "text", "title", "metadata"))
    if not isinstance(name, str) or not isinstance(text, str) or not name:
        return failed(place, "`id` and `text` must be strings, `id` not empty")
    if not isinstance(title or "", str) or not isinstance(metadata or {}, dict):
        return failed(place, "`title` must be a string and `metadata` an object")
    if not is_text(name + text + (title or "")):
        return failed(place, "holds a lone surrogate, which is not text")
    scalars: dict[str, Scalar] = {
        key: value for key, value in (metadata or {}).items() if isinstance(value, str | int | float | bool)
    }
    try:
        payload_bytes({**scalars})
    except DocumentError as error:
        return failed(place, f"`metadata`: {error.detail}")
    try:
        access = access_of(fields.get("access"))
    except InvalidRequest as error:
        return failed(place, error.detail)
    return Document(id=name, text=text, title=title or "", metadata=scalars, access=access)


def access_of(stated: object) -> Access:
    """Return a line's list; none is everybody's. Raises: `InvalidRequest`: a list must not be lost on the way."""
    if stated is None:
        return None
    if not isinstance(stated, list) or not all(isinstance(item, str) for item in stated):
        raise InvalidRequest("`access` must be a list of principals")
    return reader_of(stated, field="`access`").principals


def is_text(value: str) -> bool:
    """Return whether a string can be encoded: JSON lets a lone surrogate through."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def failed(place: str, detail: str) -> IngestResult:
    """Return the failed result of a line."""
    return IngestResult(place, None, "failed", 0, 0, IngestFailure("invalid_document", detail))
