"""Which sentences of old turns are worth keeping: facts with numbers, names, dates, decisions and preferences.

By form alone, so that it costs no model call: what carries a digit, a date, a name or a first person's
plan or liking is kept before what greets, thanks, praises or asks. The word lists are English; digits and
capitals serve other languages too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from indexes.sentences import sentence_spans
from ragopt.domain import Role, Turn
from ragopt.evidence import words

NUMBER = re.compile(r"\d")
DATE = re.compile(
    r"\b(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day|january|february|march|april|june|july|august|september"
    r"|october|november|december|yesterday|tomorrow|tonight|(?:last|next|this) (?:week|month|year|weekend)|ago)\b",
    re.IGNORECASE,
)
# A capital that does not open the sentence, and is not the pronoun.
NAME = re.compile(r"(?<=\w\s)(?!I\b)[A-ZÀ-ÖØ-Þ][\w’'-]+")
DECISION = re.compile(
    r"\b(?:decided?|agreed?|chose|chosen|plan(?:s|ned|ning)?|going to|will|won't|must|need(?:s|ed)?|want(?:s|ed)?"
    r"|booked|bought|started|finished|signed|moved|joined|confirmed|cancelled|canceled|instead of)\b",
    re.IGNORECASE,
)
PREFERENCE = re.compile(
    r"\b(?:prefer(?:s|red)?|likes?|loves?|hates?|dislikes?|enjoys?|favou?rites?|allergic|vegetarian|vegan"
    r"|always|never|can't stand|interested in|passionate about|fan of)\b",
    re.IGNORECASE,
)
FIRST_PERSON = re.compile(r"\b(?:i|i'm|i've|i'll|my|we|our|me)\b", re.IGNORECASE)
CHATTER = re.compile(
    r"^\W*(?:hi|hey|hello|thanks?|thank you|wow|great|cool|nice|awesome|sure|ok(?:ay)?|yes|yeah|yep|no problem"
    r"|sounds good|good luck|bye|take care|you're welcome|congrats|congratulations|that's (?:great|awesome|cool))\b",
    re.IGNORECASE,
)
CHATTER_WORDS = 6
SAME = 0.8


@dataclass(frozen=True, slots=True)
class Fact:
    """A sentence that somebody said: its place among all of them, the speaker, and what it is worth, at least 0."""

    at: int
    role: Role
    text: str
    worth: float

    @property
    def line(self) -> str:
        """Return the sentence as a line of a summary."""
        return f"- {self.role}: {self.text}"


def facts_of(turns: Sequence[Turn]) -> list[Fact]:
    """Return the sentences of the turns in order, each on one line, with their worth; [] for none."""
    said = ((turn.role, sentence) for turn in turns for sentence in sentences_of(turn.content))
    return [Fact(at, role, text, worth(text, role)) for at, (role, text) in enumerate(said)]


def sentences_of(text: str) -> list[str]:
    """Return the sentences of a text, white space folded; a line break ends one too."""
    lines = (line for line in text.splitlines() if line.strip())
    return [" ".join(line[start:end].split()) for line in lines for start, end in sentence_spans(line, 0, len(line))]


def worth(sentence: str, role: Role) -> float:
    """Return how much of a fact a sentence is: one point per sign of one, less for chatter and questions; 0 for none.

    What a user says of themselves is nowhere else; what the assistant said came from documents, which can be asked
    again: it weighs half.
    """
    topics = len(words(sentence))
    if not topics or (CHATTER.match(sentence) and topics <= CHATTER_WORDS):
        return 0.0
    signs = sum(1.0 for sign in (NUMBER, DATE, NAME, DECISION, PREFERENCE) if sign.search(sentence))
    signs += 0.5 if FIRST_PERSON.search(sentence) else 0.0
    if sentence.rstrip().endswith("?"):
        signs *= 0.5
    return (signs + min(topics, 12) / 12) * (1.0 if role == "user" else 0.5)


def distinct(facts: Iterable[Fact]) -> list[Fact]:
    """Return the facts, most worth first, earlier ones first where they are equal, without those that repeat one."""
    kept: list[tuple[Fact, set[str]]] = []
    for fact in sorted(facts, key=lambda item: (-item.worth, item.at)):
        own = set(words(fact.text))
        if fact.worth > 0 and not any(len(own & other) >= SAME * len(own) for _, other in kept):
            kept.append((fact, own))
    return [fact for fact, _ in kept]
