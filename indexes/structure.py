"""Lines to blocks: what a text is made of, and what belongs together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from indexes.headings import heading_at, marked_heading
from indexes.lines import DEFINITION_MARK, FENCE, ITEM_MARK, RULE, Line, lines_of, looks_like_code
from indexes.tables import head_rows, rows_at

Kind: TypeAlias = Literal["heading", "code", "item", "row", "prose"]

CODE_INDENT = 4
MAX_FRONT_MATTER_LINES = 50
# Counters that begin a list, and ends of what may stand before one, within a paragraph.
FIRST_COUNTERS = frozenset({"1", "a", "i"})
BEFORE_ITEM = (".", ":", ";", "!", "?")
# A list that begins its count again is another list.
RESTARTS = frozenset({"1. ", "1) ", "(1) ", "a) ", "(a) "})


@dataclass(frozen=True, slots=True)
class Block:
    """A structural part of a text, [start, end), with the marks around it.

    Its sentences lie in [body, stop): behind the mark of a list item, before marks that follow. part:
    the rows of a table share it, and the lines of code. group: whatever is in the same list shares it,
    nested lists included; elsewhere it is `part`. depth: how many list items it is in, its own included.
    level, title: of a heading. loose: a line of code after a blank one. head: a header row.
    """

    start: int
    body: int
    stop: int
    end: int
    kind: Kind
    part: int = 0
    group: int = 0
    depth: int = 0
    level: int = 0
    title: str = ""
    loose: bool = False
    head: bool = False


def blocks(text: str) -> list[Block]:
    """Return the blocks of `text` in order; every character that is not white space is in exactly one.

    Marks that say nothing by themselves (fences, rules, bare quote marks) belong to the block before
    them, an opening fence to the one behind it.
    """
    return Reader(lines_of(text)).read()


class Reader:
    """Reads lines into blocks, once from top to bottom."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines
        self._at = 0
        self._found: list[Block] = []
        self._lead: int | None = None  # where marks begin that wait for the next block
        self._indents: list[int] = []  # of the open list items, outermost first
        self._list = 0
        self._parts = 0
        self._closers = closing_fences(lines)

    def read(self) -> list[Block]:
        """Return the blocks."""
        self._front_matter()
        readers: tuple[Callable[[Line], bool], ...] = (
            self._fenced,
            self._rule,
            self._heading,
            self._item,
            self._table,
            self._indented,
            self._prose,
        )
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.body:
                any(read(line) for read in readers)
            else:
                self._mark(line)
        if self._lead is not None:
            self._add("prose", self._lines[-1].start, self._lines[-1].end)
        return self._found

    def _new_part(self) -> int:
        self._parts += 1
        return self._parts

    def _add(self, kind: Kind, start: int, end: int, *, part: int = 0) -> None:
        """Append a block, in the list items that are open."""
        self._list = self._list if self._indents else 0
        part = part or self._new_part()
        lead = start if self._lead is None else self._lead
        self._lead = None
        self._found.append(Block(lead, start, end, end, kind, part, self._list or part, len(self._indents)))

    def _mark(self, line: Line) -> None:
        """Pass a line that says nothing: what it has to show belongs to the block before it, if there is one."""
        self._at += 1
        if not (line.body or line.quote):
            return
        if self._found:
            self._found[-1] = replace(self._found[-1], end=line.end)
        elif self._lead is None:
            self._lead = line.start

    def _leave_items(self, indent: int) -> None:
        """Close the list items that something indented by `indent` columns is not in."""
        while self._indents and indent <= self._indents[-1]:
            self._indents.pop()

    def _front_matter(self) -> None:
        """Read the settings that some texts begin with, between two lines `---`."""
        head = [line.body for line in self._lines[: MAX_FRONT_MATTER_LINES + 2]]
        if head[:1] == ["---"] and "---" in head[2:] and all(head[: head.index("---", 2)]):
            self._code(0, head.index("---", 2))

    def _fenced(self, line: Line) -> bool:
        """Read fenced code; a fence that is never closed is a mark like any other."""
        found = FENCE.fullmatch(line.body)
        if found is None:
            return False
        self._leave_items(line.indent)
        fence = found.group(1)
        if self._closers[fence[0]][self._at + 1] < len(fence):
            self._mark(line)
            return True
        closing = self._at + 1
        while bare_fence(self._lines[closing].body, fence[0]) < len(fence):
            closing += 1
        self._code(self._at, closing)
        return True

    def _code(self, first: int, last: int) -> None:
        """Read the lines between two fences, each a block; the fences belong to the first and the last."""
        part, count = self._new_part(), len(self._found)
        opening, closing = self._lines[first], self._lines[last]
        self._lead = opening.start if self._lead is None else self._lead
        for before, line in zip(self._lines[first:last], self._lines[first + 1 : last], strict=False):
            if line.body:
                self._add("code", line.start, line.end, part=part)
                self._found[-1] = replace(self._found[-1], loose=not before.body)
        if len(self._found) == count:
            self._add("code", opening.start, closing.end, part=part)
        self._found[-1] = replace(self._found[-1], end=closing.end)
        self._at = last + 1

    def _rule(self, line: Line) -> bool:
        """Pass a line that only rules off; it ends a list."""
        if not RULE.fullmatch(line.body):
            return False
        self._indents.clear()
        self._mark(line)
        return True

    def _heading(self, line: Line) -> bool:
        """Read a heading, which ends a list; in a list only one with marks is."""
        heading = marked_heading(line) if self._indents else heading_at(self._lines, self._at)
        if heading is None:
            return False
        self._indents.clear()
        self._at += heading.lines
        self._add("heading", line.start, self._lines[self._at - 1].end)
        self._found[-1] = replace(self._found[-1], level=heading.level, title=heading.title)
        return True

    def _item(self, line: Line) -> bool:
        """Read the first paragraph of a list item or of a definition."""
        mark = ITEM_MARK.match(line.body) or DEFINITION_MARK.match(line.body)
        if mark is None:
            return False
        self._leave_items(line.indent - 1)
        # Items of one list seldom stand under each other to the column.
        while self._indents and line.indent - self._indents[-1] < 2:
            self._indents.pop()
        if not self._list or (not self._indents and mark.group() in RESTARTS):
            self._list = self._new_part()
        self._indents.append(line.indent)
        self._add("item", line.start, self._paragraph_end())
        self._found[-1] = replace(self._found[-1], body=line.at + mark.end())
        return True

    def _table(self, line: Line) -> bool:
        """Read the rows of a table, each a block."""
        count = rows_at(self._lines, self._at)
        rows = self._lines[self._at : self._at + count]
        if not rows:
            return False
        self._leave_items(line.indent)
        part, heads = self._new_part(), head_rows(rows)
        for at, row in enumerate(rows):
            self._add("row", row.start, row.end, part=part)
            self._found[-1] = replace(self._found[-1], head=at < heads)
        self._at += count
        return True

    def _indented(self, line: Line) -> bool:
        """Read indented lines after a blank one as code, if most of them look like it."""
        least = CODE_INDENT + (self._indents[-1] if self._indents else 0)
        if line.indent < least or (self._at and self._lines[self._at - 1].body):
            return False
        end = self._at
        while end < len(self._lines) and self._lines[end].body and self._lines[end].indent >= least:
            end += 1
        lines = self._lines[self._at : end]
        if 2 * sum(looks_like_code(item.body) for item in lines) <= len(lines):
            return False
        before = self._found[-1] if self._found else None
        part = before.part if before is not None and before.kind == "code" else self._new_part()
        for item in lines:
            self._add("code", item.start, item.end, part=part)
            self._found[-1] = replace(self._found[-1], loose=item is line)
        self._at = end
        return True

    def _prose(self, line: Line) -> bool:
        """Read a paragraph."""
        self._leave_items(line.indent)
        self._add("prose", line.start, self._paragraph_end())
        return True

    def _paragraph_end(self) -> int:
        """Go behind the paragraph that begins here, and return its end."""
        first = self._lines[self._at]
        self._at += 1
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if not line.body or line.quote != first.quote or self._interrupts(line):
                break
            self._at += 1
        return self._lines[self._at - 1].end

    def _interrupts(self, line: Line) -> bool:
        """Return whether something else than the paragraph before begins here."""
        if RULE.fullmatch(line.body) or FENCE.fullmatch(line.body) or marked_heading(line):
            return True
        if any(DEFINITION_MARK.match(near.body) for near in self._lines[self._at : self._at + 2]):
            return True
        mark = ITEM_MARK.match(line.body)
        if mark is None:
            return rows_at(self._lines, self._at) > 0
        # `A. Smith` and `12. March` also begin lines, in the middle of a sentence.
        bullet, counter = mark.groups()
        before = self._lines[self._at - 1].body
        return bool(self._indents or bullet or counter.strip("().") in FIRST_COUNTERS or before.endswith(BEFORE_ITEM))


def bare_fence(body: str, mark: str) -> int:
    """Return the length of a line of nothing but `mark`, 0 for any other line."""
    return len(body) if body.startswith(mark) and set(body) == {mark} else 0


def closing_fences(lines: Sequence[Line]) -> dict[str, list[int]]:
    """Return, by fence character, the length of the longest bare fence from each line on."""
    longest = {mark: [0] * (len(lines) + 1) for mark in "`~"}
    for at in range(len(lines) - 1, -1, -1):
        for mark, lengths in longest.items():
            lengths[at] = max(lengths[at + 1], bare_fence(lines[at].body, mark))
    return longest
