"""What sets of texts to screen have in common: cases, the labels that their rows bear, a digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from eval.datasets import Row
from eval.errors import DatasetError
from eval.screening.examples import Place

BENIGN = "benign"


@dataclass(frozen=True, slots=True)
class Case:
    """One text where it stands, and whether it is what is looked for.

    segment: the part of its set that it belongs to, "" for none. planted: the instruction within it that does not
    belong there, "" where none is known.
    """

    text: str
    place: Place
    positive: bool
    segment: str = ""
    planted: str = ""


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """One set, its cases in the order of the files."""

    name: str
    cases: tuple[Case, ...]


def is_labelled(row: Row, label: str) -> bool:
    """Return whether a row has this label rather than `benign`. Raises: `DatasetError` for any other."""
    said = row.text("label")
    if said not in (label, BENIGN):
        raise DatasetError(f"{row.place}: `label` must be {label} or {BENIGN}")
    return said == label


def digest_of_folder(folder: Path) -> str:
    """Return 16 hex digits that change with any JSON lines file of a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.jsonl*")):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
