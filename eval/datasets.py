"""Retrieval sets: one folder of JSON lines to frozen values.

`corpus` {id, title, text}, `queries` {id, text, …}, both .jsonl or .jsonl.gz; `qrels.tsv` (query-id,
corpus-id, score, with header) and `spans` {query_id, doc_id, start, end, text} where a set has them.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

from eval.errors import DatasetError
from indexes.records import Document

JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"

# Which field of a query says which part of the set it belongs to, the first that is there.
SEGMENT_FIELDS = ("corpus_id", "domain", "collection")
QRELS_HEADER = ("query-id", "corpus-id", "score")


@dataclass(frozen=True, slots=True)
class Query:
    """One question of a set; `segment` is "" where the set has no parts."""

    id: str
    text: str
    segment: str


Item = TypeVar("Item", Document, Query)


@dataclass(frozen=True, slots=True)
class Reference:
    """A part of a document that answers a query; offsets are code points, half open."""

    document_id: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Dataset:
    """One set. Rows keep the order of their files.

    qrels: query id to document id to grade, only pairs that are judged. references: query id to the
    spans that answer it; a query without spans is not in it.
    """

    name: str
    documents: tuple[Document, ...]
    queries: tuple[Query, ...]
    qrels: Mapping[str, Mapping[str, int]]
    references: Mapping[str, tuple[Reference, ...]]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a JSON lines file; `place` is `file:line`, for messages."""

    place: str
    fields: Mapping[str, JsonValue]

    def text(self, name: str) -> str:
        """Return a string field. Raises: `DatasetError` if it is missing or not a string."""
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise DatasetError(f"{self.place}: `{name}` must be a string")
        return value

    def optional(self, name: str) -> str:
        """Return a string field, "" where it is missing. Raises: `DatasetError` if it is not a string."""
        return self.text(name) if name in self.fields else ""

    def whole(self, name: str) -> int:
        """Return an integer field. Raises: `DatasetError` if it is missing or not an integer."""
        value = self.fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise DatasetError(f"{self.place}: `{name}` must be an integer")
        return value


def read_dataset(folder: Path) -> Dataset:
    """Return the set in `folder`, named after it; `qrels` and `references` are empty where it has none.

    Raises: `DatasetError` naming file and line: not JSON, a field missing or of the wrong type, an id
    given twice, a span of no document or outside its text, a span whose text is not what stands there.
    """
    documents = tuple(unique_ids(read_documents(folder)))
    queries = tuple(unique_ids(read_queries(folder)))
    qrels = folder / "qrels.tsv"
    return Dataset(
        name=folder.resolve().name,
        documents=documents,
        queries=queries,
        qrels=read_qrels(qrels) if qrels.is_file() else {},
        references=read_references(folder, documents),
    )


def read_documents(folder: Path) -> Iterator[tuple[str, Document]]:
    """Yield each row of the corpus as its place and a document, in file order."""
    for row in rows_of(jsonl_file(folder, "corpus")):
        yield row.place, Document(id=row.text("id"), text=row.text("text"), title=row.optional("title"))


def read_queries(folder: Path) -> Iterator[tuple[str, Query]]:
    """Yield each row of the queries as its place and a query, in file order."""
    for row in rows_of(jsonl_file(folder, "queries")):
        segment = next((row.text(name) for name in SEGMENT_FIELDS if name in row.fields), "")
        yield row.place, Query(id=row.text("id"), text=row.text("text"), segment=segment)


def unique_ids(placed: Iterator[tuple[str, Item]]) -> Iterator[Item]:
    """Yield the values. Raises: `DatasetError` at the first id that was there before."""
    seen: set[str] = set()
    for place, value in placed:
        if value.id in seen:
            raise DatasetError(f"{place}: the id {value.id!r} is there twice")
        seen.add(value.id)
        yield value


def read_qrels(path: Path) -> dict[str, dict[str, int]]:
    """Return query id to document id to grade. Raises: `DatasetError` for a wrong header, column count or grade."""
    qrels: dict[str, dict[str, int]] = {}
    for number, line in enumerate(lines_of(path), start=1):
        cells = tuple(line.split("\t"))
        if number == 1 and cells != QRELS_HEADER:
            raise DatasetError(f"{path}:1: the header must be {' '.join(QRELS_HEADER)}, tab separated")
        if number == 1 or not line:
            continue
        if len(cells) != len(QRELS_HEADER) or not cells[2].removeprefix("-").isdecimal():
            raise DatasetError(f"{path}:{number}: not query id, document id and whole grade, tab separated")
        qrels.setdefault(cells[0], {})[cells[1]] = int(cells[2])
    return qrels


def read_references(folder: Path, documents: tuple[Document, ...]) -> dict[str, tuple[Reference, ...]]:
    """Return query id to its spans, {} where the set has none. Raises: as `read_dataset`."""
    texts = {document.id: document.text for document in documents}
    found: dict[str, tuple[Reference, ...]] = {}
    for row in rows_in(folder, "spans"):
        reference = Reference(row.text("doc_id"), row.whole("start"), row.whole("end"))
        text = texts.get(reference.document_id)
        if text is None:
            raise DatasetError(f"{row.place}: no document {reference.document_id!r} in the corpus")
        if not 0 <= reference.start < reference.end <= len(text):
            raise DatasetError(f"{row.place}: [{reference.start}, {reference.end}) is not inside the document")
        if "text" in row.fields and row.text("text") != text[reference.start : reference.end]:
            raise DatasetError(f"{row.place}: `text` is not what the document has at the span")
        found[row.text("query_id")] = (*found.get(row.text("query_id"), ()), reference)
    return found


def jsonl_file(folder: Path, name: str) -> Path:
    """Return the path of `name`.jsonl or `name`.jsonl.gz in `folder`. Raises: `DatasetError` if neither is there."""
    path = jsonl_in(folder, name)
    if path is None:
        raise DatasetError(f"{folder}: no {name}.jsonl or {name}.jsonl.gz")
    return path


def jsonl_in(folder: Path, name: str) -> Path | None:
    """Return the path of `name`.jsonl or `name`.jsonl.gz in `folder`, None if neither is there."""
    paths = (folder / f"{name}{ending}" for ending in (".jsonl", ".jsonl.gz"))
    return next((path for path in paths if path.is_file()), None)


def rows_in(folder: Path, name: str) -> Iterator[Row]:
    """Yield the rows of `name` in `folder`, nothing where it is not there. Raises: as `rows_of`."""
    path = jsonl_in(folder, name)
    if path is not None:
        yield from rows_of(path)


def rows_of(path: Path) -> Iterator[Row]:
    """Yield the JSON objects of a file, blank lines left out. Raises: `DatasetError` at a line that is not one."""
    for number, line in enumerate(lines_of(path), start=1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            fields = json.loads(line)
        except ValueError as error:
            raise DatasetError(f"{place}: not JSON: {error}") from error
        if not isinstance(fields, dict):
            raise DatasetError(f"{place}: not a JSON object")
        yield Row(place, fields)


def lines_of(path: Path) -> list[str]:
    """Return the lines of a text file without their ends, unpacked if its name ends in .gz.

    Raises: `DatasetError` if the file cannot be read, unpacked or is not UTF-8.
    """
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: {error}") from error
    # Not splitlines: the other line ends of Unicode belong to the text of a JSON string.
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def digest_of(dataset: Dataset) -> str:
    """Return 16 hex digits that change with the set's documents, questions and judgements; its name is not in it."""
    digest = hashlib.sha256()
    for part in (*dataset.documents, *dataset.queries, *sorted(dataset.references.items())):
        digest.update(repr(part).encode())
    for query_id, grades in sorted(dataset.qrels.items()):
        digest.update(repr((query_id, sorted(grades.items()))).encode())
    return digest.hexdigest()[:16]
