"""The questions to tune on: a data folder, or a user's own corpus with a file of questions, or with none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

import numpy as np

from eval.datasets import Dataset, Query, Reference, Row, read_dataset, rows_of
from eval.errors import DatasetError
from eval.tune.derive import DERIVED_QUESTIONS, derived_questions
from indexes.invisible import is_blank
from indexes.records import Document, IngestResult
from ragopt.cli.files import found_files, loaded_documents
from ragopt.config import Settings

KNOWN_FIELDS = {"question", "document", "documents", "quote", "segment", "note"}
NOTES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where the questions come from: one folder of a data set, or `corpus` paths and a file of `questions`, or neither.

    limit: most questions, drawn at random; None for all, or for as many as are derived.
    """

    data: Path | None = None
    corpus: tuple[Path, ...] = ()
    questions: Path | None = None
    limit: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Workload:
    """Documents and the questions to ask, in the order in which they are asked.

    derived: nobody asked them, they were made from the documents. notes: what the report must say.
    """

    dataset: Dataset
    derived: bool
    notes: tuple[str, ...] = ()

    def relevant(self, query: Query) -> list[str]:
        """Return the ids of the documents that answer a question, sorted; at least one."""
        spans = {part.document_id for part in self.dataset.references.get(query.id, ())}
        graded = {name for name, grade in self.dataset.qrels.get(query.id, {}).items() if grade > 0}
        return sorted(spans or graded)


def read_workload(wanted: Wanted, settings: Settings) -> Workload:
    """Return what to tune on. Blocks while it reads.

    Raises: `DatasetError` naming file and line of what is wrong, or if no question has a known answer;
    `InvalidRequest` for a path that is not there.
    """
    if wanted.data is not None:
        found = Workload(read_dataset(wanted.data), derived=False)
    else:
        documents, notes = read_corpus(wanted.corpus, max_bytes=settings.max_document_bytes)
        name = wanted.corpus[0].resolve().name
        if wanted.questions is None:
            dataset = derived_questions(name, documents, limit=wanted.limit or DERIVED_QUESTIONS)
        else:
            dataset = read_questions(wanted.questions, name=name, documents=documents)
        found = Workload(dataset, derived=wanted.questions is None, notes=notes)
    return in_asking_order(found, limit=wanted.limit, seed=wanted.seed)


def read_corpus(paths: Sequence[Path], *, max_bytes: int) -> tuple[tuple[Document, ...], tuple[str, ...]]:
    """Return the documents under the paths, as `ragopt ingest` takes them, and a note on each that cannot be used.

    Raises: `DatasetError` if none can be, or if two have the same id.
    """
    documents: dict[str, Document] = {}
    refused: list[str] = []
    for loaded in loaded_documents(found_files(paths).files, max_bytes=max_bytes):
        if isinstance(loaded, IngestResult):
            refused.append(f"{loaded.id}: {loaded.error.detail if loaded.error else 'unknown'}")
        elif is_blank(loaded.text):
            refused.append(f"{loaded.id}: the text is empty")
        elif documents.setdefault(loaded.id, loaded) is not loaded:
            raise DatasetError(f"two documents have the id {loaded.id!r}")
    if not documents:
        raise DatasetError(f"{', '.join(map(str, paths))}: no document can be read; {'; '.join(refused[:NOTES_SHOWN])}")
    if not refused:
        return tuple(documents.values()), ()
    return tuple(documents.values()), (f"{len(refused)} documents left out: {'; '.join(refused[:NOTES_SHOWN])}",)


def read_questions(path: Path, *, name: str, documents: Sequence[Document]) -> Dataset:
    """Return the questions of a JSON lines file over these documents.

    A line is {question, document | documents, quote, segment}: one or several document ids, the
    answering words of the text (a string or a list of them), or both. A quote is found whatever the
    white space between its words. Raises: `DatasetError` naming file and line.
    """
    texts = {document.id: document.text for document in documents}
    queries: list[Query] = []
    qrels: dict[str, dict[str, int]] = {}
    references: dict[str, tuple[Reference, ...]] = {}
    for row in rows_of(path):
        query = query_of(row, number=len(queries) + 1)
        named, quotes = texts_in(row, "document", "documents"), texts_in(row, "quote")
        if not named and not quotes:
            raise DatasetError(f"{row.place}: a question needs a `document`, a `quote` or both")
        for document_id in named:
            check_document(document_id, texts, place=row.place)
        found = tuple(located(quote, named, texts, place=row.place) for quote in quotes)
        queries.append(query)
        references |= {query.id: found} if found else {}
        qrels[query.id] = dict.fromkeys(named or [part.document_id for part in found], 1)
    if not queries:
        raise DatasetError(f"{path}: there is no question in it")
    return Dataset(name, tuple(documents), tuple(queries), qrels, references)


def query_of(row: Row, *, number: int) -> Query:
    """Return the question of a line, its id its number. Raises: `DatasetError`."""
    unknown = sorted(set(row.fields) - KNOWN_FIELDS)
    if unknown:
        raise DatasetError(f"{row.place}: unknown field `{unknown[0]}`; known are {', '.join(sorted(KNOWN_FIELDS))}")
    text = row.text("question")
    if not text.strip():
        raise DatasetError(f"{row.place}: `question` is empty")
    return Query(id=f"q{number}", text=text, segment=row.optional("segment"))


def texts_in(row: Row, *names: str) -> list[str]:
    """Return the strings of these fields, each a string or a list of strings; [] if none is there.

    Raises: `DatasetError` if one is neither, or empty.
    """
    found: list[str] = []
    for name in names:
        value = row.fields.get(name, [])
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) and item.strip() for item in items):
            raise DatasetError(f"{row.place}: `{name}` must be a text, or a list of texts, none empty")
        found += [str(item) for item in items]
    return found


def check_document(document_id: str, texts: Mapping[str, str], *, place: str) -> None:
    """Raise `DatasetError` if there is no such document; the message offers the nearest id."""
    if document_id not in texts:
        near = get_close_matches(document_id, texts, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise DatasetError(f"{place}: no document {document_id!r} in the corpus{hint}")


def located(quote: str, named: Sequence[str], texts: Mapping[str, str], *, place: str) -> Reference:
    """Return where a quote stands first, in the documents named, or in all of them if none is.

    Raises: `DatasetError` if it stands nowhere, or in several documents when none is named.
    """
    pattern = re.compile(r"\s+".join(map(re.escape, quote.split())))
    found = [(name, match) for name in named or texts if (match := pattern.search(texts[name]))]
    shown = quote if len(quote) <= 60 else f"{quote[:60]}…"
    if not found:
        where = " or ".join(map(repr, named)) if named else "any document"
        raise DatasetError(f"{place}: the quote {shown!r} is not in {where}")
    if len(found) > 1 and not named:
        raise DatasetError(f"{place}: the quote {shown!r} is in {len(found)} documents: name one in `document`")
    return Reference(found[0][0], *found[0][1].span())


def in_asking_order(workload: Workload, *, limit: int | None, seed: int) -> Workload:
    """Return the workload with its questions that have a known answer, at most `limit`, in a random order.

    Each segment is spread evenly, so that any beginning of the list is a fair sample of the whole.
    Raises: `DatasetError` if there is no such question.
    """
    dataset = workload.dataset
    known = {document.id for document in dataset.documents}
    asked = [query for query in dataset.queries if known.intersection(workload.relevant(query))]
    if not asked:
        raise DatasetError(f"{dataset.name}: no question has a relevant document: add spans.jsonl or qrels.tsv")
    rng = np.random.default_rng(seed)
    parts: dict[str, list[Query]] = {}
    for at in rng.permutation(len(asked)):
        parts.setdefault(asked[at].segment, []).append(asked[at])
    places = [
        ((place + 0.5) / len(part), segment, query)
        for segment, part in sorted(parts.items())
        for place, query in enumerate(part)
    ]
    ordered = [query for _, _, query in sorted(places, key=lambda item: item[:2])]
    return replace(workload, dataset=replace(dataset, queries=tuple(ordered[:limit])))
