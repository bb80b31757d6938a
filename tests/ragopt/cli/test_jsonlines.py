"""JSON lines as documents."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from indexes.records import Document, IngestResult
from ragopt.cli.files import batches, found_files
from ragopt.cli.jsonlines import read_documents

LINES = [
    {"id": "a", "title": "A", "text": "One.", "metadata": {"team": "hr", "nested": {}}},
    {"id": "b", "text": "Two."},
]


def written(path: Path, lines: list[object]) -> Path:
    data = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines).encode() + b"\n\n"
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def test_each_line_is_a_document(tmp_path: Path) -> None:
    """Packed or not, the same documents come out, in order, with what the line says of them."""
    for name in ("docs.jsonl", "docs.jsonl.gz"):
        first, second = read_documents(written(tmp_path / name, [*LINES]))
        assert first == Document("a", "One.", "A", {"team": "hr"})
        assert second == Document("b", "Two.")


def test_an_evaluation_sets_corpus_is_its_documents(tmp_path: Path) -> None:
    """Its questions are not ingested, and the count is of documents, not of files."""
    folder = tmp_path / "set"
    folder.mkdir()
    written(folder / "corpus.jsonl.gz", [*LINES])
    written(folder / "queries.jsonl", [{"id": "q", "text": "What?"}])
    found = found_files([folder])
    assert (found.documents, found.skipped) == (2, 1)
    (batch,) = batches(found, max_document_bytes=1_000)
    assert [document.id for document in batch.documents] == ["a", "b"]


def test_json_lines_in_an_ordinary_folder_are_skipped(tmp_path: Path) -> None:
    """A log that happens to be JSON lines is no document unless it is named."""
    path = written(tmp_path / "log.jsonl", [*LINES])
    assert (found_files([tmp_path]).documents, found_files([path]).documents) == (0, 2)


def test_bad_lines_fail_alone_and_by_number(tmp_path: Path) -> None:
    """Every kind of bad line is named by its place, the good ones go on."""
    bad = ["{", "[1]", {"id": 1, "text": "x"}, {"id": "", "text": "x"}, {"id": "s", "text": "\ud800"}, "[" * 100_000]
    bad += [{"id": "m", "text": "x", "metadata": {"n": value}} for value in (2**63, float("nan"), "\ud800")]
    results = list(read_documents(written(tmp_path / "d.jsonl", [*bad, LINES[1]])))
    assert [item.id for item in results if isinstance(item, IngestResult)] == [f"d.jsonl:{n}" for n in range(1, 10)]
    assert [item.id for item in results if isinstance(item, Document)] == ["b"]


def test_a_damaged_archive_is_a_failure_after_what_could_be_read(tmp_path: Path) -> None:
    """A file cut off in the middle says so instead of ending quietly."""
    path = written(tmp_path / "d.jsonl.gz", [{"id": str(n), "text": f"text {n * 7919}"} for n in range(20_000)])
    path.write_bytes(path.read_bytes()[:-5_000])
    results = list(read_documents(path))
    assert isinstance(results[-1], IngestResult)
    assert results[-1].error is not None
    assert any(isinstance(item, Document) for item in results)
