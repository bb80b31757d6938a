"""Text to chunks with exact spans: structure first, then sentences, then tokens.

A text is read as blocks (headings, list items, table rows, code lines, paragraphs). Each block is
one unit, a paragraph one unit per sentence. Chunks are runs of whole units; a chunk never crosses
a heading. Spans index the text as it is: nothing is altered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from indexes.records import ChunkSpan, IndexKnobs, Span
from indexes.sentences import sentence_spans, trimmed

CountTokens: TypeAlias = Callable[[Sequence[str]], list[int]]
Kind: TypeAlias = Literal["heading", "code", "item", "row", "prose"]

FENCE = re.compile(r"\s{0,3}(`{3,}|~{3,})")
HEADING = re.compile(r"\s{0,3}#{1,6}\s+\S|\s*(={1,6}) .+ \1\s*$")
HEADING_MARKS = "#= \t"
ITEM_MARK = re.compile(r"\s*(?:[-*+•‣▪]|\d{1,3}[.)]|[a-zA-Z][.)])\s+")
ITEM = re.compile(ITEM_MARK.pattern + r"\S")
ROW = re.compile(r"\s*\|.*\|\s*$")
LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
SOFT_BREAK = re.compile(r"[;:,.!?)\]]\s+|\\n|\s+")

# A unit over this many chunk sizes is cut at punctuation or white space: no sentence is that long.
MAX_UNIT_CHUNKS = 2
# A paragraph that ends when the chunk is at least this full also ends the chunk.
PARAGRAPH_BREAK_SHARE = 0.7
# A last chunk of a section under this share of the target joins the one before it.
TAIL_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Block:
    """A structural part of a text."""

    start: int
    end: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class Unit:
    """The smallest part that is never cut. `opens`: a heading; `closes`: the last of its block."""

    start: int
    end: int
    tokens: int
    opens: bool
    closes: bool


def chunk_text(text: str, knobs: IndexKnobs, *, count_tokens: CountTokens) -> list[ChunkSpan]:
    """Return the chunks of `text` in text order, disjoint, of about `knobs.chunk_tokens` tokens each.

    Every character that is not white space lies in exactly one chunk. [] for text without any.
    A unit over twice the target is cut at punctuation or white space.
    """
    units = sized_units(text, knobs.chunk_tokens, count_tokens=count_tokens)
    path = HeadingPath()
    chunks: list[ChunkSpan] = []
    for section in sections(units):
        path.enter(text[unit.start : unit.end] for unit in section if unit.opens)
        for run in packed_runs(section, knobs.chunk_tokens):
            held = sum(unit.opens for unit in run)
            spans = tuple((unit.start, unit.end) for unit in run)
            chunks.append(ChunkSpan(run[0].start, run[-1].end, spans, path.above(held)))
    return chunks


class HeadingPath:
    """The headings above the text that is being read, outermost first."""

    def __init__(self) -> None:
        self._open: list[tuple[int, str]] = []

    def enter(self, headings: Iterable[str]) -> None:
        """Go on below these headings: each closes those of its own level and deeper."""
        for heading in headings:
            title = heading.strip().lstrip(HEADING_MARKS)
            # Wiki text also spaces its marks, as in "= = Title = =": what counts is how many there are.
            level = sum(mark in "#=" for mark in heading.strip().removesuffix(title))
            self._open = [item for item in self._open if item[0] < level]
            self._open.append((level, title.rstrip(HEADING_MARKS)))

    def above(self, held: int) -> str:
        """Return the path without its last `held` headings, joined by ` > `; "" at the top."""
        return " > ".join(title for _, title in self._open[: len(self._open) - held])


def sized_units(text: str, chunk_tokens: int, *, count_tokens: CountTokens) -> list[Unit]:
    """Return the units of `text` with their token counts, in text order."""
    parts: list[tuple[Span, bool, bool]] = []
    for block in blocks(text):
        spans = unit_spans(text, block)
        parts += [(span, block.kind == "heading", at == len(spans) - 1) for at, span in enumerate(spans)]
    counts = count_tokens([text[start:end] for (start, end), _, _ in parts])
    units: list[Unit] = []
    for ((start, end), opens, closes), tokens in zip(parts, counts, strict=True):
        if tokens <= MAX_UNIT_CHUNKS * chunk_tokens:
            units.append(Unit(start, end, tokens, opens, closes))
        else:
            units += cut_unit(text, Unit(start, end, tokens, opens, closes), chunk_tokens)
    return units


def unit_spans(text: str, block: Block) -> list[Span]:
    """Return the spans of a block's units: its sentences for prose and long list items, else the block itself."""
    if block.kind in ("prose", "item"):
        marker = ITEM_MARK.match(text, block.start) if block.kind == "item" else None
        spans = list(sentence_spans(text, marker.end() if marker else block.start, block.end))
        first = trimmed(text, block.start, block.end)[0]
        return [(first, spans[0][1]), *spans[1:]] if spans else []
    span = trimmed(text, block.start, block.end)
    return [span] if span[0] < span[1] else []


def blocks(text: str) -> Iterator[Block]:
    """Yield the structural parts of `text` in order; blank lines and code fences are in none."""
    fence, prose_start = "", -1
    kind: Kind = "prose"
    for match in LINE.finditer(text):
        start, end = match.span()
        line_kind = line_of(match.group(), fence)
        fence = next_fence(match.group(), fence)
        continues = line_kind == "prose" and prose_start >= 0
        if prose_start >= 0 and not continues:
            yield Block(prose_start, start, kind)
            prose_start = -1
        if line_kind in ("heading", "code", "row"):
            yield Block(start, end, line_kind)
        elif line_kind in ("prose", "item") and not continues:
            prose_start, kind = start, line_kind
        if start == end:
            break
    if prose_start >= 0:
        yield Block(prose_start, len(text), kind)


def line_of(line: str, fence: str) -> Kind | Literal["blank"]:
    """Return what a line is; a code fence itself counts as blank."""
    if FENCE.match(line) and (not fence or line.strip().startswith(fence)):
        return "blank"
    if fence:
        return "code" if line.strip() else "blank"
    if not line.strip():
        return "blank"
    if HEADING.match(line):
        return "heading"
    if ROW.match(line):
        return "row"
    return "item" if ITEM.match(line) else "prose"


def next_fence(line: str, fence: str) -> str:
    """Return the fence that is open after `line`: "" outside code."""
    match = FENCE.match(line)
    if match is None:
        return fence
    if not fence:
        return match.group(1)
    return "" if line.strip().startswith(fence) else fence


def cut_unit(text: str, unit: Unit, chunk_tokens: int) -> list[Unit]:
    """Return parts of an overlong unit, each about a chunk in size, cut after punctuation, else at white space."""
    target_chars = max(1, (unit.end - unit.start) * chunk_tokens // unit.tokens)
    parts: list[Unit] = []
    start = unit.start
    while start < unit.end:
        end = unit.end if unit.end - start <= 1.25 * target_chars else soft_cut(text, start, start + target_chars)
        part = trimmed(text, start, end)
        if part[0] < part[1]:
            tokens = max(1, (part[1] - part[0]) * unit.tokens // (unit.end - unit.start))
            parts.append(Unit(*part, tokens, unit.opens and not parts, closes=False))
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
        if unit.opens and section and not section[-1].opens:
            yield section
            section = []
        section.append(unit)
    if section:
        yield section


def packed_runs(section: Sequence[Unit], chunk_tokens: int) -> list[list[Unit]]:
    """Return the units of a section in runs of about `chunk_tokens`; a short last run joins the one before it."""
    runs: list[list[Unit]] = []
    run: list[Unit] = []
    filled = 0
    for unit in section:
        if run and filled + unit.tokens > chunk_tokens and not run[-1].opens:
            runs.append(run)
            run, filled = [], 0
        run.append(unit)
        filled += unit.tokens
        if unit.closes and not unit.opens and filled >= PARAGRAPH_BREAK_SHARE * chunk_tokens:
            runs.append(run)
            run, filled = [], 0
    if run:
        runs.append(run)
    if len(runs) > 1 and sum(unit.tokens for unit in runs[-1]) < TAIL_SHARE * chunk_tokens:
        runs[-2:] = [runs[-2] + runs[-1]]
    return runs
