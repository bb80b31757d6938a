"""Sets of question pairs {a, b, duplicate} and of intents {text, intent}; of the latter pairs are built."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from eval.datasets import Row, rows_in
from eval.errors import DatasetError

Vectors: TypeAlias = NDArray[np.float32]

# The part of an intent set that is measured, where it has parts.
TEST_SPLIT = "test"
# Of each text of an intent set: so many nearest of other intents are candidates for its look-alike.
LOOK_ALIKES = 10


@dataclass(frozen=True, slots=True)
class QuestionPair:
    """Two questions and whether they ask the same. segment: the part of the set, "" where it has none."""

    a: str
    b: str
    same: bool
    segment: str = ""


@dataclass(frozen=True, slots=True)
class Utterance:
    """A question and its intent; `split` is "" where the set has no parts."""

    text: str
    intent: str
    split: str = ""


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """The pairs of a folder; utterances where it is made of intents. digest: of the latter if there are any."""

    name: str
    pairs: tuple[QuestionPair, ...]
    utterances: tuple[Utterance, ...]
    digest: str


def read_question_set(folder: Path) -> QuestionSet:
    """Return what a folder has. Raises: `DatasetError` naming file and line, or if it has neither kind."""
    pairs = tuple(map(pair_of, rows_in(folder, "pairs")))
    utterances = tuple(map(utterance_of, rows_in(folder, "intents")))
    if not pairs and not utterances:
        raise DatasetError(f"{folder}: no pairs.jsonl or intents.jsonl with anything in it")
    digest = hashlib.sha256(repr(utterances or pairs).encode()).hexdigest()[:16]
    return QuestionSet(folder.resolve().name, pairs, utterances, digest)


def pair_of(row: Row) -> QuestionPair:
    """Return the pair in a line. Raises: `DatasetError`."""
    same = row.fields.get("duplicate")
    if not isinstance(same, bool | int) or same not in (0, 1):
        raise DatasetError(f"{row.place}: `duplicate` must be true or false")
    return QuestionPair(row.text("a"), row.text("b"), bool(same), row.optional("domain") or row.optional("segment"))


def utterance_of(row: Row) -> Utterance:
    """Return the utterance in a line. Raises: `DatasetError`."""
    return Utterance(row.text("text"), row.text("intent"), row.optional("split"))


def measured_utterances(utterances: Sequence[Utterance]) -> list[Utterance]:
    """Return the test part of an intent set, all of it where it has none; one of equal texts, in their order."""
    test = [item for item in utterances if item.split == TEST_SPLIT] or list(utterances)
    return list({item.text.casefold(): item for item in reversed(test)}.values())[::-1]


def intent_pairs(utterances: Sequence[Utterance], vectors: Vectors, *, per_text: int, seed: int) -> list[QuestionPair]:
    """Return `per_text` pairs of one intent and as many of two for each utterance that has both, each pair once.

    The former are drawn; the latter are look-alikes, drawn from the nearest of other intents. vectors:
    float32 [n, dim], unit rows.
    """
    rng = np.random.default_rng(seed)
    intents = np.array([item.intent for item in utterances])
    places: dict[str, list[int]] = defaultdict(list)
    for at, intent in enumerate(intents):
        places[intent].append(at)
    found: dict[tuple[int, int], QuestionPair] = {}
    for at, item in enumerate(utterances):
        others = [other for other in places[item.intent] if other != at]
        near = nearest_of_others(vectors, intents, at)
        for same, pool in ((True, others), (False, near)):
            for other in rng.permutation(pool)[:per_text].tolist():
                key = (min(at, other), max(at, other))
                found.setdefault(key, QuestionPair(item.text, utterances[other].text, same, item.intent))
    return list(found.values())


def nearest_of_others(vectors: Vectors, intents: NDArray[np.str_], at: int) -> list[int]:
    """Return the places of the nearest utterances of other intents, nearest first."""
    similar = np.where(intents == intents[at], -2.0, vectors @ vectors[at])
    count = min(LOOK_ALIKES, int((intents != intents[at]).sum()))
    nearest: list[int] = np.argsort(-similar, kind="stable")[:count].tolist()
    return nearest
