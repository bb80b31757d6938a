"""A data set as the folder that `eval.datasets` reads: corpus, queries, spans and grades."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from eval.datasets import QRELS_HEADER, Dataset
from eval.errors import DatasetError


def write_dataset(dataset: Dataset, folder: Path) -> None:
    """Write a set into a new folder, or into one that holds nothing. Raises: `DatasetError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise DatasetError(f"{folder}: there is something in it; name a new folder")
        write_lines(folder / "corpus.jsonl", corpus_rows(dataset))
        write_lines(folder / "queries.jsonl", query_rows(dataset))
        if dataset.references:
            write_lines(folder / "spans.jsonl", span_rows(dataset))
        (folder / "qrels.tsv").write_text("".join(f"{line}\n" for line in grade_lines(dataset)), encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"{folder}: {error.strerror}") from error


def write_lines(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write JSON lines."""
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")


def corpus_rows(dataset: Dataset) -> Iterator[Mapping[str, object]]:
    """Yield the documents."""
    for document in dataset.documents:
        yield {"id": document.id, "title": document.title, "text": document.text}


def query_rows(dataset: Dataset) -> Iterator[Mapping[str, object]]:
    """Yield the questions, each with its part of the set where it has one."""
    for query in dataset.queries:
        yield {"id": query.id, "text": query.text} | ({"collection": query.segment} if query.segment else {})


def span_rows(dataset: Dataset) -> Iterator[Mapping[str, object]]:
    """Yield the spans that answer the questions, each with its text, which a reader checks."""
    texts = {document.id: document.text for document in dataset.documents}
    for query_id, spans in dataset.references.items():
        for span in spans:
            text = texts[span.document_id][span.start : span.end]
            place = {"doc_id": span.document_id, "start": span.start, "end": span.end}
            yield {"query_id": query_id, **place, "text": text}


def grade_lines(dataset: Dataset) -> Iterator[str]:
    """Yield the header and the grades. Raises: `DatasetError` for an id that a table of tabs cannot hold."""
    yield "\t".join(QRELS_HEADER)
    for query_id, grades in dataset.qrels.items():
        for document_id, grade in grades.items():
            if set(document_id) & {"\t", "\n", "\r"}:
                raise DatasetError(f"{document_id!r}: an id with a tab or a line end cannot stand in qrels.tsv")
            yield f"{query_id}\t{document_id}\t{grade}"
