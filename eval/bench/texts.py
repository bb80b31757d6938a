"""What the benchmarks ingest and ask: a data folder, or text made from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.datasets import read_dataset
from indexes.records import Document

GENERATED = "generated"
# A generated document fills about ten chunks of 100 tokens.
SENTENCES = 60
SUBJECTS = ("pump", "valve", "ledger", "turbine", "permit", "orchard", "archive", "reactor", "harbour", "contract")
PARTS = ("pressure", "schedule", "budget", "temperature", "licence", "yield", "index", "inspection", "fee", "clause")
VERBS = ("exceeds", "precedes", "limits", "replaces", "confirms", "delays", "requires", "records", "follows", "cancels")
PLACES = ("Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Ginkgo", "Hazel", "Ironwood", "Juniper")


@dataclass(frozen=True, slots=True)
class BenchTexts:
    """Documents and questions without end: those of a folder first, then generated ones; the same for a seed.

    chunks: how many an index for timing should hold at least.
    """

    name: str
    documents_given: tuple[Document, ...]
    questions_given: tuple[str, ...]
    chunks: int
    seed: int

    @classmethod
    def of(cls, folder: Path | None, *, chunks: int, seed: int) -> BenchTexts:
        """Return the texts of a folder, or only generated ones for None. Raises: `DatasetError`."""
        if folder is None:
            return cls(GENERATED, (), (), chunks, seed)
        dataset = read_dataset(folder)
        distinct = tuple(dict.fromkeys(query.text for query in dataset.queries))
        return cls(dataset.name, dataset.documents, distinct, chunks, seed)

    def documents(self) -> Iterator[Document]:
        """Yield documents without end, each id once."""
        yield from self.documents_given
        rng = np.random.default_rng(self.seed)
        number = 0
        while True:
            number += 1
            text = " ".join(sentence(rng, number) for _ in range(SENTENCES))
            yield Document(id=f"{GENERATED}/{number}", text=text, title=f"Report {number}")

    def questions(self) -> Iterator[str]:
        """Yield questions without end, no two the same."""
        yield from self.questions_given
        rng = np.random.default_rng(self.seed + 1)
        number = 0
        while True:
            number += 1
            subject, part, place = (picked(rng, words) for words in (SUBJECTS, PARTS, PLACES))
            yield f"What does entry {number} say of the {part} of the {subject} at {place}?"


def sentence(rng: np.random.Generator, number: int) -> str:
    """Return one sentence about things drawn from `rng`, which names its document's number."""
    subject, other = picked(rng, SUBJECTS), picked(rng, SUBJECTS)
    part, verb, place = picked(rng, PARTS), picked(rng, VERBS), picked(rng, PLACES)
    amount = int(rng.integers(10, 10_000))
    return f"In entry {number} the {part} of the {subject} at {place} {verb} {amount} units of the {other}."


def picked(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    """Return one of the words."""
    return words[int(rng.integers(len(words)))]
