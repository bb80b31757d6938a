"""Text to sentence spans, by spaCy's blank English pipeline and its rule-based sentencizer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from indexes.records import Span

if TYPE_CHECKING:
    from spacy.language import Language

# spaCy refuses texts over 1,000,000 characters; a paragraph of this size is a file without structure.
MAX_PARAGRAPH_CHARS = 100_000
OPENERS = frozenset("*_`([{\"'“‘«")


# spaCy keeps every word that it has ever seen: 160 bytes for each that is new. Beyond so many it begins anew, in 0.1 s.
MOST_WORDS = 50_000


def sentencizer() -> Language:
    """Return the pipeline: a tokenizer that knows abbreviations and the sentencizer, no model; bounded in memory."""
    pipeline = loaded()
    if len(pipeline.vocab.strings) <= MOST_WORDS:
        return pipeline
    # Whoever is at work with the old one keeps it until then.
    loaded.cache_clear()
    return loaded()


@cache
def loaded() -> Language:
    """Return a pipeline that has seen nothing yet, the same one until the cache is cleared."""
    # Hidden for the first import only: later somebody else may be importing it.
    with nullcontext() if "spacy" in sys.modules else hidden_module("torch"):
        import spacy
    pipeline = spacy.blank("en")
    pipeline.add_pipe("sentencizer")
    return pipeline


@contextmanager
def hidden_module(name: str) -> Iterator[None]:
    """Let imports in the block believe that a module which is not loaded yet is not installed.

    spaCy's tensor library imports torch wherever it finds it: a second and 180 MB that a pipeline
    without a model never uses. Whoever needs torch loads it before the first text is chunked.
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


def sentence_spans(text: str, start: int, end: int) -> Iterator[Span]:
    """Yield the spans of the sentences of `text[start:end]`, ascending, without surrounding white space."""
    for piece_start, piece_end in pieces(text, start, end):
        part = text[piece_start:piece_end]
        # The sentencizer leaves a mark that opens the next sentence, as in "Done. **Next** …", with the one before.
        ends = [before_openers(part, sentence.end_char) for sentence in sentencizer()(part).sents]
        for begin, end in pairwise([0, *ends[:-1], len(part)]):
            span = trimmed(text, piece_start + begin, piece_start + end)
            if span[0] < span[1]:
                yield span


def before_openers(text: str, end: int) -> int:
    """Return `end`, or where the opening quotes, brackets and emphasis marks begin that stand apart before it."""
    start = end
    while start > 0 and text[start - 1].isspace():
        start -= 1
    close = start
    while start > 0 and text[start - 1] in OPENERS:
        start -= 1
    return start if start < close and start > 0 and text[start - 1].isspace() else end


def pieces(text: str, start: int, end: int) -> Iterator[Span]:
    """Yield spans of at most 100,000 characters that cover [start, end), cut after white space where there is some."""
    while end - start > MAX_PARAGRAPH_CHARS:
        cut = text.rfind(" ", start, start + MAX_PARAGRAPH_CHARS) + 1
        cut = cut if cut > start else start + MAX_PARAGRAPH_CHARS
        yield start, cut
        start = cut
    yield start, end


def trimmed(text: str, start: int, end: int) -> Span:
    """Return the span without white space at its edges; empty at `start` if nothing else is there."""
    part = text[start:end]
    inner = part.strip()
    if not inner:
        return start, start
    offset = start + part.index(inner)
    return offset, offset + len(inner)
