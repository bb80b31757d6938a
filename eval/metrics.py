"""What contexts and rankings are scored by: pure functions over spans of characters and over document ids.

Source of the spans' part: Smith and Troynikov, "Evaluating Chunking Strategies for Retrieval", Chroma technical report,
2024, section "Metrics", and its code, brandonstarxel/chunking_evaluation. It counts tokens in the
text and characters in the code; here it is characters.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from indexes.records import Span

# Document id to spans of its text; code points, half open.
Spans: TypeAlias = Mapping[str, Sequence[Span]]


@dataclass(frozen=True, slots=True)
class Overlap:
    """Characters of one question's context against its reference.

    reference: characters that should be there. context: characters that are, one that is sent twice
    counted twice. shared: reference characters that are in the context, each once.
    """

    reference: int
    context: int
    shared: int

    def recall(self) -> float:
        """Return shared / reference, in [0, 1]; 0 without a reference. Source: as the module."""
        return self.shared / self.reference if self.reference else 0.0

    def precision(self) -> float:
        """Return shared / context, in [0, 1]; 0 for an empty context. Source: as the module."""
        return self.shared / self.context if self.context else 0.0

    def iou(self) -> float:
        """Return shared / (context + reference not found), in [0, 1]; 0 if both are empty. Source: as the module."""
        union = self.context + self.reference - self.shared
        return self.shared / union if union else 0.0


def overlap(context: Spans, reference: Spans) -> Overlap:
    """Return how the spans of a context cover the reference, document by document.

    Overlapping spans of the reference count once; a document the context names and the reference does
    not adds to `context` alone, one that only the reference names adds to `reference` alone.
    """
    wanted = {document: merged(spans) for document, spans in reference.items()}
    return Overlap(
        reference=sum(length(spans) for spans in wanted.values()),
        context=sum(length(spans) for spans in context.values()),
        shared=sum(shared_length(merged(context.get(document, ())), spans) for document, spans in wanted.items()),
    )


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return the union of spans as ascending, disjoint, not touching spans; empty spans left out."""
    union: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if union and start <= union[-1][1]:
            union[-1] = (union[-1][0], max(union[-1][1], end))
        else:
            union.append((start, end))
    return union


def shared_length(left: Sequence[Span], right: Sequence[Span]) -> int:
    """Return how many characters two ascending, disjoint lists of spans have in common."""
    total, i, j = 0, 0, 0
    while i < len(left) and j < len(right):
        total += max(0, min(left[i][1], right[j][1]) - max(left[i][0], right[j][0]))
        if left[i][1] <= right[j][1]:
            i += 1
        else:
            j += 1
    return total


def length(spans: Iterable[Span]) -> int:
    """Return the summed length of spans, overlaps counted again."""
    return sum(end - start for start, end in spans)


def ndcg_at(ranking: Sequence[str], grades: Mapping[str, int], *, k: int) -> float:
    """Return nDCG of the first `k` of a ranking without repeats, in [0, 1]; 0 if nothing is relevant.

    The gain of a grade is the grade itself, the discount of a rank log2(1 + rank), rank from 1; the ideal is
    the best ranking of all graded documents. A document without a grade, or with one below 0, gains 0.
    It is what trec_eval calls `ndcg_cut`, so that it compares with published figures.

    Source: Järvelin, Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4), 2002.
    The other gain in use, 2^grade - 1 (Burges et al., ICML 2005), gives the same where grades are 0 and 1.
    """
    ideal = sorted((max(grade, 0) for grade in grades.values()), reverse=True)
    best = discounted(ideal[:k])
    return discounted([max(grades.get(item, 0), 0) for item in ranking[:k]]) / best if best else 0.0


def discounted(gains: Sequence[int]) -> float:
    """Return the sum of gains, each divided by log2(1 + rank), rank from 1. Source: as `ndcg_at`."""
    return sum(value / math.log2(1 + rank) for rank, value in enumerate(gains, start=1))


def recall_at(ranking: Sequence[str], grades: Mapping[str, int], *, k: int) -> float:
    """Return the share of the relevant documents, those graded above 0, that are among the first `k`.

    In [0, 1]; 0 if nothing is relevant. The divisor is all that are relevant, even where that is more than `k`.

    Source: Manning, Raghavan, Schütze, "Introduction to Information Retrieval", 2008, sections 8.3 and 8.4.
    """
    relevant = {item for item, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranking[:k])) / len(relevant) if relevant else 0.0


def reciprocal_rank_at(ranking: Sequence[str], grades: Mapping[str, int], *, k: int) -> float:
    """Return 1 / rank of the first relevant document, one graded above 0, rank from 1; 0 if none is in the first `k`.

    Its mean over questions is MRR@k. Source: Voorhees, "The TREC-8 Question Answering Track Report", 1999.
    """
    return next((1 / rank for rank, item in enumerate(ranking[:k], start=1) if grades.get(item, 0) > 0), 0.0)
