"""Text to chunks with exact spans: structure first, then sentences, then tokens.

A text is read as blocks (headings, list items, table rows, code lines, paragraphs). Each block is
one unit, a paragraph or a list item one unit per sentence. Chunks are runs of whole units that tear
apart as little as they can; a chunk never crosses a heading. Spans index the text as it is: nothing is altered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

from indexes.breaks import Unit, best_runs
from indexes.lines import with_plain_breaks
from indexes.records import ChunkSpan, IndexKnobs, Span
from indexes.sentences import sentence_spans, trimmed
from indexes.structure import Block, blocks
from indexes.tables import is_separator

CountTokens: TypeAlias = Callable[[Sequence[str]], list[int]]

COUNTER = re.compile(r"\(?(?:\d{1,3}|[a-zA-Z])[.)]")
SOFT_BREAK = re.compile(r"[;:,.!?)\]]\s+|\\n|\s+")
STOPS = (".", "!", "?", '."', ".”", ".)", ";")

# A unit over this many chunk sizes is cut at punctuation or white space, if no sentence is that long: one of 139 tokens
# stays whole where chunks have 60.
MAX_UNIT_CHUNKS = 2
LONG_SENTENCE_TOKENS = 200
# Measured with `python -m eval context` at 400 tokens: 90.5 % with all of these, 88.9 % with headings alone, on
# finance reports 84.6 and 79.7 %.
# How much is indexed with a chunk of the sentence that leads into its list, table or code, of the sentence
# before it in its paragraph, of a table's header and of the items around its own.
INTRO_CHARS = 300
SENTENCE_CHARS = 100
HEAD_CHARS = 80
PARENT_CHARS = 60
MAX_PARENTS = 3
# All that is told of what stands above a chunk: it is stored with each.
ABOVE_CHARS = 400


def chunk_text(text: str, knobs: IndexKnobs, *, count_tokens: CountTokens) -> list[ChunkSpan]:
    """Return the chunks of `text` in text order, disjoint, of about `knobs.chunk_tokens` tokens each.

    Every character that is not white space lies in exactly one unit of one chunk; in a dump of strings
    an escaped line break is white space. [] for text without any. A unit over twice the target, and over
    200 tokens, is cut at punctuation or white space.
    """
    view = with_plain_breaks(text)
    above = Above(view)
    chunks: list[ChunkSpan] = []
    for section in sections(sized_units(view, knobs.chunk_tokens, count_tokens=count_tokens)):
        for run in best_runs(section, knobs.chunk_tokens):
            spans = tuple((unit.start, unit.end) for unit in run)
            chunks.append(ChunkSpan(run[0].start, run[-1].end, spans, above.over(run)))
    return chunks


class Above:
    """What stands above a chunk while a text is read: headings, and what leads into its list, table or code."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._headings: list[Unit] = []
        self._last: Unit | None = None
        self._intro: Unit | None = None
        self._parents: list[Unit] = []
        self._heads: list[Unit] = []

    def over(self, run: Sequence[Unit]) -> str:
        """Return what stands above the next chunk and not in it, outermost first, joined by ` > `.

        Its end where it is long; "" for nothing.
        """
        first, before = run[0], self._last
        self._pass(first)
        leading = list(self._leading(first, before))
        for unit in run[1:]:
            self._pass(unit)
        titles = [unit.block.title for unit in self._headings if unit.end <= first.start]
        return " > ".join(part for part in (*titles, *leading) if part)[-ABOVE_CHARS:]

    def _leading(self, first: Unit, before: Unit | None) -> Iterator[str]:
        """Yield what leads into a chunk that begins with `first`, behind `before`."""
        block = first.block
        if before is not None and before.block is block and block.kind == "prose":
            yield self._ending(before, SENTENCE_CHARS)
        if not (block.depth or block.kind in ("row", "code")):
            return
        if self._intro is not None:
            yield self._ending(self._intro, INTRO_CHARS)
        parents = [unit for unit in self._parents if unit is not first and unit.block.depth <= block.depth]
        for unit in parents[-MAX_PARENTS:]:
            yield self._beginning(unit, PARENT_CHARS)
        for unit in self._heads:
            if unit is not first:
                yield self._beginning(unit, HEAD_CHARS)

    def _pass(self, unit: Unit) -> None:
        """Go on to the next unit."""
        block, last = unit.block, self._last
        if block.kind == "heading":
            self._headings = [item for item in self._headings if item.block.level < block.level]
            self._headings.append(unit)
        if last is None or last.block.group != block.group:
            leads = last is not None and last.block.kind in ("prose", "item")
            self._intro = last if leads else None
            self._parents = []
        if last is None or last.block.part != block.part:
            self._heads = []
            self._parents = [item for item in self._parents if item.block.depth < block.depth + (block.kind != "item")]
        if block.kind == "item" and (last is None or last.block is not block):
            self._parents.append(unit)
        if block.head and not is_separator(self._text[unit.start : unit.end].strip()):
            self._heads.append(unit)
        self._last = unit

    def _beginning(self, unit: Unit, limit: int) -> str:
        words = one_line(self._text[unit.start : unit.end])
        return words if len(words) <= limit else words[:limit].rpartition(" ")[0]

    def _ending(self, unit: Unit, limit: int) -> str:
        words = one_line(self._text[unit.start : unit.end])
        return words if len(words) <= limit else words[-limit:].partition(" ")[2]


def one_line(text: str) -> str:
    """Return `text` with every run of white space as one space and none at the ends."""
    return " ".join(text.split())


def sized_units(text: str, chunk_tokens: int, *, count_tokens: CountTokens) -> list[Unit]:
    """Return the units of `text` with their token counts, in text order."""
    parts = [(span, block) for block in blocks(text) for span in unit_spans(text, block)]
    counts = count_tokens([text[start:end] for (start, end), _ in parts])
    units: list[Unit] = []
    longest = max(MAX_UNIT_CHUNKS * chunk_tokens, LONG_SENTENCE_TOKENS)
    for ((start, end), block), tokens in zip(parts, counts, strict=True):
        ending = text[max(start, end - 2) : end]
        unit = Unit(start, end, tokens, block, colon=ending.endswith(":"), stop=ending.endswith(STOPS))
        units += [unit] if tokens <= longest else cut_unit(text, unit, chunk_tokens)
    return units


def unit_spans(text: str, block: Block) -> list[Span]:
    """Return the spans of a block's units, which cover it: its sentences for prose and list items, else the block."""
    start, end = trimmed(text, block.start, block.end)
    if block.kind not in ("prose", "item"):
        return [(start, end)]
    spans: list[Span] = []
    begins = start
    for _, stop in sentence_spans(text, block.body, block.stop):
        first = trimmed(text, begins, stop)[0]
        # "14." and "b)" count what follows them.
        if not COUNTER.fullmatch(text, first, stop):
            spans.append((first, stop))
            begins = stop
    rest = trimmed(text, begins, end)
    if rest[0] < rest[1]:
        spans = [*spans[:-1], (spans[-1][0] if spans else rest[0], end)]
    return spans


def cut_unit(text: str, unit: Unit, chunk_tokens: int) -> list[Unit]:
    """Return parts of an overlong unit, each about a chunk in size, cut after punctuation, else at white space."""
    target_chars = max(1, (unit.end - unit.start) * chunk_tokens // unit.tokens)
    parts: list[Unit] = []
    start = unit.start
    while start < unit.end:
        end = unit.end if unit.end - start <= 1.25 * target_chars else soft_cut(text, start, start + target_chars)
        first, last = trimmed(text, start, end)
        if first < last:
            tokens = max(1, (last - first) * unit.tokens // (unit.end - unit.start))
            parts.append(replace(unit, start=first, end=last, tokens=tokens, colon=False, stop=False))
        start = end
    return parts


def soft_cut(text: str, start: int, end: int) -> int:
    """Return the best place to cut in the second half of [start, end): after punctuation, at a space, else `end`."""
    cuts = list(SOFT_BREAK.finditer(text, start + (end - start) // 2, end))
    strong = [match.end() for match in cuts if not match.group().isspace()]
    weak = [match.end() for match in cuts]
    return (strong or weak or [end])[-1]


def sections(units: Sequence[Unit]) -> Iterator[list[Unit]]:
    """Yield runs of units that start at a heading; consecutive headings stay together."""
    section: list[Unit] = []
    for unit in units:
        if unit.block.kind == "heading" and section and section[-1].block.kind != "heading":
            yield section
            section = []
        section.append(unit)
    if section:
        yield section
