"""What finds personal data: the form it has and, where an operator names one, a trained model for what has none."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ragopt.domain import Span
from ragopt.privacy.recognisers import BY_FORM, KINDS, Finding, Kind, findings


def placeholder(kind: Kind) -> str:
    """Return what replaces personal data of a kind: its name in capitals, in square brackets."""
    return f"[{kind.upper()}]"


PLACEHOLDER = re.compile("|".join(re.escape(placeholder(kind)) for kind in KINDS))
WIDEST = max(len(placeholder(kind)) for kind in KINDS)
# They bound what a model found, and are no part of it.
EDGES = " \t\r\n,;:|-–—()[]{}<>\"'“”*_`~"


class Trained(Protocol):
    """A model that finds what has no form of its own."""

    @property
    def kinds(self) -> frozenset[Kind]:
        """Return what it may find."""

    def find(self, text: str) -> list[Finding]:
        """Return what it finds, ascending and disjoint; blocking."""

    async def find_async(self, text: str) -> list[Finding]:
        """Return the same; the event loop goes on meanwhile."""


@dataclass(frozen=True, slots=True)
class Recognisers:
    """What is looked for. by_form: the kinds that have a form. trained: finds further ones; None where nothing does."""

    by_form: frozenset[Kind] = BY_FORM
    trained: Trained | None = None

    @property
    def kinds(self) -> frozenset[Kind]:
        """Return every kind that may be found."""
        return self.by_form | (self.trained.kinds if self.trained else frozenset())

    def find(self, text: str) -> list[Finding]:
        """Return the personal data of a text, ascending and disjoint; blocking where there is a trained model."""
        ours = findings(text, self.by_form)
        return together(text, ours, self.trained.find(text)) if self.trained else ours

    async def find_async(self, text: str) -> list[Finding]:
        """Return the same; the event loop goes on while a trained model reads."""
        ours = findings(text, self.by_form)
        return together(text, ours, await self.trained.find_async(text)) if self.trained else ours


# What is looked for where no model is configured.
OWN = Recognisers()


def together(text: str, ours: Sequence[Finding], trained: Sequence[Finding]) -> list[Finding]:
    """Return both, ascending and disjoint: ours as they are, of the trained model's what lies outside of them.

    Placeholders are left alone too: a text that was redacted before stays as it is.
    """
    starts, ends = [item.start for item in ours], [item.end for item in ours]
    found = list(ours)
    for item in trained:
        near = ours[bisect_right(ends, item.start) : bisect_left(starts, item.end)]
        shown = PLACEHOLDER.finditer(text, max(0, item.start - WIDEST), item.end + WIDEST)
        gaps = [*((one.start, one.end) for one in near), *(match.span() for match in shown)]
        found += outside(text, item, gaps)
    return sorted(found, key=lambda item: item.start)


def outside(text: str, finding: Finding, gaps: Sequence[Span]) -> Iterator[Finding]:
    """Yield what of a finding lies outside the gaps, each part without edges and with a letter or a digit in it."""
    at = finding.start
    for start, end in [*sorted(gaps), (finding.end, finding.end)]:
        part = text[at : max(at, min(start, finding.end))]
        kept = part.strip(EDGES)
        if any(map(str.isalnum, kept)):
            begin = at + part.index(kept)
            yield Finding(finding.kind, begin, begin + len(kept))
        at = max(at, end)
