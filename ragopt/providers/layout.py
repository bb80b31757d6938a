"""A prompt as a sequence of segments, what never changes first: what every adapter sends, and what caches compare."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, TypeAlias

Part: TypeAlias = Literal[
    "rules", "application", "examples", "summary", "history", "recalled", "passages", "question", "draft", "correction"
]
SegmentRole: TypeAlias = Literal["system", "user", "assistant"]

# The same bytes for every question of a tenant's collection; what follows is a conversation's or a question's own.
STABLE: frozenset[Part] = frozenset({"rules", "application", "examples"})
# What changes with every question.
VOLATILE: frozenset[Part] = frozenset({"recalled", "passages", "question", "draft", "correction"})
BETWEEN_SEGMENTS = "\n\n"


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a prompt. breakpoint: whether another prompt may share everything up to its end."""

    part: Part
    role: SegmentRole
    text: str
    breakpoint: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """Segments that are sent as one message, with their places in the prompt."""

    role: SegmentRole
    segments: tuple[tuple[int, Segment], ...]

    @property
    def text(self) -> str:
        """Return the message as one text."""
        return BETWEEN_SEGMENTS.join(segment.text for _, segment in self.segments)


@dataclass(frozen=True, slots=True)
class Prompt:
    """The layout of one call: rules, application's, examples, summary, last turns, recalled turns, passages, question.

    No date and no id stands before the last breakpoint: the beginning of a prompt depends on nothing but the
    template, the application and the conversation so far. version: names the template.
    """

    segments: tuple[Segment, ...]
    version: str

    def messages(self) -> list[Message]:
        """Return the messages in order: the system's, the summary, each turn on its own, and what is asked now."""
        return [
            Message(key[0], tuple(group))
            for key, group in groupby(enumerate(self.segments), key=lambda item: message_key(*item))
        ]

    def corrected(self, draft: str, correction: str) -> Prompt:
        """Return the prompt with a draft that it led to, and what is to be mended in it."""
        more = (Segment("draft", "assistant", draft), Segment("correction", "user", correction))
        return Prompt((*self.segments, *more), self.version)

    def text_of(self, *parts: Part) -> str:
        """Return the text of the named parts, in the order of the prompt; "" where there are none."""
        return BETWEEN_SEGMENTS.join(segment.text for segment in self.segments if segment.part in parts)

    @property
    def system(self) -> str:
        """Return the text of the system's message."""
        return BETWEEN_SEGMENTS.join(segment.text for segment in self.segments if segment.role == "system")

    @property
    def user(self) -> str:
        """Return the text of the last message."""
        return self.messages()[-1].text if self.segments else ""

    def tokens(self, count: Callable[[str], int]) -> dict[str, int]:
        """Return the tokens of each part that is there, in the order of the prompt, `count` applied to each segment."""
        found: dict[str, int] = {}
        for segment in self.segments:
            found[segment.part] = found.get(segment.part, 0) + count(segment.text)
        return found

    @property
    def chars(self) -> int:
        """Return how many characters its segments have."""
        return sum(len(segment.text) for segment in self.segments)

    def breakpoints(self) -> list[int]:
        """Return the places after which a cache breakpoint may stand, ascending."""
        return [at for at, segment in enumerate(self.segments) if segment.breakpoint]

    def prefix_digest(self, end: int | None = None) -> str:
        """Return 16 hex digits of the bytes up to and with the segment at `end`, of the stable part without it."""
        if end is None:
            return digests_of([segment for segment in self.segments if segment.part in STABLE])[-1]
        return digests_of(self.segments[: end + 1])[-1]


def message_key(at: int, segment: Segment) -> tuple[SegmentRole, str]:
    """Return what the segments of one message have in common."""
    if segment.part == "history":
        return segment.role, f"turn {at}"
    return segment.role, "summary" if segment.part == "summary" else "text"


def digests_of(segments: Sequence[Segment]) -> list[str]:
    """Return the digest of each beginning, the empty one first: 16 hex digits."""
    return [digest.hex()[:16] for digest in running(segments)]


def running(segments: Sequence[Segment]) -> Iterator[bytes]:
    """Yield the digest of nothing, of the first segment, of the first two, and so on."""
    digest = hashlib.sha256()
    yield digest.digest()
    for segment in segments:
        digest.update(json.dumps([segment.role, segment.text], ensure_ascii=True).encode())
        yield digest.digest()
