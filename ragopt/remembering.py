"""Results of functions of a text that are asked for again: of many short texts and of few long ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

T = TypeVar("T")

# A sentence is short; the text of a whole context is long, and what is read out of it takes 50 kB.
SHORT_CHARS = 600
SHORT_KEPT, LONG_KEPT = 4_096, 64


def remembered(function: Callable[[str], T]) -> Callable[[str], T]:
    """Return the function, which keeps its latest results: those of 4,096 short texts, and of 64 long ones.

    Long texts come back within one answer only; kept like short ones they would take hundreds of megabytes.
    """
    of_short = lru_cache(maxsize=SHORT_KEPT)(function)
    of_long = lru_cache(maxsize=LONG_KEPT)(function)

    @wraps(function)
    def kept(text: str) -> T:
        return of_short(text) if len(text) <= SHORT_CHARS else of_long(text)

    return kept
