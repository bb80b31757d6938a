"""Reading data folders: what is read, and what is said about rows that are wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from eval.datasets import Query, Reference, read_dataset, rows_in
from eval.errors import DatasetError

CORPUS = [{"id": "d1", "title": "One", "text": "Tea is hot. Ice is cold."}, {"id": "d2", "text": "Line\u2028two."}]
QUERIES = [{"id": "q1", "text": "What is hot?", "corpus_id": "part"}, {"id": "q2", "text": "What is cold?"}]
SPANS = [{"query_id": "q1", "doc_id": "d1", "start": 0, "end": 11, "text": "Tea is hot."}]
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td1\t2\n"


def write_rows(path: Path, rows: list[dict[str, object]]) -> None:
    """Write JSON lines, packed if the name says so."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a whole set named `tea`."""
    path = tmp_path / "tea"
    path.mkdir()
    write_rows(path / "corpus.jsonl.gz", [dict(row) for row in CORPUS])
    write_rows(path / "queries.jsonl", [dict(row) for row in QUERIES])
    write_rows(path / "spans.jsonl", [dict(row) for row in SPANS])
    (path / "qrels.tsv").write_text(QRELS, encoding="utf-8")
    return path


def test_a_whole_set_is_read(folder: Path) -> None:
    """Corpus, queries with their segment, qrels and spans come back as values in file order."""
    dataset = read_dataset(folder)
    assert dataset.name == "tea"
    assert [(document.id, document.title) for document in dataset.documents] == [("d1", "One"), ("d2", "")]
    assert dataset.queries == (Query("q1", "What is hot?", "part"), Query("q2", "What is cold?", ""))
    assert dataset.qrels == {"q1": {"d1": 1}, "q2": {"d1": 2}}
    assert dataset.references == {"q1": (Reference("d1", 0, 11),)}


def test_a_line_separator_inside_a_text_is_text(folder: Path) -> None:
    """U+2028 ends no row."""
    assert read_dataset(folder).documents[1].text == "Line\u2028two."


def test_qrels_and_spans_are_optional(folder: Path) -> None:
    """A set without them has none."""
    (folder / "qrels.tsv").unlink()
    (folder / "spans.jsonl").unlink()
    dataset = read_dataset(folder)
    assert (dataset.qrels, dataset.references) == ({}, {})


def test_a_file_that_is_there_plain_and_packed_is_read_once(folder: Path) -> None:
    """The plain one; one that is missing has no rows."""
    assert list(rows_in(folder, "claims")) == []
    (folder / "claims.jsonl.gz").write_bytes(gzip.compress(b'{"text": "packed"}'))
    assert [row.text("text") for row in rows_in(folder, "claims")] == ["packed"]
    (folder / "claims.jsonl").write_text('{"text": "plain"}', encoding="utf-8")
    assert [row.text("text") for row in rows_in(folder, "claims")] == ["plain"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("queries.jsonl", '{"id": "q1", "text": "x"}\n{"id"\n', r"queries\.jsonl:2: not JSON"),
        ("queries.jsonl", "[1]\n", r"queries\.jsonl:1: not a JSON object"),
        ("queries.jsonl", '{"id": 3, "text": "x"}\n', r"queries\.jsonl:1: `id` must be a string"),
        ("queries.jsonl", '\n{"id": "q1"}\n', r"queries\.jsonl:2: `text` must be a string"),
        ("queries.jsonl", '{"id": "q", "text": "x"}\n{"id": "q", "text": "y"}\n', r"queries\.jsonl:2: the id 'q'"),
        ("spans.jsonl", '{"query_id": "q1", "doc_id": "d9", "start": 0, "end": 1}\n', r"spans\.jsonl:1: no document"),
        ("spans.jsonl", '{"query_id": "q1", "doc_id": "d1", "start": 0, "end": 99}\n', r"spans\.jsonl:1: \[0, 99\)"),
        ("spans.jsonl", '{"query_id": "q1", "doc_id": "d1", "start": true, "end": 9}\n', "`start` must be an integer"),
        (
            "spans.jsonl",
            '{"query_id": "q1", "doc_id": "d1", "start": 0, "end": 3, "text": "Ice"}\n',
            r"spans\.jsonl:1: `text` is not what the document has",
        ),
        ("qrels.tsv", "q1\td1\t1\n", r"qrels\.tsv:1: the header"),
        ("qrels.tsv", "query-id\tcorpus-id\tscore\nq1\td1\n", r"qrels\.tsv:2: not query id"),
        ("qrels.tsv", "query-id\tcorpus-id\tscore\nq1\td1\thigh\n", r"qrels\.tsv:2: not query id"),
    ],
)
def test_a_wrong_row_is_named_by_file_and_line(folder: Path, name: str, content: str, said: str) -> None:
    """The message says which file, which line and what is wrong with it."""
    (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(DatasetError, match=said):
        read_dataset(folder)


def test_a_folder_without_a_corpus_is_named(tmp_path: Path) -> None:
    """A folder that is no set says which file it lacks."""
    with pytest.raises(DatasetError, match=r"no corpus\.jsonl or corpus\.jsonl\.gz"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"not packed", gzip.compress(b"{}" * 1_000)[:-9], gzip.compress(b"\xff\xfe")],
    ids=["not packed", "cut short", "not UTF-8"],
)
def test_a_damaged_file_is_an_error_that_names_it(folder: Path, content: bytes) -> None:
    """Not packed, cut short, and not UTF-8 are all said of the file."""
    (folder / "corpus.jsonl.gz").write_bytes(content)
    with pytest.raises(DatasetError, match=r"corpus\.jsonl\.gz"):
        read_dataset(folder)
