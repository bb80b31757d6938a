"""The quality gate of the cascade: what is wrong with a cheap model's answer, before any of it is released."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ragopt.domain import Context
from ragopt.evidence import overlap, words
from ragopt.pipeline import ABSTENTION

MARKER = re.compile(r"\[(\d+(?:\s*,\s*\d+)*)\]")
# Its citation may stand behind the full stop: a sentence has ended where the next one begins.
SENTENCE_END = re.compile(r"(?:[.!?][\"')]*(?:\s*\[\d+(?:\s*,\s*\d+)*\])*\s+|\n+)(?=[^\s\[])")
# What stands in a prompt or a web page and never in an answer.
FOREIGN = re.compile(
    r"</?passage\b|<!doctype html|<html\b|<\|[a-z_]+\|>|^\s*\{\s*\"(?:error|tool|function)\"", re.IGNORECASE
)
# A first sentence such as "Yes." is no claim yet: the opening goes on to one that is.
OPENING_WORDS = 6


@dataclass(frozen=True, slots=True)
class QualityGate:
    """Judges drafts. covered: the share of the question's topic words from which passages are held to cover it."""

    covered: float = 0.7

    def ready(self, text: str) -> bool:
        """Return whether a stream's text so far holds its opening: whole sentences with six words or more."""
        ends = [match.end() for match in SENTENCE_END.finditer(text)]
        return bool(ends) and len(text[: ends[-1]].split()) >= OPENING_WORDS

    def flaw(self, text: str, context: Context) -> str | None:
        """Return what is wrong with an answer or with its opening, in a sentence; None if nothing is."""
        if not words(MARKER.sub("", text)):
            return "it says nothing"
        if found := FOREIGN.search(text):
            return f"it is not an answer: it holds {found.group().strip()!r}"
        if text.lstrip().startswith(ABSTENTION):
            share = coverage(context)
            return (
                f"it abstains although the passages cover {share:.0%} of the question"
                if share >= self.covered
                else None
            )
        cited = {int(number) for match in MARKER.finditer(text) for number in match.group(1).split(",")}
        if not cited & {passage.n for passage in context.passages}:
            return "it claims without a citation" if not cited else "it cites passages that are not there"
        return None


def coverage(context: Context) -> float:
    """Return the share, in [0, 1], of the question's topic words that the passages have together."""
    return overlap(context.standalone_question, "\n".join(passage.text for passage in context.passages))
