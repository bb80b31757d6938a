"""Whether two answers say the same: what a shadow check takes for proof that two questions ask the same."""

from __future__ import annotations

import re

from ragopt.domain import Answer
from ragopt.evidence import words
from ragopt.slots import is_negated, missing, slots_of

# Chosen, not fitted: above what two answers from one document share by chance. Too high costs hits, too low truth.
SAME_SOURCES = 0.5
SAME_WORDS = 0.6
MARKER = re.compile(r"\s*\[\d+\]")


def agree(fresh: Answer, kept: Answer) -> bool:
    """Return whether both answer, from the same sources, in much the same words, with the same facts.

    Strict: of two answers that say the same in very different words, it says that they differ. So what is
    learned from it errs on the side of serving too little.
    """
    if fresh.abstained or kept.abstained:
        return False
    return sources_shared(fresh, kept) >= SAME_SOURCES and texts_agree(fresh.text, kept.text)


def sources_shared(one: Answer, other: Answer) -> float:
    """Return the Jaccard similarity of the chunks that two answers cite, 0 where neither cites any."""
    cited = [{(item.document_id, item.version, item.chunk_id) for item in answer.citations} for answer in (one, other)]
    union = cited[0] | cited[1]
    return len(cited[0] & cited[1]) / len(union) if union else 0.0


def texts_agree(one: str, other: str) -> bool:
    """Return whether two texts share most of their words and have the same numbers, dates and names."""
    texts = [MARKER.sub("", text) for text in (one, other)]
    if words_shared(*texts) < SAME_WORDS:
        return False
    slots = [slots_of(text) for text in texts]
    if is_negated(slots[0]) != is_negated(slots[1]):
        return False
    return not missing(slots[0], texts[1]) and not missing(slots[1], texts[0])


def words_shared(one: str, other: str) -> float:
    """Return Dice's similarity of the topic words of two texts, numbers left out: those are compared as numbers."""
    spoken = [{word for word in words(text) if not any(char.isdigit() for char in word)} for text in (one, other)]
    total = len(spoken[0]) + len(spoken[1])
    return 2 * len(spoken[0] & spoken[1]) / total if total else 0.0
