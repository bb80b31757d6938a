"""Claims in other words than their evidence: conclusions of abstracts, and questions that ask the same or do not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from eval.cache.sets import QuestionSet
from eval.datasets import Dataset, jsonl_file, rows_of
from eval.pairs.values import Pair
from eval.support.answered import spoiled
from eval.support.pairs import CARRIED, NOT_CARRIED
from eval.support.sets import claims_in, passage_of_text
from ragopt.evidence import words
from ragopt.stages.cite.evidence import Units

# Nobody marked which sentence carries a conclusion: one with fewer of its words is not taken for the one.
CARRYING_SHARE = 0.35
MIN_CLAIM_WORDS = 4
# Beside labelled claims, which weigh 1: conclusions are beside likely evidence, and questions are no claims.
CONCLUSION_WEIGHT, QUESTION_WEIGHT = 0.7, 0.4
QUESTION_PAIRS = 6_000


def concluded_pairs(dataset: Dataset, folder: Path, *, seed: int) -> Iterator[Pair]:
    """Yield pairs of a folder whose `answers` are the conclusions that authors drew from a judged document.

    Each claim of a conclusion beside the likeliest sentences of its document carries, with a planted fault it does
    not; beside those of another document it does not either. Raises: `DatasetError`.
    """
    rng = np.random.default_rng(seed)
    answers = rows_of(jsonl_file(folder, "answers"))
    rows = [row for row in answers if "conclusion" in row.fields and row.text("query_id") in dataset.qrels]
    texts = {document.id: document.text for document in dataset.documents}
    sources = [next(iter(dataset.qrels[row.text("query_id")])) for row in rows]
    units = {source: Units([passage_of_text(texts[source])]) for source in dict.fromkeys(sources)}
    for row, own in zip(rows, sources, strict=True):
        other = units[sources[int(rng.integers(len(sources)))]]
        for claim in claims_in(row.text("conclusion")):
            wanted = set(words(claim))
            found = units[own].candidates(claim)
            if len(wanted) < MIN_CLAIM_WORDS or not found:
                continue
            evidence = found[0].text
            carries = len(wanted & set(words(evidence))) >= CARRYING_SHARE * len(wanted)
            pairs = [Pair(evidence, claim, CARRIED, source=f"{folder.name}:conclusion")] if carries else []
            foreign = other.candidates(claim)[:1]
            pairs += [Pair(near.text, claim, NOT_CARRIED, source=f"{folder.name}:other") for near in foreign]
            pairs += spoiled(claim, evidence, evidence, rng=rng, source=folder.name) if carries else []
            yield from (replace(pair, weight=CONCLUSION_WEIGHT) for pair in pairs)


def question_pairs(questions: QuestionSet, *, seed: int) -> Iterator[Pair]:
    """Yield drawn pairs of questions: one that asks the same says the same, in other words."""
    order = np.random.default_rng(seed).permutation(len(questions.pairs))[:QUESTION_PAIRS].tolist()
    for pair in (questions.pairs[at] for at in order):
        label = CARRIED if pair.same else NOT_CARRIED
        yield Pair(pair.a, pair.b, label, weight=QUESTION_WEIGHT, source=questions.name)
