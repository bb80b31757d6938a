"""The quality gate of the cascade: what is wrong with a cheap model's answer, before any of it is released."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ragopt.domain import Context
from ragopt.evidence import overlap, words
from ragopt.markers import markers, numbers, without_markers
from ragopt.pipeline import ABSTENTION
from ragopt.ports import Cite
from ragopt.providers.deployment import Flaw
from ragopt.reading import AnswerReader
from ragopt.results import Prepared
from ragopt.telemetry import Trace

# What stands in a prompt or a web page and never in an answer.
FOREIGN = re.compile(
    r"</?passage\b|<!doctype html|<html\b|<\|[a-z_]+\|>|^\s*\{\s*\"(?:error|tool|function)\"", re.IGNORECASE
)
# A first sentence such as "Yes." is no claim yet: the opening goes on to one that is.
OPENING_WORDS = 6
# Of the claims, how many may be unsupported in an answer that is good enough: a better model costs many times as much.
BEARABLE = 0.5


@dataclass(frozen=True, slots=True)
class QualityGate:
    """Judges drafts. covered: the share of the question's topic words from which passages are held to cover it.

    cite: the checker that judges claims, one that leaves nothing out; None: answers are judged by their form alone.
    """

    covered: float = 0.7
    cite: Cite | None = None

    def ready(self, text: str) -> bool:
        """Return whether a stream's text so far holds its opening: whole sentences with six words or more."""
        return len(opening(text).split()) >= OPENING_WORDS

    async def flaw(self, text: str, prepared: Prepared, *, ended: bool, trace: Trace) -> Flaw | None:
        """Return what is wrong with an answer or with its opening; None if nothing is.

        After its form its claims are judged: half of them unsupported is too many.
        """
        if found := self.form_flaw(text, prepared.context):
            return Flaw(found)
        if self.cite is None or text.lstrip().startswith(ABSTENTION):
            return None
        checker = self.cite(prepared, trace=trace)
        await checker.feed(text if ended else opening(text))
        _, cited = await checker.finish()
        unsupported = sum(claim.support == "unsupported" for claim in cited.claims)
        if not unsupported or unsupported < BEARABLE * len(cited.claims):
            return None
        detail = f"{unsupported} of {len(cited.claims)} claims are not supported by what they cite"
        return Flaw(detail, unsupported=unsupported)

    def form_flaw(self, text: str, context: Context) -> str | None:
        """Return what is wrong with an answer or with its opening as one sees without reading the passages."""
        if not words(without_markers(text)):
            return "it says nothing"
        if found := FOREIGN.search(text):
            return f"it is not an answer: it holds {found.group().strip()!r}"
        if text.lstrip().startswith(ABSTENTION):
            share = coverage(context)
            covers = f"it abstains although the passages cover {share:.0%} of the question"
            return covers if share >= self.covered else None
        cited = {number for marker in markers(text) for number in numbers(marker)}
        if not cited & {passage.n for passage in context.passages}:
            return "it claims without a citation" if not cited else "it cites passages that are not there"
        return None


def opening(text: str) -> str:
    """Return the whole sentences that a stream's text so far begins with, "" for none."""
    return "".join(piece.text for piece in AnswerReader().feed(text))


def coverage(context: Context) -> float:
    """Return the share, in [0, 1], of the question's topic words that the passages have together."""
    return overlap(context.standalone_question, "\n".join(passage.text for passage in context.passages))
