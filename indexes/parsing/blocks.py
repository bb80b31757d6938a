"""What every parser returns, and the Markdown-like text its blocks become."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

BlockKind: TypeAlias = Literal["heading", "item", "row", "code", "prose"]

# Runs of these stay together, line under line; everything else is set off by a blank line.
TIGHT: frozenset[BlockKind] = frozenset({"item", "row"})
MAX_INDENT = 6
LINE_ENDS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028]")
PARAGRAPH_END = re.compile("\u2029")
# Controls of C0 except tab and line feed, DEL, and those of C1: nobody typed them.
CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
BACKTICKS = re.compile(r"`{3,}")


@dataclass(frozen=True, slots=True)
class Parsed:
    """The text of a file, and the title it gives itself: "" where it gives none."""

    text: str
    title: str


@dataclass(frozen=True, slots=True)
class Block:
    """A structural part of a file as Markdown-like text, its marker included."""

    kind: BlockKind
    text: str


def joined(blocks: Iterable[Block]) -> str:
    """Return the blocks as one text: list items and table rows line under line, the rest by blank lines."""
    parts: list[str] = []
    before: BlockKind | None = None
    for block in blocks:
        if before is not None:
            parts.append("\n" if block.kind == before and before in TIGHT else "\n\n")
        parts.append(block.text)
        before = block.kind
    return "".join(parts)


def heading(level: int, text: str) -> Block:
    """Return a heading of `level` 1 to 6; deeper ones count as 6."""
    return Block("heading", f"{'#' * min(level, 6)} {one_line(text)}")


def item_marker(depth: int, *, number: int | None = None) -> str:
    """Return the start of a list item: two spaces per level from `depth` 1 on, then `- ` or its number."""
    return "  " * min(depth - 1, MAX_INDENT) + ("- " if number is None else f"{number}. ")


def table_row(cells: Sequence[str]) -> Block:
    """Return a row `| a | b |`; a bar inside a cell is escaped."""
    return Block("row", "| " + " | ".join(one_line(cell).replace("|", "\\|") for cell in cells) + " |")


def code(text: str) -> Block:
    """Return fenced code, its lines as they are; the fence is longer than any run of backticks inside."""
    fence = "`" * max([3, *(len(run) + 1 for run in BACKTICKS.findall(text))])
    return Block("code", f"{fence}\n{text}\n{fence}")


def one_line(text: str) -> str:
    """Return `text` with every run of white space as one space and none at the ends."""
    return " ".join(text.split())


def mended(text: str) -> str:
    """Return extracted text as valid Unicode with line feeds only.

    Surrogate pairs are joined and lone ones become U+FFFD; control characters go. For text that a
    parser made up from a file, never for text that was sent.
    """
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return CONTROLS.sub("", PARAGRAPH_END.sub("\n\n", LINE_ENDS.sub("\n", whole)))
