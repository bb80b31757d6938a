"""Self-made questions from paragraphs: a sentence, less its answer and some of its words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from eval.datasets import Query
from eval.routing.cases import Gold
from indexes.records import Document

SENTENCE = re.compile(r"[^.!?]{40,260}[.!?](?=\s|$)")
YEAR = re.compile(r"\b(?:1[0-9]{3}|20[0-9]{2})\b")
NUMBER = re.compile(r"\b\d[\d,.]*\d\b|\b\d+\b")
NAME = re.compile(r"(?<=[a-z,] )(?:[A-Z][a-z]+(?: [A-Z][a-z]+)+)")
ASKING = {
    "year": ("in what year", "when"),
    "number": ("how many", "what number of"),
    "name": ("who or what", "which name"),
}
KINDS = (("year", YEAR), ("name", NAME), ("number", NUMBER))
# Of the words of the sentence, about this share is kept: a real question does not repeat its source.
KEPT_SHARE = 0.35


def self_made(documents: Sequence[Document], *, count: int, seed: int) -> Iterator[tuple[Query, Gold]]:
    """Yield at most `count` questions with their answers, one per paragraph, the same for the same seed."""
    rng = np.random.default_rng(seed)
    made = 0
    for at in rng.permutation(len(documents)):
        if made >= count:
            return
        if found := question_from(documents[at], rng):
            made += 1
            yield Query(f"made-{documents[at].id}", found[0], "self-made"), Gold((found[1],), "span")


def question_from(document: Document, rng: np.random.Generator) -> tuple[str, str] | None:
    """Return a question and its answer from a random sentence of the paragraph, None if none has an answer."""
    sentences = SENTENCE.findall(document.text)
    for place in rng.permutation(len(sentences)):
        sentence = sentences[place].strip()
        for at in rng.permutation(len(KINDS)):
            kind, pattern = KINDS[at]
            match = pattern.search(sentence)
            if match is None:
                continue
            rest = f"{sentence[: match.start()]} {sentence[match.end() :]}".rstrip(".!? ").split()
            kept = [word for word in rest if rng.random() < KEPT_SHARE]
            if len(kept) >= 3:
                return f"{ASKING[kind][int(rng.integers(2))]} {' '.join(kept)}?", match.group()
    return None
