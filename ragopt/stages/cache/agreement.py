"""Whether two answers say the same: what a shadow check takes for proof that two questions ask the same."""

from __future__ import annotations

import re

from ragopt.domain import Answer
from ragopt.evidence import words
from ragopt.slots import is_negated, missing, slots_of

# Judged by hand on answers of one model to one question twice: they share their sources, and most of their words.
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
    """Return whether the shorter text's words stand in the other, and both have the same numbers, dates and names."""
    texts = [MARKER.sub("", text) for text in (one, other)]
    spoken = [set(words(text)) for text in texts]
    fewer = min(len(said) for said in spoken)
    if not fewer or len(spoken[0] & spoken[1]) / fewer < SAME_WORDS:
        return False
    slots = [slots_of(text) for text in texts]
    if is_negated(slots[0]) != is_negated(slots[1]):
        return False
    return not missing(slots[0], slots[1], text=texts[1]) and not missing(slots[1], slots[0], text=texts[0])
