"""What the judge of claims is trained on: pairs of evidence and claim, from labelled sets, answers and paragraphs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from eval.pairs.values import Pair
from eval.support.edits import EDITS, Rng, digits_in, names_in, reworded
from eval.support.sets import ClaimCase, passage_of_text
from indexes.records import Document
from ragopt.evidence import word_scores, words
from ragopt.stages.cite.evidence import Units

CARRIED, NOT_CARRIED = 1, 0
# Of a sentence that is to become a claim.
MIN_WORDS, MAX_WORDS = 6, 40
MIN_CLAIM_WORDS = 3
MAX_EVIDENCE = 3
OTHER_NAMES = 400


def labelled_pairs(cases: Sequence[ClaimCase], *, source: str) -> Iterator[Pair]:
    """Yield pairs of a labelled set: what people marked as evidence, and what our search finds, as the judge sees it.

    A claim that is not supported is supported by none of its candidates. Of a supported one only the marked evidence
    carries it for certain, and a candidate that is part of it; others are left out.
    """
    for case in cases:
        texts = [case.passage.source_text(*unit) for unit in case.passage.units]
        marked = [" ".join(texts[at] for at in chosen) for chosen in case.evidence[:MAX_EVIDENCE] if len(chosen) <= 4]
        for claim in case.claims:
            found = [candidate.text for candidate in Units([case.passage]).candidates(claim)]
            if case.supported:
                carrying = [text for text in found if any(text in known or known in text for known in marked)]
                yield from (Pair(text, claim, CARRIED, source=source) for text in dict.fromkeys([*marked, *carrying]))
            else:
                yield from (Pair(text, claim, NOT_CARRIED, source=source) for text in dict.fromkeys([*found, *marked]))


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a document that can become a claim, and its place among the document's sentences."""

    document: int
    at: int
    text: str


def made_pairs(documents: Sequence[Document], *, count: int, source: str, seed: int) -> Iterator[Pair]:
    """Yield about `count` pairs made from documents: a claim of one sentence, beside it, beside others, and spoiled.

    Of every claim: one pair that carries it, one or two with a planted fault, and one with the sentence of the same
    document that shares most words with it but is another.
    """
    rng = np.random.default_rng(seed)
    made = 0
    sentences = [
        [document.text[slice(*unit)] for unit in passage_of_text(document.text).units] for document in documents
    ]
    names = [
        name for at in rng.permutation(len(documents))[:OTHER_NAMES].tolist() for name in names_in(documents[at].text)
    ]
    for document in rng.permutation(len(documents)).tolist():
        texts = sentences[document]
        fitting = [
            at for at, text in enumerate(texts) if MIN_WORDS <= len(text.split()) <= MAX_WORDS and text[-1:] == "."
        ]
        if not fitting or made >= count:
            continue
        at = fitting[int(rng.integers(len(fitting)))]
        found = list(of_sentence(texts, at, rng=rng, names=names, source=source))
        made += len(found)
        yield from found


def of_sentence(texts: Sequence[str], at: int, *, rng: Rng, names: Sequence[str], source: str) -> Iterator[Pair]:
    """Yield the pairs of one sentence of a document."""
    claim = reworded(texts[at], rng)
    if len(words(claim)) < MIN_CLAIM_WORDS:
        return
    evidence = around(texts, at, rng)
    yield Pair(evidence, claim, CARRIED, source=f"{source}:carried")
    whole = " ".join(texts)
    known = {
        "number": digits_in(whole),
        "name": [*names_in(whole), *(names[int(rng.integers(len(names)))] for _ in range(6))] if names else [],
    }
    kinds = list(EDITS)
    spoiled = 0
    for kind in (kinds[place] for place in rng.permutation(len(kinds)).tolist()):
        changed = EDITS[kind](claim, rng, known.get(kind, []))
        if changed and changed != claim and spoiled < 2:
            spoiled += 1
            yield Pair(evidence, changed, NOT_CARRIED, source=f"{source}:{kind}")
    if (near := nearest_other(texts, at, claim)) is not None:
        yield Pair(near, claim, NOT_CARRIED, source=f"{source}:near")


def around(texts: Sequence[str], at: int, rng: Rng) -> str:
    """Return a sentence, or it with a neighbour, as the judge's candidates come."""
    draw = rng.random()
    if draw < 0.3 and at + 1 < len(texts):
        return f"{texts[at]} {texts[at + 1]}"
    if draw < 0.5 and at > 0:
        return f"{texts[at - 1]} {texts[at]}"
    return texts[at]


def nearest_other(texts: Sequence[str], at: int, claim: str) -> str | None:
    """Return the other sentence that shares most with a claim, None where none shares a word."""
    scores = word_scores(words(claim), [words(text) for text in texts])
    others = [place for place in range(len(texts)) if place != at and scores[place] > 0]
    return texts[max(others, key=lambda place: scores[place])] if others else None


def made_cases(documents: Sequence[Document], *, count: int, source: str, seed: int) -> Iterator[ClaimCase]:
    """Yield `count` claims made from documents, half of them with a planted fault, each beside its whole document."""
    rng = np.random.default_rng(seed + 1)
    names = [name for document in documents[:OTHER_NAMES] for name in names_in(document.text)]
    made = 0
    for document in documents:
        passage = passage_of_text(document.text)
        texts = [document.text[slice(*unit)] for unit in passage.units]
        fitting = [text for text in texts if MIN_WORDS <= len(text.split()) <= MAX_WORDS and text[-1:] == "."]
        if not fitting or made >= count:
            continue
        claim = reworded(fitting[int(rng.integers(len(fitting)))], rng)
        kind = list(EDITS)[made // 2 % len(EDITS)] if made % 2 else ""
        known = digits_in(document.text) if kind == "number" else drawn(names, 8, rng)
        changed = EDITS[kind](claim, rng, known) if kind else claim
        if changed is None or len(words(changed)) < MIN_CLAIM_WORDS or (kind and changed == claim):
            continue
        made += 1
        label = kind or "supported"
        yield ClaimCase(f"{source}-{made}", (changed,), passage, label, kind or "carried", "", evidence=())


def drawn(items: Sequence[str], count: int, rng: Rng) -> list[str]:
    """Return so many of the items, drawn with repetition; [] of none."""
    return [items[int(rng.integers(len(items)))] for _ in range(count)] if items else []
