"""Follow-up to standalone question, by rule: what is referred to is looked for in the last user turn."""

from __future__ import annotations

import re

from ragopt.domain import Question
from ragopt.evidence import words
from ragopt.results import Standalone
from ragopt.telemetry import Trace

REFERS_BACK = re.compile(
    r"\b(?:it|its|they|them|their|theirs|this|that|these|those|he|him|his|she|her|hers|there|one|ones|same)\b",
    re.IGNORECASE,
)
OPENS_AS_FOLLOW_UP = re.compile(
    r"^\W*(?:and|but|or|so|also|then|what about|how about|what else|why|why not|how so|such as|which one)\b",
    re.IGNORECASE,
)
SHORT_QUESTION_WORDS = 2
MAX_CARRIED_WORDS = 8


async def rewrite(question: Question, *, trace: Trace) -> Standalone:  # noqa: ARG001 - a rule makes no notes
    """Return the question with the topic words of the last user turn behind it if it leans on them, else unchanged."""
    asked = [turn.content for turn in question.history if turn.role == "user"]
    if not asked or not leans_on_history(question.text):
        return Standalone(question.text)
    own = set(words(question.text))
    carried = [word for word in dict.fromkeys(words(asked[-1])) if word not in own][:MAX_CARRIED_WORDS]
    if not carried:
        return Standalone(question.text, sure=False)
    return Standalone(f"{question.text} ({' '.join(carried)})", sure=False, changed=True)


def leans_on_history(text: str) -> bool:
    """Return whether a question refers back, opens as a follow-up or has hardly a word of its own."""
    return bool(REFERS_BACK.search(text) or OPENS_AS_FOLLOW_UP.match(text) or len(words(text)) <= SHORT_QUESTION_WORDS)
