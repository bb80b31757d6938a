"""`ragopt export`: from what a service kept to files."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from ragopt.cli.entry import main
from ragopt.config import load_settings
from ragopt.settings.collections import CollectionSettings
from ragopt.wiring.books import opened_answers
from tests.environment import environment
from tests.ragopt.exports.kept_answers import kept


def keep(data_dir: Path) -> None:
    """Keep a liked, a disliked and an unrated answer, and one that the extractive provider gave."""

    async def write() -> None:
        async with opened_answers(load_settings(data_dir=data_dir)) as (answers, _):
            for name, question in (("up", "Why up?"), ("down", "Who goes down?"), ("new", "What is new here?")):
                answers.keep("default", kept(id=name, question=question, at=time.time()))
            answers.keep("default", kept(id="free", question="Is it free?", provider="extractive", at=time.time()))
            answers.rated("default", "up", liked=True)
            answers.rated("default", "down", liked=False)

    asyncio.run(write())


def rows_in(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_what_is_kept_becomes_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Examples for a provider, questions with their quotes, and what was rated down; what is left out is counted."""
    train, asked, wrong = (tmp_path / name for name in ("train.jsonl", "questions.jsonl", "wrong.jsonl"))
    place = ["--data-dir", str(tmp_path / "data")]
    with environment(RAGOPT_AUDIT__ENABLED="true"):
        keep(tmp_path / "data")
        assert main(["export", "finetune", "--format", "openai", "--out", str(train), "--distil", *place]) == 0
        told = capsys.readouterr()
        assert main(["export", "questions", "--out", str(asked), "--to-label", str(wrong), "--liked", *place]) == 0
        assert main(["audit", "show", "--act", "export", "--json", *place]) == 0
    assert told.out.startswith(f"{train}: 2 examples of 4 kept answers; left out: 1 ")
    assert "takes at least 10 examples" in told.err
    assert [row["messages"][1]["content"][-7:] for row in rows_in(train)] == ["Why up?", "w here?"]
    assert stat.S_IMODE(train.stat().st_mode) == 0o600
    assert [row["question"] for row in rows_in(asked)] == ["Why up?"]
    assert [row["question"] for row in rows_in(wrong)] == ["Who goes down?"]
    acts = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [(act["subject"], act["count"]) for act in acts] == [("finetune", 2), ("questions", 1)]


def test_nothing_kept_says_how_to_keep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the setting and the page, and no file is made."""
    out = tmp_path / "train.jsonl"
    with environment():
        line = ["export", "finetune", "--format", "anthropic", "--out", str(out), "--data-dir", str(tmp_path / "data")]
        assert main(line) == 1
    assert "`keep_answers` of [[collections]]" in capsys.readouterr().err
    assert not out.exists()


def test_examples_are_what_every_prompt_may_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file of liked answers is what the setting of a collection reads."""
    out = tmp_path / "examples.jsonl"
    place = ["--data-dir", str(tmp_path / "data")]
    with environment():
        keep(tmp_path / "data")
        assert main(["export", "examples", "--out", str(out), *place]) == 0
        assert main(["export", "examples", "--out", str(out), "--count", "9", *place]) == 1
        assert main(["export", "examples", "--out", str(out), "--collection", "other", *place]) == 1
    told = capsys.readouterr()
    assert told.out == f"{out}: 1 examples of 1 answers that were rated up\n"
    assert "--count: 1 to 8" in told.err
    assert "no kept answer was rated up" in told.err
    (example,) = CollectionSettings.model_validate({"examples": str(out)}).examples
    assert (example.question, example.answer) == ("Why up?", "They lapse in March [1].")
