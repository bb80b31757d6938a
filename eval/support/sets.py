"""Groundedness sets: {id, context, claim or answer, label}, one JSON object a line, to claims beside a passage.

The context is a text, or the list of its sentences in `context_sentences` or `sentences`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.datasets import JsonValue, Row, jsonl_file, jsonl_in, rows_of
from eval.errors import DatasetError
from indexes.chunking import unit_spans
from indexes.structure import blocks
from ragopt.domain import Passage, Span
from ragopt.reading import AnswerReader
from ragopt.stages.cite.claims import claims_of

# In lower case; every other label counts as not supported, partial support and contradiction among them.
SUPPORTED_LABELS = frozenset(
    """
    supported support supports entailed entailment entails grounded attributable faithful consistent true yes 1
    """.split()  # noqa: SIM905 - a list of quoted words reads worse
)
SENTENCE_FIELDS = ("context_sentences", "sentences")
EVIDENCE_FIELDS = ("supporting_sentences", "evidence_sentences")
SEGMENT_FIELDS = ("domain", "task", "task_type", "collection", "source", "segment")
FILES = ("claims", "answers", "groundedness")


@dataclass(frozen=True, slots=True)
class ClaimCase:
    """One row of a set. claims: one, or those of an answer. evidence: places of units that decide, as marked by people.

    split: which part of the set the row is of, "" where it has none.
    """

    id: str
    claims: tuple[str, ...]
    passage: Passage
    label: str
    segment: str
    split: str
    evidence: tuple[tuple[int, ...], ...]

    @property
    def supported(self) -> bool:
        """Return whether the label counts as supported."""
        return self.label.lower() in SUPPORTED_LABELS


@dataclass(frozen=True, slots=True)
class ClaimSet:
    """The rows of a folder in file order; the digest changes with any of them."""

    name: str
    cases: tuple[ClaimCase, ...]
    digest: str


def read_claim_set(folder: Path) -> ClaimSet:
    """Return the set in a folder. Raises: `DatasetError` naming file and line."""
    path = claims_file(folder)
    cases = tuple(case_of(row, number) for number, row in enumerate(rows_of(path)))
    if not cases:
        raise DatasetError(f"{path}: it is empty")
    digest = hashlib.sha256(repr([(case.id, case.claims, case.passage.text, case.label) for case in cases]).encode())
    return ClaimSet(folder.resolve().name, cases, digest.hexdigest()[:16])


def claims_file(folder: Path) -> Path:
    """Return the file of claims in a folder. Raises: `DatasetError` if there is none."""
    for name in FILES:
        if (path := jsonl_in(folder, name)) is not None:
            return path
    return jsonl_file(folder, FILES[0])


def case_of(row: Row, number: int) -> ClaimCase:
    """Return a row as a case. Raises: `DatasetError` if it lacks a claim, a context or a label."""
    fields = row.fields
    claims = (row.text("claim"),) if "claim" in fields else tuple(claims_in(row.text("answer")))
    label = fields.get("label")
    if not isinstance(label, str | bool | int):
        raise DatasetError(f"{row.place}: `label` must be a text, a number, true or false")
    return ClaimCase(
        id=str(fields.get("id", number)),
        claims=claims,
        passage=passage_in(row),
        label=str(label),
        segment=next((str(fields[name]) for name in SEGMENT_FIELDS if isinstance(fields.get(name), str)), ""),
        split=str(fields.get("split", "")),
        evidence=evidence_in(fields),
    )


def claims_in(answer: str) -> list[str]:
    """Return the claims of a whole answer as the service reads them."""
    reader = AnswerReader()
    pieces = [*reader.feed(answer), *reader.finish()]
    return [claim.text for piece in pieces if not piece.code for claim in claims_of(piece.text, before=None)]


def passage_in(row: Row) -> Passage:
    """Return the context of a row as one passage with its sentences as units."""
    for name in SENTENCE_FIELDS:
        listed = row.fields.get(name)
        if isinstance(listed, list) and listed:
            return passage_of_sentences([str(sentence) for sentence in listed])
    return passage_of_text(row.text("context"))


def passage_of_sentences(sentences: Sequence[str]) -> Passage:
    """Return a passage of sentences, joined by spaces, each a unit."""
    units: list[Span] = []
    start = 0
    for sentence in sentences:
        units.append((start, start + len(sentence)))
        start += len(sentence) + 1
    return passage(" ".join(sentences), units)


def passage_of_text(text: str) -> Passage:
    """Return a text as one passage, cut into units as the index cuts it."""
    return passage(text, [span for block in blocks(text) for span in unit_spans(text, block)])


def passage(text: str, units: Sequence[Span], *, n: int = 1) -> Passage:
    """Return a passage that is a whole document."""
    name = f"document-{n}"
    return Passage(n, name, 1, f"{name}/0", "", ((0, len(text)),), text, 0, 1.0, tuple(units))


def evidence_in(fields: object) -> tuple[tuple[int, ...], ...]:
    """Return the sets of sentences that decide, by place; () where a row marks none."""
    found: JsonValue = None
    if isinstance(fields, dict):
        found = next((fields[name] for name in EVIDENCE_FIELDS if fields.get(name)), None)
    if not isinstance(found, list):
        return ()
    lists = found if any(isinstance(item, list) for item in found) else [found]
    return tuple(tuple(at for at in item if isinstance(at, int)) for item in lists if isinstance(item, list) and item)
