"""Saved results: what is written is read back, and what cannot be read is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.comparison import compare, comparison_json
from eval.errors import SavedError
from eval.report import Origin, as_json
from eval.saved import read_saved
from tests.eval.results import report_from

REPORT = report_from(
    {"recall@400": [1.0, 1 / 3], "tokens@400": [380, 391]},
    job="context",
    segments=("sea", "land"),
    origin=Origin("/sets/tea", "0123456789abcdef", None, "python -m eval context"),
)


def test_a_saved_result_is_read_back(tmp_path: Path) -> None:
    """A report comes back with its segments, cases and origin, a comparison as a comparison."""
    path = tmp_path / "saved.jsonl"
    comparison = compare(REPORT, REPORT)
    path.write_text(f"{as_json(REPORT)}\n\n{comparison_json(comparison)}\n", encoding="utf-8")
    report, difference = read_saved([path])
    assert as_json(report) == as_json(REPORT)
    assert report.cases == REPORT.cases
    assert report.origin == REPORT.origin
    assert comparison_json(difference) == comparison_json(comparison)


def test_a_line_without_cases_is_a_report(tmp_path: Path) -> None:
    """The pinned keys alone are enough."""
    path = tmp_path / "saved.jsonl"
    fields = json.loads(as_json(REPORT))
    pinned = {name: fields[name] for name in ("job", "set", "n", "seed", "config", "metrics")}
    path.write_text(json.dumps(pinned), encoding="utf-8")
    (report,) = read_saved([path])
    assert report.cases is None
    assert set(report.metrics) == {"recall@400", "tokens@400"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no results in it"),
        ("{", "saved.jsonl:1: not JSON"),
        ("[]", "saved.jsonl:1: not a result"),
        ('\n{"job": "context"}', "saved.jsonl:2: not a result: set: "),
        (as_json(REPORT).replace('"value": 385.5', '"value": 300'), "tokens@400 is 300, the mean of its values"),
        (as_json(REPORT).replace("[380.0, 391.0]", "[380.0]"), "tokens@400 has 1 values for 2 cases"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, text: str, said: str) -> None:
    """File, line and what is wrong with it stand in the message."""
    path = tmp_path / "saved.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SavedError, match=said):
        read_saved([path])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is an error with its path."""
    with pytest.raises(SavedError, match=r"gone\.jsonl: No such file"):
        read_saved([tmp_path / "gone.jsonl"])
