"""Claims in other words than their evidence."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from eval.cache.sets import read_question_set
from eval.datasets import read_dataset
from eval.support.fit import FitSupportJob, gathered
from eval.support.worded import CONCLUSION_WEIGHT, QUESTION_WEIGHT, concluded_pairs, question_pairs

ABSTRACTS = {
    "a": "We asked 40 nurses. Sleep of nurses improved after night shifts were shortened to six hours.",
    "b": "Rats were fed oats. Growth of rats was slower with oats than with barley in all three groups.",
}
CONCLUSIONS = {
    "qa": "Shortened night shifts improved the sleep of 40 nurses.",
    "qb": "Barley makes rats grow faster than oats. Further studies are wanted.",
}


def lines(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def abstracts(tmp_path: Path) -> Path:
    """A folder of abstracts, a question about each, and what its authors concluded."""
    folder = tmp_path / "pubmedqa"
    folder.mkdir()
    lines(folder / "corpus.jsonl", [{"id": name, "title": "", "text": text} for name, text in ABSTRACTS.items()])
    lines(folder / "queries.jsonl", [{"id": name, "text": "Does it?"} for name in CONCLUSIONS])
    lines(folder / "answers.jsonl", [{"query_id": name, "conclusion": text} for name, text in CONCLUSIONS.items()])
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nqa\ta\t1\nqb\tb\t1\n", encoding="utf-8")
    return folder


def test_conclusions_are_carried_by_their_own_abstract(abstracts: Path) -> None:
    """Each claim that shares enough with a sentence stands beside it; with a fault, or elsewhere, it is not carried."""
    pairs = list(concluded_pairs(read_dataset(abstracts), abstracts, seed=0))
    carried = {pair.b: pair.a for pair in pairs if pair.label}
    assert list(carried) == [
        "Shortened night shifts improved the sleep of 40 nurses.",
        "Barley makes rats grow faster than oats.",
    ]
    assert "Sleep of nurses improved" in carried["Shortened night shifts improved the sleep of 40 nurses."]
    assert not any(pair.b in carried and pair.a == carried[pair.b] for pair in pairs if not pair.label)
    assert any(not pair.label for pair in pairs)
    assert {pair.weight for pair in pairs} == {CONCLUSION_WEIGHT}
    assert pairs == list(concluded_pairs(read_dataset(abstracts), abstracts, seed=0))


def test_answers_that_are_no_conclusions_make_no_pairs(abstracts: Path) -> None:
    """Answers of another kind give none, nor does a conclusion from no document."""
    lines(abstracts / "answers.jsonl", [{"query_id": "qa", "answers": ["40"]}, {"query_id": "qz", "conclusion": "So."}])
    assert list(concluded_pairs(read_dataset(abstracts), abstracts, seed=0)) == []


def test_all_that_a_fit_is_given_is_learned_from_once(abstracts: Path, tmp_path: Path) -> None:
    """Questions, conclusions and labelled claims come together; a set that is left out teaches nothing."""
    questions, claims = tmp_path / "questions", tmp_path / "wice"
    questions.mkdir()
    claims.mkdir()
    lines(questions / "pairs.jsonl", [{"a": "Who?", "b": f"Who is {n}?", "duplicate": n == 1} for n in range(4)])
    row = {"context": "Cats purr. Dogs bark.", "claim": "Cats bark loudly.", "label": "REFUTES", "split": "dev"}
    lines(claims / "claims.jsonl", [row, {**row, "context": "Cats purr.", "claim": "Cats purr.", "label": "supported"}])
    drawn = list(question_pairs(read_question_set(questions), seed=0))
    assert Counter(pair.label for pair in drawn) == {0: 3, 1: 1}
    assert {pair.weight for pair in drawn} == {QUESTION_WEIGHT}
    found = gathered(FitSupportJob((claims, abstracts, questions), made=4))
    assert set(found.trained_on) == {"wice", "pubmedqa", "questions"}
    kinds = {pair.source.partition(":")[0] for pair in found.pairs}
    assert {"pubmedqa", "questions"} <= kinds
    less = gathered(FitSupportJob((claims, abstracts, questions), made=4, without=("questions",)))
    assert "questions" not in {pair.source for pair in less.pairs}
