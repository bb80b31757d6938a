"""Examples of good answers in the settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from ragopt.settings.collections import CollectionSettings, Told, told_of
from ragopt.settings.examples import MAX_EXAMPLES
from ragopt.settings.experiments import VariantSettings

ROW = {"question": "When do days lapse?", "passages": ["They lapse in March."], "answer": "In March [1]."}
TEXT = "Question: When do days lapse?\n[1] They lapse in March.\nAnswer: In March [1]."


def written(path: Path, *rows: object) -> str:
    """Write JSON lines and return where they are."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(path)


def test_a_file_becomes_the_examples_of_its_collection(tmp_path: Path) -> None:
    """The settings hold what the file held when they were read, for that collection alone."""
    entry = CollectionSettings.model_validate({"name": "support", "examples": written(tmp_path / "e", ROW)})
    (tmp_path / "e").unlink()
    assert told_of([entry], tenant="t", collection="support") == Told(examples=TEXT)
    assert told_of([entry], tenant="t", collection="other") == Told()
    assert told_of([], tenant="t", collection="support") == Told()


def test_a_variant_may_show_none(tmp_path: Path) -> None:
    """An empty file is no examples, which differs from leaving the setting out."""
    empty = VariantSettings.model_validate({"name": "bare", "share": 1, "examples": written(tmp_path / "e")})
    assert empty.examples == ()
    assert VariantSettings(name="same", share=1).examples is None


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([ROW, {"question": "Only?"}], "line 2: no example"),
        ([{**ROW, "passages": []}], "line 1: no example"),
        ([ROW] * (MAX_EXAMPLES + 1), "at most 8 items"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(tmp_path: Path, rows: list[object], said: str) -> None:
    """What cannot be read as examples ends the start with a message that says where."""
    with pytest.raises(ValidationError, match=said):
        CollectionSettings.model_validate({"examples": written(tmp_path / "e", *rows)})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The message holds the path."""
    with pytest.raises(ValidationError, match=r"nowhere\.jsonl cannot be read"):
        CollectionSettings.model_validate({"examples": str(tmp_path / "nowhere.jsonl")})
