"""A document in pieces that are one thing to a reader: a sentence, a line, a value; each with its surroundings.

An injected instruction is short and seldom fits what stands around it, so both are judged together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Where something new begins: a line, a sentence, a quoted value, a cell.
EDGE = re.compile(r"\n+|(?<=[.!?。！？])[\"'”’)]*\s+|(?<=[。！？])|[\"'],?\s*[,:}\]]+\s*[{\[]*|\s*\|\s*|(?<=>)\s*(?=<)")
# Within a line, a piece of fewer words goes with the next; of more, it is cut.
FEWEST_WORDS, MOST_WORDS = 4, 60
# A value between quotation marks stands alone, as the values of records do.
QUOTES = ("'", '"')
AROUND_CHARS = 160
# Of a question, which is judged whole where it is not longer.
WINDOW_WORDS = 90


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text at [start, end), and what stands around it: the end of what is before, the beginning after."""

    start: int
    end: int
    text: str
    around: str


def pieces(text: str) -> list[Piece]:
    """Return the pieces of a document in order, white space between them left out; [] for none."""
    spans = list(cut(text, list(merged(text))))
    return [Piece(start, end, text[start:end], surroundings(text, start, end)) for start, end in spans]


def merged(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans between edges; one of few words together with the next of its line."""
    begin, position = 0, 0
    for edge in EDGE.finditer(text):
        position = edge.start()
        fewest = 1 if "\n" in edge.group() or edge.group().startswith(QUOTES) else FEWEST_WORDS
        if len(text[begin:position].split()) >= fewest:
            yield begin, position
            begin = edge.end()
    if text[begin:].strip():
        yield begin, len(text)


def cut(text: str, spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the spans without white space around, those of too many words in parts."""
    for start, end in spans:
        words = [start + word.start() for word in re.finditer(r"\S+", text[start:end])]
        for at in range(0, len(words), MOST_WORDS):
            stop = words[at + MOST_WORDS] if at + MOST_WORDS < len(words) else end
            yield words[at], words[at] + len(text[words[at] : stop].rstrip())


def surroundings(text: str, start: int, end: int) -> str:
    """Return what stands around a span, white space single, with a gap where the span is."""
    before, after = text[max(0, start - AROUND_CHARS) : start], text[end : end + AROUND_CHARS]
    return " … ".join(part for part in (" ".join(before.split()), " ".join(after.split())) if part)


def windows(text: str) -> list[str]:
    """Return a question in parts of at most 90 words that overlap by half; one part for a short one."""
    words = list(re.finditer(r"\S+", text))
    if len(words) <= WINDOW_WORDS:
        return [text.strip()] if words else []
    step = WINDOW_WORDS // 2
    starts = range(0, len(words) - step, step)
    return [text[words[at].start() : words[min(at + WINDOW_WORDS, len(words)) - 1].end()] for at in starts]
