"""Paths become documents: walked, named, loaded, and failed one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragopt.cli.files import BATCH_DOCUMENTS, batches, found_files
from ragopt.errors import InvalidRequest

LIMIT = 1_000_000


def made(folder: Path, **files: str) -> Path:
    """Return the folder with these files in it, `__` standing for a slash and `_` for a dot."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_folder_is_walked(tmp_path: Path) -> None:
    """Documents are named by their path from the folder on; hidden files are left out, other types counted."""
    docs = made(tmp_path / "docs", a_md="A", sub__b_txt="B", image_png="x", _hidden_md="x")
    made(docs / ".git", config_md="x")
    found = found_files([docs])
    assert [file.document_id for file in found.files] == ["docs/a.md", "docs/sub/b.txt"]
    assert found.skipped == 1


def test_file_is_named_by_its_name(tmp_path: Path) -> None:
    """A file that is given itself is named without its folder, and may be given twice."""
    made(tmp_path, a_md="A")
    assert [file.document_id for file in found_files([tmp_path / "a.md", tmp_path / "a.md"]).files] == ["a.md"]


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    """Two files that would be the same document are an error that names both."""
    made(tmp_path, x__a_md="one", y__a_md="two")
    with pytest.raises(InvalidRequest, match=r"x/a\.md.*y/a\.md"):
        found_files([tmp_path / "x" / "a.md", tmp_path / "y" / "a.md"])


def test_missing_path_is_refused(tmp_path: Path) -> None:
    """A path that is not there is an error that names it, and nothing is ingested."""
    with pytest.raises(InvalidRequest, match="nowhere"):
        found_files([tmp_path / "nowhere"])


def test_unreadable_file_fails_alone(tmp_path: Path) -> None:
    """A file that cannot be read is a failed result in its batch; the others are documents."""
    docs = made(tmp_path / "docs", a_md="# Alpha\n\nText.", b_md=" ", c_pdf="no pdf")
    (batch,) = batches(found_files([docs]), max_document_bytes=LIMIT)
    assert [(item.id, item.title) for item in batch.documents] == [("docs/a.md", "Alpha")]
    codes = [(item.id, item.error.code) for item in batch.failures if item.error]
    assert codes == [("docs/b.md", "empty_text"), ("docs/c.pdf", "unreadable_document")]


def test_batches_are_bounded(tmp_path: Path) -> None:
    """Many files come in several batches, in order, each file once."""
    for n in range(BATCH_DOCUMENTS + 1):
        made(tmp_path / "docs", **{f"{n:04d}_md": "text"})
    found = list(batches(found_files([tmp_path / "docs"]), max_document_bytes=LIMIT))
    assert [len(batch.documents) for batch in found] == [BATCH_DOCUMENTS, 1]


def test_nothing_to_do_is_no_batch(tmp_path: Path) -> None:
    """An empty folder yields no batch."""
    assert list(batches(found_files([tmp_path]), max_document_bytes=LIMIT)) == []
