"""Turns to the phrases that a follow-up may mean, each with what speaks for it: named numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ragopt.stages.rewrite.conversation import Rarity, ReadTurn
from ragopt.stages.rewrite.phrases import Phrase
from ragopt.stages.rewrite.vocabulary import ASKING, AUXILIARIES, DETERMINERS, PREPOSITIONS

SHORT_ANSWER = 8
ENDINGS = ("ing", "ed", "ly")


@dataclass(slots=True)
class Candidate:
    """A phrase of the history, with every turn in which it stands, oldest first."""

    words: tuple[str, ...]
    phrases: list[Phrase] = field(default_factory=list)
    turns: list[ReadTurn] = field(default_factory=list)

    @property
    def last(self) -> Phrase:
        """Return it as it was written last."""
        return self.phrases[-1]


def candidates_of(turns: Sequence[ReadTurn], known: frozenset[str]) -> list[Candidate]:
    """Return the distinct phrases with a word that is not `known`, in the order in which they were said last."""
    found: dict[tuple[str, ...], Candidate] = {}
    for turn in turns:
        for phrase in turn.phrases:
            if known.issuperset(phrase.words):
                continue
            candidate = found.pop(phrase.words, None) or Candidate(phrase.words)
            candidate.phrases.append(phrase)
            candidate.turns.append(turn)
            found[phrase.words] = candidate
    return list(found.values())


def features_of(
    candidate: Candidate, turns: Sequence[ReadTurn], *, known: frozenset[str], rarity: Rarity
) -> dict[str, float]:
    """Return all the numbers of a candidate by name; `known` are the question's own topic words."""
    return {
        **places(candidate),
        **repetition(candidate, turns),
        **shape(candidate, rarity),
        **surroundings(candidate),
        "shares_a_word": float(not known.isdisjoint(candidate.words)),
    }


def places(candidate: Candidate) -> dict[str, float]:
    """Return in which turns it stands, and how long ago."""
    asked = {turn.back for turn in candidate.turns if turn.by_user}
    answered = {turn.back for turn in candidate.turns if not turn.by_user}
    last, back = candidate.turns[-1], min(asked | answered)
    return {
        **{f"asked_{ago}": float(ago in asked) for ago in (1, 2, 3)},
        **{f"answered_{ago}": float(ago in answered) for ago in (0, 1, 2)},
        "last_in_answer": float(not last.by_user and last.back == 0),
        "first_turn": float(any(turn.first for turn in candidate.turns)),
        "recent": math.exp(-back / 2),
        "back": math.log1p(back),
        "only_answered": float(not asked),
        "short_answer": float(not last.by_user and last.length < SHORT_ANSWER),
        "turn_length": math.log1p(last.length),
    }


def repetition(candidate: Candidate, turns: Sequence[ReadTurn]) -> dict[str, float]:
    """Return how often it is spoken of; a longer name's first or last word counts as the name."""
    ends = {candidate.words[0], candidate.words[-1]}
    spoken = sum(not ends.isdisjoint(turn.words) for turn in turns)
    return {
        "spoken": math.log1p(spoken),
        "spoken_share": spoken / len(turns),
        "times_asked": math.log1p(len({id(turn) for turn in candidate.turns if turn.by_user})),
        "times_answered": math.log1p(len({id(turn) for turn in candidate.turns if not turn.by_user})),
    }


def shape(candidate: Candidate, rarity: Rarity) -> dict[str, float]:
    """Return what it looks like."""
    text = candidate.last.text
    head = text.split()[-1].lower()
    named = any(phrase.named for phrase in candidate.phrases)
    return {
        "is_named": float(named),
        "name_words": math.log1p(len(candidate.words)) if named else 0.0,
        "has_number": float(any(letter.isdigit() for letter in text)),
        "rarity": max(rarity.of(word) for word in candidate.words),
        "length": math.log1p(len(text)),
        "plural": float(head.endswith("s") and not head.endswith("ss")),
        **{f"ends_{ending}": float(head.endswith(ending)) for ending in ENDINGS},
    }


def surroundings(candidate: Candidate) -> dict[str, float]:
    """Return what stands around it where it was written last."""
    phrase, turn = candidate.last, candidate.turns[-1]
    before, after = phrase.before, phrase.after
    return {
        "position": phrase.start / max(1, turn.length),
        "first_phrase": float(phrase == turn.phrases[0]),
        "last_phrase": float(phrase == turn.phrases[-1]),
        "after_preposition": float(before in PREPOSITIONS),
        "after_determiner": float(before in DETERMINERS),
        "after_the": float(before == "the"),
        "after_auxiliary": float(before in AUXILIARIES),
        "after_asking": float(before in ASKING),
        "after_mark": float(not before[:1].isalnum()),
        "before_mark": float(after == "" or after in ".?!"),
        "before_comma": float(after == ","),
        "before_preposition": float(after in PREPOSITIONS),
        "before_auxiliary": float(after in AUXILIARIES),
        "after_phrase": float(phrase.after_phrase),
        "before_phrase": float(phrase.before_phrase),
    }
