"""Sets of pairs and of intents, the pairs that are built of intents, and parts without a common question."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.cache.sets import QuestionPair, Utterance, intent_pairs, measured_utterances, read_question_set
from eval.cache.splits import held_out, key_of
from eval.errors import DatasetError


def written(folder: Path, name: str, *rows: object) -> Path:
    """Write a JSON lines file and return its folder."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_both_kinds_are_read(tmp_path: Path) -> None:
    """Pairs and utterances come in file order; the digest is of the latter where there are any."""
    folder = written(tmp_path / "bank", "pairs", {"a": "x", "b": "y", "duplicate": True, "domain": "cards"})
    assert read_question_set(folder).pairs == (QuestionPair("x", "y", same=True, segment="cards"),)
    before = read_question_set(folder).digest
    written(folder, "intents", {"text": "x", "intent": "lost", "split": "test"})
    found = read_question_set(folder)
    assert found.utterances == (Utterance("x", "lost", "test"),)
    assert (found.name, found.digest != before) == ("bank", True)


def test_what_is_no_set_is_refused(tmp_path: Path) -> None:
    """An empty folder, a label that is no truth value and a missing text are named with their place."""
    with pytest.raises(DatasetError, match=r"no pairs\.jsonl or intents\.jsonl"):
        read_question_set(tmp_path)
    with pytest.raises(DatasetError, match=r"pairs\.jsonl:1: `duplicate` must be true or false"):
        read_question_set(written(tmp_path, "pairs", {"a": "x", "b": "y", "duplicate": "yes"}))
    with pytest.raises(DatasetError, match=r"pairs\.jsonl:1: `b` must be a string"):
        read_question_set(written(tmp_path, "pairs", {"a": "x", "duplicate": 1}))


def test_the_test_part_is_measured() -> None:
    """Where an intent set has a test part only that counts; of equal texts the first."""
    rows = [Utterance("a", "x", "train"), Utterance("b", "x", "test"), Utterance("B", "y", "test")]
    assert measured_utterances(rows) == rows[1:2]
    assert measured_utterances([Utterance("a", "x"), Utterance("b", "x")]) == [Utterance("a", "x"), Utterance("b", "x")]


def test_pairs_of_intents_are_look_alikes() -> None:
    """Each text has a pair of its own intent and one with the nearest texts of others, the same for the same seed."""
    texts = [Utterance(f"{intent} {number}", intent) for intent in ("lost", "stolen", "late") for number in range(12)]
    vectors = np.random.default_rng(0).normal(size=(len(texts), 8)).astype(np.float32)
    vectors[:24, 0] += 9  # lost and stolen look alike
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = intent_pairs(texts, vectors, per_text=1, seed=3)
    assert pairs == intent_pairs(texts, vectors, per_text=1, seed=3)
    assert len({frozenset((pair.a, pair.b)) for pair in pairs}) == len(pairs)
    kinds = [(pair.a.split()[0], pair.b.split()[0]) for pair in pairs]
    assert all((a == b) == pair.same for (a, b), pair in zip(kinds, pairs, strict=True))
    assert all({a, b} == {"lost", "stolen"} for a, b in kinds if a != b and a != "late")
    assert 20 < sum(pair.same for pair in pairs) <= 36


def test_a_lone_intent_has_no_pair() -> None:
    """A text whose intent no other has gets look-alikes alone; one intent gives no look-alikes."""
    vectors = np.eye(2, dtype=np.float32)
    assert [p.same for p in intent_pairs([Utterance("a", "x"), Utterance("b", "y")], vectors, per_text=1, seed=0)] == [
        False
    ]
    assert [p.same for p in intent_pairs([Utterance("a", "x"), Utterance("b", "x")], vectors, per_text=1, seed=0)] == [
        True
    ]


letters = st.sampled_from("abcdefghijklmnopqrstuvwxyzABCDE")


@given(st.lists(st.tuples(letters, letters, st.booleans()), max_size=60))
def test_no_question_is_in_both_parts(rows: list[tuple[str, str, bool]]) -> None:
    """Whatever pairs share a question, whatever its case, stay together, and none is lost."""
    pairs = [QuestionPair(a, b, same) for a, b, same in rows]
    train, test = held_out(pairs, share=0.5, salt="x")
    seen = [{key_of(text) for pair in part for text in (pair.a, pair.b)} for part in (train, test)]
    assert not seen[0] & seen[1]
    assert sorted(map(repr, train + test)) == sorted(map(repr, pairs))


def test_the_share_is_about_what_was_asked() -> None:
    """Of pairs that share nothing about that share is held out, others for another salt."""
    pairs = [QuestionPair(f"a{n}", f"b{n}", same=True) for n in range(2_000)]
    first, second = (held_out(pairs, share=0.2, salt=salt)[1] for salt in ("x", "y"))
    assert 320 < len(first) < 480
    assert first != second
