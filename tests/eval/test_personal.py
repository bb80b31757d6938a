"""Recall and precision of the recognisers are counted by kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval.errors import DatasetError
from eval.personal import kind_of, measure

ROWS = [
    {"text": "Card 4111111111111111", "spans": [{"type": "CREDIT_CARD", "start": 5, "end": 21}]},
    {"text": "Card 4111111111111112", "spans": [{"type": "CREDIT_CARD", "start": 5, "end": 21}]},
    {"text": "Mail a@b.de", "spans": []},
    {
        "text": "Jo was born on 1.2.1980",
        "spans": [{"type": "DATE_TIME", "start": 15, "end": 23}, {"type": "PERSON", "start": 0, "end": 2}],
    },
]


def test_recall_and_precision(tmp_path: Path) -> None:
    """A missed span costs recall, an unmarked finding precision; names are not counted."""
    (tmp_path / "any.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in ROWS), encoding="utf-8")
    report = measure(tmp_path, limit=None, seed=0)
    assert report.n == 4
    assert report.metrics["recall"].value == 0.5
    assert report.metrics["precision"].value == pytest.approx(2 / 3)
    assert report.segments["card"].metrics["precision"].value == 1.0
    assert report.segments["email"].metrics["precision"].value == 0.0
    assert report.config["not_looked_for"] == "DATE_TIME PERSON"


@pytest.mark.parametrize(
    ("marked", "kind"),
    [
        ("CREDIT_CARD", "card"),
        ("PHONE_NUMBER", "phone"),
        ("IBAN_CODE", "iban"),
        ("US_SSN", "national_id"),
        ("IP_ADDRESS", "ip"),
        ("US_DRIVER_LICENSE", "document_id"),
        ("PERSON", None),
        ("STREET_ADDRESS", None),
    ],
)
def test_types_of_sets_are_our_kinds(marked: str, kind: str | None) -> None:
    """Whatever a set calls them."""
    assert kind_of(marked) == kind


def test_a_folder_without_spans_is_refused(tmp_path: Path) -> None:
    """Naming the place, or the folder if it is empty."""
    with pytest.raises(DatasetError):
        measure(tmp_path, limit=None, seed=0)
    (tmp_path / "x.jsonl").write_text('{"text": "a"}\n', encoding="utf-8")
    with pytest.raises(DatasetError, match="x.jsonl:1"):
        measure(tmp_path, limit=None, seed=0)
