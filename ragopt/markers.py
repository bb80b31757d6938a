"""Citation markers in an answer: `[1]`, `[1, 2]`, `[1-3]`, `[1][2]`, full-width `【1】`; never inside code. Pure.

`ragopt.prompt` asks models for markers; this is the only place that reads them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from ragopt.domain import Span

DASH = r"\-\u2010-\u2015~"
_ITEM = rf"\d{{1,3}}(?:\s*[{DASH}]\s*\d{{1,3}})?"
# Behind the number in full-width brackets some models name a line or a source: 【4:0†source】.
_DETAIL = r"(?::\d{1,3})?(?:†[^\]】］\n]{0,40})?"
MARKER = re.compile(
    rf"(?P<lead>[ \t\u00a0]*)[\[［【]\^?\s*(?P<numbers>{_ITEM}(?:\s*[,;，、]\s*{_ITEM})*){_DETAIL}\s*[\]］】]"
)
# What may still become a marker when more of the text is there.
PARTIAL = re.compile(rf"[ \t\u00a0]*[\[［【](?:[\^\d\s,;，、:{DASH}]{{0,48}}|[\^\d\s:]{{1,12}}†[^\]】］\n]{{0,40}})")
CODE = re.compile(r"(?<!`)(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)", re.DOTALL)
# Stars and backticks at the edge of a word, underscores that enclose something: `max_tokens` and 5*3 have neither.
EMPHASIS = re.compile(r"(?<!\w)[*`]{1,3}(?=\S)|(?<=\S)[*`]{1,3}(?!\w)")
UNDERSCORED = re.compile(r"(?<!\w)(?P<mark>_{1,3})(?=\S)(?P<inner>.*?\S)(?P=mark)(?!\w)")
RANGE = re.compile(rf"(\d+)\s*[{DASH}]\s*(\d+)")
ITEM = re.compile(_ITEM)


def markers(text: str) -> Iterator[re.Match[str]]:
    """Yield the markers of a text in order, without those inside inline code."""
    code = code_spans(text)
    return (match for match in MARKER.finditer(text) if not inside(match.start(), code))


def numbers(marker: re.Match[str]) -> list[int]:
    """Return the passage numbers of a marker, in order, each once; a range is every number in it."""
    found: list[int] = []
    for item in ITEM.findall(marker["numbers"]):
        first, last = RANGE.fullmatch(item).groups() if RANGE.fullmatch(item) else (item, item)  # type: ignore[union-attr]
        found.extend(range(int(first), int(last) + 1) if int(first) <= int(last) else (int(first), int(last)))
    return list(dict.fromkeys(found))


def rewritten(text: str, known: Collection[int]) -> str:
    """Return the text with every marker as `[1]` or `[1, 2]`, and without numbers that are not known."""
    parts: list[str] = []
    end = 0
    for match in markers(text):
        kept = [str(number) for number in numbers(match) if number in known]
        parts.append(text[end : match.start()])
        parts.append(f"{match['lead']}[{', '.join(kept)}]" if kept else "")
        end = match.end()
        # A marker that opened the text takes the space behind it along.
        if not kept and not "".join(parts).strip():
            end += len(text[end:]) - len(text[end:].lstrip(" \t"))
    return "".join([*parts, text[end:]])


def without_markers(text: str) -> str:
    """Return the text without its markers."""
    return rewritten(text, ())


def without_emphasis(text: str) -> str:
    """Return the text without Markdown's marks of emphasis and code: an answer and its source seldom have the same."""
    return UNDERSCORED.sub(lambda match: match["inner"], EMPHASIS.sub("", text))


def code_spans(text: str) -> list[Span]:
    """Return the spans of inline code, backticks included: from a run of them to the next one as long."""
    return [match.span() for match in CODE.finditer(text)] if "`" in text else []


def inside(place: int, spans: Collection[Span]) -> bool:
    """Return whether a place lies in one of the spans."""
    return any(start <= place < end for start, end in spans)
