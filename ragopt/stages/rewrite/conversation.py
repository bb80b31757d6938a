"""What is read of a conversation: its last turns and its first, each cut, whatever its length."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ragopt.domain import Turn
from ragopt.evidence import words
from ragopt.stages.rewrite.phrases import Phrase, phrases_of, tokens_of

# Nine in ten words that a person carried into a follow-up stand in so many turns, on canard, or in the first.
TURNS_READ = 10
CHARACTERS_READ = 600
PHRASES_READ = 60
CITATION = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class ReadTurn:
    """A turn as far as it is read.

    back: how many questions ago: 1 for the last question, 0 for the answer to it. first: whether the
    conversation begins with it. length: its tokens.
    """

    by_user: bool
    back: int
    first: bool
    length: int
    words: frozenset[str]
    phrases: tuple[Phrase, ...]


def read_turns(history: Sequence[Turn]) -> list[ReadTurn]:
    """Return the first turn and the last ten, oldest first; [] for no history."""
    recent = list(history[-TURNS_READ:])
    chosen = [history[0], *recent] if len(history) > len(recent) else recent
    found: list[ReadTurn] = []
    back = 0
    for place in range(len(chosen) - 1, -1, -1):
        turn = chosen[place]
        back += turn.role == "user"
        text = CITATION.sub("", turn.content[:CHARACTERS_READ])
        tokens = tokens_of(text)
        found.append(
            ReadTurn(
                by_user=turn.role == "user",
                back=back,
                first=place == 0,
                length=len(tokens),
                words=frozenset(words(text)),
                phrases=tuple(phrases_of(tokens)[:PHRASES_READ]),
            )
        )
    return found[::-1]


@dataclass(frozen=True, slots=True)
class Rarity:
    """How rare English words are, from 0 to 1: what the table has, 1 for any other word."""

    table: Mapping[str, float]

    def of(self, word: str) -> float:
        """Return the rarity of a topic word as `ragopt.evidence.words` gives it."""
        return self.table.get(word, 1.0)
