"""Your own documents and questions as a data set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.__main__ import main
from eval.dataset_files import write_dataset
from eval.datasets import Dataset, Query, Reference, read_dataset
from eval.errors import DatasetError
from indexes.records import Document

DATASET = Dataset(
    name="out",
    documents=(Document("a/b.md", "Leave lapses\nin March. Ünder  line.", "Leave"), Document("c", "Nothing.", "")),
    queries=(Query("q1", "When?", "hr"), Query("q2", "What?", "")),
    qrels={"q1": {"a/b.md": 1}, "q2": {"c": 1}},
    references={"q1": (Reference("a/b.md", 0, 22), Reference("a/b.md", 23, 28))},
)


def test_a_set_that_is_written_is_read_as_it_was(tmp_path: Path) -> None:
    """Documents, questions with their parts, spans and grades; without spans no file of them."""
    write_dataset(DATASET, tmp_path / "out")
    assert read_dataset(tmp_path / "out") == DATASET
    bare = Dataset("bare", DATASET.documents, DATASET.queries, DATASET.qrels, {})
    write_dataset(bare, tmp_path / "bare")
    assert read_dataset(tmp_path / "bare") == bare
    assert not (tmp_path / "bare" / "spans.jsonl").exists()


def test_nothing_is_written_over(tmp_path: Path) -> None:
    """A folder that holds something is refused, and so is an id that would break the table."""
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(DatasetError, match="name a new folder"):
        write_dataset(DATASET, tmp_path)
    broken = Dataset("x", (), (), {"q1": {"a\tb": 1}}, {})
    with pytest.raises(DatasetError, match="tab"):
        write_dataset(broken, tmp_path / "x")


def test_exported_questions_become_a_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command takes what `ragopt export questions` writes, over the folder that was ingested."""
    (tmp_path / "handbook").mkdir()
    (tmp_path / "handbook" / "leave.md").write_text("# Leave\n\nUnused days lapse in March.\n", encoding="utf-8")
    corpus = tmp_path / "handbook"
    asked = {"question": "When?", "quote": ["Unused days lapse in March."], "segment": "hr", "note": "liked"}
    (tmp_path / "questions.jsonl").write_text(json.dumps(asked) + "\n", encoding="utf-8")
    line = ["dataset", "--corpus", str(corpus), "--questions", str(tmp_path / "questions.jsonl")]
    assert main([*line, "--out", str(tmp_path / "set")]) == 0
    assert "1 documents, 1 questions, 1 with the text" in capsys.readouterr().out
    assert [query.segment for query in read_dataset(tmp_path / "set").queries] == ["hr"]
