"""An answer to its sentences while it streams: each once it is whole, the same however the stream is cut. Pure.

A piece is a sentence with the markers and the white space behind it, a line, or a line of a code block. Where the
text so far does not decide whether a piece has ended, it is held.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ragopt.markers import CODE, MARKER, PARTIAL, inside

END = re.compile(r"(?:[.!?…]+|[。！？]+)[\"'”’»)\]*_]*")
WIDE_END = re.compile(r"[。！？]")
FENCE = re.compile(r" {0,3}(?P<fence>`{3,}|~{3,})")
# An open run of backticks: code begins here if it is closed later in the line.
TICKS = re.compile(r"`+")
# Behind these a full stop ends no sentence.
ABBREVIATIONS = frozenset(
    """
    al approx art bros ca capt cf ch co col corp dept dr ed eds eg e.g est etc fig figs gen gov i.e ie inc jr lt ltd
    max min mr mrs ms no nos op p.a para pp prof rep rev sec sen sgt sr st vol vs
    """.split()  # noqa: SIM905 - a list of quoted words reads worse
)
# A text without a sentence's end in sight is cut at a space: nobody is to wait for ever.
MAX_PIECE_CHARS = 2_000
LAST_WORD = re.compile(r"[\w.’'-]*$")
NUMBERED = re.compile(r"\s*(?:[-*+•]\s*)?\d{1,3}")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of the answer that is whole. code: a line of a code block, fences included."""

    text: str
    code: bool = False


class AnswerReader:
    """Cuts one answer into pieces; they joined are the text that was fed."""

    def __init__(self) -> None:
        self._held = ""
        self._fence = ""

    def feed(self, text: str) -> list[Piece]:
        """Return the pieces that are whole now."""
        self._held += text
        return list(self._pieces(ended=False))

    def finish(self) -> list[Piece]:
        """Return the rest: nothing more comes."""
        return list(self._pieces(ended=True))

    def _pieces(self, *, ended: bool) -> Iterator[Piece]:
        while self._held:
            line, complete = first_line(self._held, ended=ended)
            code = bool(self._fence or FENCE.match(line))
            cut = piece_end(line, code=code, complete=complete)
            if cut is None:
                return
            self._fence = fence_after(self._fence, line)
            yield Piece(self._held[:cut], code)
            self._held = self._held[cut:]


def fence_after(fence: str, line: str) -> str:
    """Return the fence that is open behind a line, "" for none; `fence`: the one that is open before it."""
    found = FENCE.match(line)
    if not found or (fence and not (line.strip() == found["fence"] and found["fence"].startswith(fence))):
        return fence
    return "" if fence else found["fence"]


def first_line(text: str, *, ended: bool) -> tuple[str, bool]:
    """Return the first line with its end, and whether it is whole."""
    end = text.find("\n")
    return (text, ended) if end < 0 else (text[: end + 1], True)


def piece_end(line: str, *, code: bool, complete: bool) -> int | None:
    """Return where the first piece of a line ends, None where that is open; a piece is at most 2,000 characters.

    Of a longer line only those are looked at, so that it is cut alike however it came.
    """
    if len(line) > MAX_PIECE_CHARS:
        head = line[:MAX_PIECE_CHARS]
        end = None if code else sentence_end(head, complete=False)
        return end or head.rfind(" ") + 1 or MAX_PIECE_CHARS
    if code:
        return len(line) if complete else None
    return sentence_end(line, complete=complete)


def sentence_end(line: str, *, complete: bool) -> int | None:
    """Return where the first sentence of a line ends, white space behind it included; None where that is open."""
    code = [match.span() for match in CODE.finditer(line)]
    ticks = next((match.start() for match in TICKS.finditer(line) if not inside(match.start(), code)), len(line))
    for match in END.finditer(line):
        if inside(match.start(), code):
            continue
        if match.start() > ticks and not complete:
            # What is open may turn out to be code, and a sentence does not end in code.
            return None
        end = behind_markers(line, match.end())
        follows = line[end:].lstrip(" \t\u00a0")
        if not complete and (not follows.strip() or PARTIAL.fullmatch(follows)):
            return None
        if is_sentence_end(line, match, end=end):
            return len(line) - len(follows) if follows.strip() else len(line)
    return len(line) if complete else None


def behind_markers(line: str, place: int) -> int:
    """Return the end of the markers that follow a place, the place itself where none does."""
    while match := MARKER.match(line, place):
        place = match.end()
    return place


def is_sentence_end(line: str, match: re.Match[str], *, end: int) -> bool:
    """Return whether a sentence ends at the punctuation `match`, its markers at `end`; what follows is known."""
    follows = line[end:]
    if not follows.strip() or WIDE_END.match(match.group()):
        return True
    if not follows[0].isspace():
        return False
    if match.group()[0] != ".":
        return True
    before = line[: match.start()]
    found = LAST_WORD.search(before)
    word = found.group().lower() if found else ""
    initial = re.fullmatch(r"(?:[^\W\d_]\.)*[^\W\d_]", word)
    return not (follows.lstrip()[0].islower() or word in ABBREVIATIONS or initial or NUMBERED.fullmatch(before))
