"""Text with its personal data replaced by placeholders that say what stood there: `[EMAIL]`, `[CARD]`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ragopt.domain import Span
from ragopt.privacy.recognisers import Finding, Kind
from ragopt.privacy.recognition import OWN, Recognisers, placeholder


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stood in the original, `[start, end)`, and how many characters stand there now."""

    start: int
    end: int
    length: int


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text without its personal data, how many of each kind were replaced, and where; places: ascending, disjoint."""

    text: str
    counts: Mapping[Kind, int]
    places: tuple[Place, ...] = ()

    def moved(self, span: Span) -> Span:
        """Return where in the text a span of the original stands; an edge inside what was replaced takes in all of it.

        A span before the original keeps its place.
        """
        return self._moved(span[0], end=False), self._moved(span[1], end=True)

    def _moved(self, at: int, *, end: bool) -> int:
        shift = 0
        for place in self.places:
            if at <= place.start:
                break
            if at < place.end:
                return place.start + shift + (place.length if end else 0)
            shift += place.length - (place.end - place.start)
        return at + shift


def redacted(text: str, recognisers: Recognisers = OWN) -> Redacted:
    """Return the text with its personal data replaced. What was redacted before stays as it is.

    Blocking where the recognisers have a trained model.
    """
    return replaced(text, recognisers.find(text))


def replaced(text: str, found: Sequence[Finding], *, lead: int = 0) -> Redacted:
    """Return the text with what was found in it, ascending and disjoint, replaced.

    lead: so many characters at its start, before all that was found, are left out without a placeholder.
    """
    parts: list[str] = []
    places = [Place(0, lead, 0)] if lead else []
    counts: Counter[Kind] = Counter()
    end = lead
    for finding in found:
        shown = placeholder(finding.kind)
        parts += [text[end : finding.start], shown]
        places.append(Place(finding.start, finding.end, len(shown)))
        counts[finding.kind] += 1
        end = finding.end
    return Redacted("".join([*parts, text[end:]]), counts, tuple(places))
