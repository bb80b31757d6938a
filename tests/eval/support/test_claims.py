"""Groundedness sets, planted faults, and what is learned from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from eval.errors import DatasetError
from eval.support.answered import answered_pairs
from eval.support.calibrate import fitted
from eval.support.edits import EDITS, reworded
from eval.support.job import CitationsJob, measure
from eval.support.measured import auc, balanced_accuracy, with_interval
from eval.support.pairs import labelled_pairs, made_cases, made_pairs
from eval.support.planted import FAULTS, checked_answers, planted_answers, report_of
from eval.support.rows import rows_of_cases
from eval.support.sets import read_claim_set
from indexes.records import Document

TOWNS = ("Kerrow", "Lindby", "Marston", "Norwell", "Oakham", "Penryn", "Quarley", "Rowde")
DOCUMENTS = [
    Document(
        id=town,
        title=town,
        text=f"The harbour of {town} was built in {1800 + 7 * at} by the engineer {name} Hale. "
        f"Its {at + 3} cranes can lift {20 + at} tonnes, and most of them were made in Sweden. "
        f"Before the war the town of {town} had a railway with {at + 11} stations along the coast.",
    )
    for at, (town, name) in enumerate(
        zip(TOWNS, ("Ada", "Ben", "Carl", "Dora", "Emil", "Fay", "Gus", "Hilda"), strict=True)
    )
]


def written(folder: Path, name: str, rows: Sequence[Mapping[str, object]]) -> Path:
    """Return the folder, with the rows in a file."""
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def test_a_set_is_read_in_every_form(tmp_path: Path) -> None:
    """Sentences or a text, a claim or a whole answer; labels of many names, and only support counts as such."""
    rows = [
        {"id": "a", "context_sentences": ["Cats purr.", "Dogs bark."], "claim": "Cats purr.", "label": "supported"},
        {"id": "b", "context": "Cats purr. Dogs bark.", "claim": "Cats bark.", "label": "REFUTES", "domain": "pets"},
        {"id": "c", "context": "Cats purr.", "answer": "Cats often purr. Dogs never bark.", "label": True},
    ]
    cases = read_claim_set(written(tmp_path, "claims", rows)).cases
    assert [case.supported for case in cases] == [True, False, True]
    assert [len(case.passage.units) for case in cases] == [2, 2, 1]
    assert [case.passage.source_text(*unit) for case in cases[:2] for unit in case.passage.units] == [
        "Cats purr.",
        "Dogs bark.",
    ] * 2
    assert (cases[2].claims, cases[1].segment) == (("Cats often purr.", "Dogs never bark."), "pets")


def test_a_row_without_a_label_names_its_line(tmp_path: Path) -> None:
    """A broken set is told by file and line."""
    folder = written(tmp_path, "claims", [{"context": "Cats purr.", "claim": "Cats purr."}])
    with pytest.raises(DatasetError, match=r"claims\.jsonl:1: `label`"):
        read_claim_set(folder)


def test_the_measures_know_a_perfect_and_a_random_order() -> None:
    """One, one half, and an interval around them."""
    labels = np.array([True] * 30 + [False] * 30)
    perfect, drawn = labels.astype(float), np.random.default_rng(0).random(60)
    assert (balanced_accuracy(perfect, labels, threshold=0.5), auc(perfect, labels), auc(1 - perfect, labels)) == (
        1,
        1,
        0,
    )
    found = with_interval(drawn, labels, auc, seed=0)
    assert 0.3 < found.low < found.value < found.high < 0.75


@pytest.mark.parametrize(
    ("kind", "claim"),
    [
        ("number", "It was built in 1807."),
        ("name", "It was built by Ada Hale in Kerrow."),
        ("swap", "It was sold by Ada Hale to Ben Ford."),
        ("negation", "It was built by hand."),
        ("negation", "It was not built by hand."),
        ("opposite", "It was larger before the war."),
    ],
)
def test_every_edit_changes_what_it_says(kind: str, claim: str) -> None:
    """A claim comes out different, and one without anything to spoil comes out as nothing."""
    changed = EDITS[kind](claim, np.random.default_rng(1), ["1850", "Carl Moss"])
    assert changed is not None
    assert changed != claim
    assert EDITS[kind]("Birds sing there.", np.random.default_rng(1), ["1850"]) is None


def test_rewording_keeps_numbers_and_is_seeded() -> None:
    """What was added in brackets may go, an opening moves to the end; the same seed gives the same text."""
    sentence = "In 1807, the harbour (the old one) was built, which many people liked."
    made = {reworded(sentence, np.random.default_rng(seed)) for seed in range(20)}
    assert made == {reworded(sentence, np.random.default_rng(seed)) for seed in range(20)}
    assert len(made) > 3
    assert all("1807" in text for text in made)


def test_pairs_are_made_of_documents_and_of_labelled_claims(tmp_path: Path) -> None:
    """Both labels, evidence from the document itself, and of a supported claim only the marked evidence."""
    pairs = list(made_pairs(DOCUMENTS, count=40, source="towns", seed=0))
    assert {pair.label for pair in pairs} == {0, 1}
    assert all(any(pair.a in document.text for document in DOCUMENTS) for pair in pairs)
    rows = [
        {
            "context_sentences": ["Cats purr a lot.", "Dogs bark."],
            "claim": "Cats often purr.",
            "label": "supported",
            "supporting_sentences": [[0]],
        },
        {"context_sentences": ["Cats purr a lot."], "claim": "Cats never purr.", "label": "CONTRADICT"},
    ]
    labelled = list(labelled_pairs(read_claim_set(written(tmp_path, "claims", rows)).cases, source="s"))
    assert ("Cats purr a lot.", 1) in {(pair.a, pair.label) for pair in labelled}
    assert ("Dogs bark.", 1) not in {(pair.a, pair.label) for pair in labelled}
    assert [(pair.a, pair.b) for pair in labelled if not pair.label] == [("Cats purr a lot.", "Cats never purr.")]


def test_pairs_are_made_of_answers(tmp_path: Path) -> None:
    """Each claim of an answer beside the sentences it was written from, spoiled beside them as well."""
    rows = [
        {"answers": [{"answer": f"It was built in {year} by Ada.", "selected_sentences": [f"Ada built it in {year}."]}]}
        for year in (1807, 1814)
    ]
    pairs = list(answered_pairs(written(tmp_path, "answers", rows), seed=0))
    assert [pair.b for pair in pairs if pair.label] == ["It was built in 1807 by Ada.", "It was built in 1814 by Ada."]
    assert any(not pair.label for pair in pairs)


def test_a_calibration_is_fitted_to_labels(tmp_path: Path) -> None:
    """Claims with the words of their context score above others, and the thresholds are in order."""
    rows = [
        {
            "id": f"{document.id}-{label}",
            "split": "x",
            "context": document.text,
            "claim": claim.format(document.title),
            "label": label,
            "supporting_sentences": [0],
        }
        for document in DOCUMENTS
        for label, claim in (
            ("supported", "{} has a harbour and a railway along the coast"),
            ("other", "{} has whales"),
        )
    ]
    cases = read_claim_set(written(tmp_path, "claims", rows)).cases
    made = list(made_cases(DOCUMENTS, count=6, source="t", seed=0))
    found = fitted(rows_of_cases(cases, None), rows_of_cases(made, None), judged=False)
    assert found.weights["covered_anywhere"] > 0
    assert 0 < found.unsupported_below <= found.supported_from < 1


def test_planted_faults_are_caught_and_right_citations_are_not_flagged(tmp_path: Path) -> None:
    """Without a model: markers of nothing and wrong numbers; offsets hold over every split."""
    assert {item.fault for item in planted_answers(DOCUMENTS, count=18, seed=0)} == set(FAULTS)
    written(tmp_path, "corpus", [{"id": item.id, "title": item.title, "text": item.text} for item in DOCUMENTS])
    written(tmp_path, "queries", [{"id": "q", "text": "What?"}])
    job = CitationsJob(lexical=True)
    metrics = report_of("towns", checked_answers(tmp_path, job, count=36), job).metrics
    assert metrics["offset_errors"].value == metrics["flagged.right"].value == 0
    assert min(metrics[f"caught.{fault}"].value for fault in ("out_of_range", "number")) > 0.8


def test_the_job_reports_a_set_and_its_parts(tmp_path: Path) -> None:
    """Balanced accuracy and area under the curve with intervals, beside word coverage, for the whole and each part."""
    rows = [
        {"context": document.text, "claim": claim, "label": label, "domain": f"part {at % 2}"}
        for at, document in enumerate(DOCUMENTS * 3)
        for label, claim in (("yes", document.text.split(". ")[at % 2]), ("no", f"Whales sing in {at}"))
    ]
    report = measure(written(tmp_path, "claims", rows), CitationsJob(lexical=True))
    assert (report.n, report.config["supported"], set(report.segments)) == (48, "yes", {"part 0", "part 1"})
    assert report.metrics["balanced_accuracy"].value > 0.9
    assert report.metrics["auc"].low <= report.metrics["auc"].value <= report.metrics["auc"].high
