"""Text with its personal data replaced by placeholders that say what stood there: `[EMAIL]`, `[CARD]`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ragopt.privacy.recognisers import BY_FORM, Kind, findings


@dataclass(frozen=True, slots=True)
class Redacted:
    """A text without its personal data, and how many of each kind were replaced."""

    text: str
    counts: Mapping[Kind, int]


def placeholder(kind: Kind) -> str:
    """Return what replaces personal data of a kind: its name in capitals, in square brackets."""
    return f"[{kind.upper()}]"


def redacted(text: str, kinds: Collection[Kind] = BY_FORM) -> Redacted:
    """Return the text with its personal data replaced. What was redacted before stays as it is."""
    parts: list[str] = []
    counts: Counter[Kind] = Counter()
    end = 0
    for finding in findings(text, kinds):
        parts += [text[end : finding.start], placeholder(finding.kind)]
        counts[finding.kind] += 1
        end = finding.end
    return Redacted("".join([*parts, text[end:]]), counts)
