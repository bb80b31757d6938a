"""Answers that people wrote from passages, and the sentences they took: claims that are carried in other words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from eval.datasets import jsonl_file, rows_of
from eval.pairs.values import Pair
from eval.support.edits import EDITS, Rng, digits_in, names_in
from eval.support.pairs import CARRIED, NOT_CARRIED
from eval.support.sets import claims_in

# Of the claims, those that stand beside another answer's sentences as well; and faults tried on each claim.
OTHERS_SHARE = 0.3
FAULTS = 2


def answered_pairs(folder: Path, *, seed: int) -> Iterator[Pair]:
    """Yield pairs of a folder's `answers` that name the sentences they rest on; nothing where they do not.

    Each claim of an answer beside all of those sentences carries, with a planted fault it does not; beside the
    sentences of another answer it does not either. Raises: `DatasetError`.
    """
    rng = np.random.default_rng(seed)
    known = [(claims_in(answer), evidence) for answer, evidence in answers_of(folder)]
    for place, (claims, evidence) in enumerate(known):
        other = known[(place + 1 + int(rng.integers(max(1, len(known) - 1)))) % len(known)][1]
        for claim in claims:
            yield Pair(evidence, claim, CARRIED, source=f"{folder.name}:answer")
            if rng.random() < OTHERS_SHARE:
                yield Pair(other, claim, NOT_CARRIED, source=f"{folder.name}:other")
            yield from spoiled(claim, evidence, other, rng=rng, source=folder.name)


def spoiled(claim: str, evidence: str, other: str, *, rng: Rng, source: str) -> Iterator[Pair]:
    """Yield a claim with faults beside its evidence; names may come from another answer's evidence."""
    known = {"number": digits_in(evidence), "name": names_in(f"{evidence} {other}")}
    for kind in rng.permutation(list(EDITS))[:FAULTS].tolist():
        changed = EDITS[kind](claim, rng, known.get(kind, []))
        if changed and changed != claim:
            yield Pair(evidence, changed, NOT_CARRIED, source=f"{source}:{kind}")


def answers_of(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield each answer of a folder with the sentences it was written from, joined."""
    for row in rows_of(jsonl_file(folder, "answers")):
        listed = row.fields.get("answers")
        for item in listed if isinstance(listed, list) else []:
            if not isinstance(item, dict):
                continue
            answer, chosen = item.get("answer"), item.get("selected_sentences")
            if isinstance(answer, str) and isinstance(chosen, list) and chosen:
                yield answer, " ".join(str(sentence) for sentence in chosen)
