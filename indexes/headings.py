"""Which lines are headings: with marks, underlined, or short, by themselves, and bold or numbered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from indexes.lines import Line, column_count, is_item

MAX_TITLE_CHARS = 100
# Headings without marks of a level lie below those with marks.
NUMBERED_LEVEL = 6
BOLD_LEVEL = 12

ATX = re.compile(r"(#{1,6})[ \t]+(\S.*)")
# Wiki text also spaces its marks, as in `= = Title = =`: what counts is how many there are.
WIKI = re.compile(r"((?:= ?){1,6})(?<=[= ])(\S.*?) ?((?:= ?){1,6})")
UNDERLINE = re.compile(r"={3,}|-{3,}")
BOLD = re.compile(r"(\*\*|__)([^*_\s][^*_]*)\1:?")
NUMBERED = re.compile(r"((?:\d{1,3}\.)+\d{1,3})\.?[ \t]+[^\W\d].*")
PART = re.compile(r"(?:chapter|section|part|article|appendix|annex)[ \t]+(?:\d+|[IVXLC]+|[A-Z])\b.*", re.IGNORECASE)
SENTENCE_ENDS = (".", ",", ";", ":")


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of `lines` lines: its level, 1 the highest, and its title without marks."""

    level: int
    title: str
    lines: int = 1


def heading_at(lines: Sequence[Line], at: int) -> Heading | None:
    """Return the heading that begins with line `at` outside of lists, None if there is none."""
    line = lines[at]
    marked = marked_heading(line)
    if marked is not None or len(line.body) > MAX_TITLE_CHARS:
        return marked
    before = lines[at - 1].body if at else ""
    after = lines[at + 1].body if at + 1 < len(lines) else ""
    if (not before or marked_heading(lines[at - 1])) and UNDERLINE.fullmatch(after) and is_title(line):
        return Heading(1 if after[0] == "=" else 2, line.body, lines=2)
    return None if before else lone_heading(line.body, after)


def is_title(line: Line) -> bool:
    """Return whether an underlined line is a title and not a sentence, an item or a row."""
    return not (line.body.endswith(SENTENCE_ENDS) or "|" in line.body or is_item(line.body))


def marked_heading(line: Line) -> Heading | None:
    """Return the heading if the line has marks, None otherwise."""
    atx = ATX.fullmatch(line.body)
    if atx is not None:
        title = atx.group(2).rstrip("#").rstrip() or atx.group(2)
        return Heading(len(atx.group(1)), title[:MAX_TITLE_CHARS])
    wiki = WIKI.fullmatch(line.body)
    if wiki is None or wiki.group(1).count("=") != wiki.group(3).count("="):
        return None
    return Heading(wiki.group(1).count("="), wiki.group(2)[:MAX_TITLE_CHARS])


def lone_heading(body: str, after: str) -> Heading | None:
    """Return the heading that a short line after a blank one is: bold, or numbered and before a blank one too."""
    bold = BOLD.fullmatch(body)
    if bold is not None:
        title = bold.group(2).rstrip(": ")
        return None if title.endswith(SENTENCE_ENDS) else Heading(BOLD_LEVEL, title)
    if after or body.endswith(SENTENCE_ENDS) or column_count(body) > 2:
        return None
    numbered = NUMBERED.fullmatch(body)
    if numbered is not None:
        return Heading(NUMBERED_LEVEL + min(numbered.group(1).count("."), BOLD_LEVEL - NUMBERED_LEVEL - 1), body)
    return Heading(NUMBERED_LEVEL, body) if PART.fullmatch(body) else None
