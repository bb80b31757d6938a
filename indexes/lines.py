"""Text to lines, and what a line by itself looks like."""

from __future__ import annotations

import re
from dataclasses import dataclass

LINE = re.compile(r"([^\r\n]*)(?:\r\n|\r|\n|$)")
# Of `> quoted`; the prompt `>>> ` of a Python session quotes nothing.
QUOTE_MARK = re.compile(r"(?:[ \t]{0,3}>(?!>> )[ \t]?)+")
RULE = re.compile(r"([-*_=~#])(?:[ \t]*\1){2,}")
FENCE = re.compile(r"(`{3,}|~{3,})([^`]*)")
BULLET = r"[-*+•‣▪◦●○■]"
COUNTER = r"(?:\d{1,3}|[a-zA-Z])[.)]|\((?:\d{1,3}|[a-zA-Z]|[ivxIVX]{2,5})\)"
ITEM_MARK = re.compile(rf"(?:({BULLET})|({COUNTER}))[ \t]+(?=[^\s|])")
DEFINITION_MARK = re.compile(r":[ \t]+(?=[^\s|])")
COLUMN_GAP = re.compile(r"\t+| {2,}")
# What lines of programs have and lines of prose have not.
CODE_SIGN = re.compile(
    r"[;{}\\]$|^[}\])]|^(?:\$|>>>|#!|//|/\*|@|<[a-z/!]|--?[a-z])|[\w\])]\(.*\)|::|->|=>|[=!<>+-]="
    r"|^[\w.\[\]\"']+ ?[:=] ?\S|^(?:def|class|import|from|for|if|else|return|sudo|cd|curl|make|npm|pip|git|docker) ?\b"
)
MAX_CODE_CHARS = 200
TAB_COLUMNS = 4
ESCAPED_BREAK = re.compile(r"\\[nrt]")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a text. `end` is behind its line end.

    body: without quote marks and the white space at both ends, from `at` on. indent: columns of white
    space before it. quote: whether it has quote marks.
    """

    start: int
    end: int
    at: int
    body: str
    indent: int
    quote: bool


def lines_of(text: str) -> list[Line]:
    """Return the lines of `text`; together they are the text. Line ends are CR, LF or both."""
    lines: list[Line] = []
    for match in LINE.finditer(text):
        start, end = match.span()
        if start < end:
            lines.append(line_of(match.group(1), start=start, end=end))
    return lines


def line_of(raw: str, *, start: int, end: int) -> Line:
    """Return the line that has `raw` before its line end."""
    quote = QUOTE_MARK.match(raw) if ">" in raw else None
    rest = raw[quote.end() :] if quote else raw
    body = rest.strip()
    before = rest[: len(rest) - len(rest.lstrip())]
    at = start + len(raw) - len(rest) + len(before)
    return Line(start, end, at, body, len(before.expandtabs(TAB_COLUMNS)), quote is not None)


def with_plain_breaks(text: str) -> str:
    r"""Return `text`, of the same length, with line breaks in the place of escaped ones if it was written with these.

    So are logs and dumps of strings, where a whole conversation is one line full of `\n`.
    """
    escaped = text.count("\\n")
    if not escaped or escaped <= text.count("\n"):
        return text
    return ESCAPED_BREAK.sub(" \n", text)


def column_count(body: str) -> int:
    """Return into how many columns tabs and runs of spaces divide a line."""
    return len(COLUMN_GAP.split(body))


def is_item(body: str) -> bool:
    """Return whether a list item or a definition begins with this line."""
    return ITEM_MARK.match(body) is not None or DEFINITION_MARK.match(body) is not None


def looks_like_code(body: str) -> bool:
    """Return whether a line has what lines of programs have; only its beginning is looked at."""
    return CODE_SIGN.search(body[:MAX_CODE_CHARS]) is not None
