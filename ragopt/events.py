"""What an answer yields while it is made, in the order of the stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from ragopt.domain import Answer, CacheOutcome, Citation, Context


@dataclass(frozen=True, slots=True)
class SourcesFound:
    """Event: the passages are packed. `cache` says whether a model call will follow."""

    context: Context
    cache: CacheOutcome


@dataclass(frozen=True, slots=True)
class TextReleased:
    """Event: a piece of the answer that will not be taken back."""

    text: str


@dataclass(frozen=True, slots=True)
class CitationFound:
    """Event: one checked citation; it will not move."""

    citation: Citation


@dataclass(frozen=True, slots=True)
class Finished:
    """Event: the whole answer, the last one."""

    answer: Answer


AnswerEvent: TypeAlias = SourcesFound | TextReleased | CitationFound | Finished
