"""What a context is scored by: pure functions over spans of characters.

Source: Smith and Troynikov, "Evaluating Chunking Strategies for Retrieval", Chroma technical report,
2024, section "Metrics", and its code, brandonstarxel/chunking_evaluation. It counts tokens in the
text and characters in the code; here it is characters.
"""

from __future__ import annotations

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
