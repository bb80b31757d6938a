"""What a question shows of whether it leans on what was said before: named numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from ragopt.evidence import STOP_WORDS, words
from ragopt.stages.rewrite.conversation import Rarity, ReadTurn
from ragopt.stages.rewrite.phrases import Phrase, phrases_of, tokens_of
from ragopt.stages.rewrite.vocabulary import (
    ASKING,
    AUXILIARIES,
    COMPARING,
    CONJUNCTIONS,
    NEUTER,
    PERSON,
    POINTING,
    PREPOSITIONS,
    PRONOUNS,
    THINGS,
    TRAILING,
)

# Words that tell of a question by being in it.
GROUPS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "person": PERSON,
        "things": THINGS,
        "its": frozenset({"its"}),
        "these": frozenset({"these", "those"}),
        "one": frozenset({"one", "ones"}),
        "else": frozenset({"else"}),
        "other": frozenset({"other", "others", "another"}),
        "degree": frozenset({"more", "most", "best", "better", "worse"}),
        "same": COMPARING,
        "any": frozenset({"any"}),
        "you": frozenset({"you", "your"}),
        "me": frozenset({"i", "my", "me", "we", "our"}),
        "article": frozenset({"article"}),
        "of": frozenset({"of"}),
        "preposition": PREPOSITIONS,
    }
)
# "It" that stands for nothing that was said.
EMPTY_IT = re.compile(
    r"\b(?:is|was|would|will|does|can) it (?:be |ever )?(?:\w+ly )?(?:necessary|possible|better|safe|true|worth|"
    r"important|likely|legal|take|mean|cost|matter|common|hard|easy|difficult|okay|ok|good|bad|normal|a good|rain|"
    r"harder|easier)\b|\bit (?:takes?|means?)\b|\bit is (?:\w+ly )?\w+ (?:to|that)\b",
    re.IGNORECASE,
)
INTRODUCES = re.compile(
    r"^\W*(?:ok\W+)?(?:what(?:['’]s| is| are| was| were)?(?: the (?:meaning|definition) of)?(?: an?| the)?|"
    r"who (?:is|was|are|were)|tell me(?: more)? about|describe|define|explain|how (?:is|are) (?:an? )?)\s+",
    re.IGNORECASE,
)
ASKS_ABOUT = re.compile(r"^\W*(?:what|how) about\b", re.IGNORECASE)
BARE_WHY = re.compile(r"^\W*(?:why|how|when|where|what|who)(?: not| so| was that| is that)?\W*$", re.IGNORECASE)
OPENS_ASKING = re.compile(
    r"^\W*(?:what|who|whom|whose|when|where|which|why|how|is|are|was|were|do|does|did|can|could|will|would|should|"
    r"has|have|had|tell|give|describe|explain|list|name)\b",
    re.IGNORECASE,
)
RECENT_TURNS = 4
LONG_NOUN = 3
MAX_RARE_WORDS = 8.0


@dataclass
class Asked:
    """A question taken apart, over the turns before it. Everything is made when it is first used."""

    text: str
    turns: Sequence[ReadTurn]
    rarity: Rarity

    @cached_property
    def tokens(self) -> list[str]:
        """Return its words and marks."""
        return tokens_of(self.text)

    @cached_property
    def lower(self) -> list[str]:
        """Return the tokens in lower case."""
        return [token.lower() for token in self.tokens]

    @cached_property
    def spoken(self) -> list[str]:
        """Return the words in lower case, marks left out."""
        return [token for token in self.lower if token[0].isalnum()]

    @cached_property
    def topics(self) -> list[str]:
        """Return the distinct topic words in order."""
        return list(dict.fromkeys(words(self.text)))

    @cached_property
    def phrases(self) -> list[Phrase]:
        """Return the phrases."""
        return phrases_of(self.tokens)

    @cached_property
    def said(self) -> frozenset[str]:
        """Return the topic words of the turns before."""
        return frozenset().union(*(turn.words for turn in self.turns))

    @cached_property
    def pronoun_at(self) -> int | None:
        """Return where the first pronoun stands, None for none or an `it` that stands for nothing."""
        places = [at for at, token in enumerate(self.lower) if token in PRONOUNS]
        return places[0] if places and not EMPTY_IT.search(self.text) else None

    def signs(self) -> dict[str, float]:
        """Return all the numbers by name."""
        found = {**self._words(), **self._references(), **self._size(), **self._novelty()}
        cue = max(
            found[name] for name in ("unbound", "alone", "pointed_noun", "one", "its", "person", "things", "neuter")
        )
        found["cue"] = cue
        for name in ("named", "four_topics", "rarest_new", "known", "introduces", "closed", "new", "named_new", "rare"):
            found[f"{name}_without_cue"] = (1 - cue) * found[name]
        return {**found, "named_with_cue": cue * found["named"], "four_topics_with_cue": cue * found["four_topics"]}

    def _words(self) -> dict[str, float]:
        spoken = set(self.spoken)
        return {
            **{name: float(bool(spoken & group)) for name, group in GROUPS.items()},
            "conjunction": float(self.spoken[:1] != [] and self.spoken[0] in CONJUNCTIONS),
            "trailing": float(self.spoken[-1:] != [] and self.spoken[-1] in TRAILING),
            "ends_in_preposition": float(self.spoken[-1:] != [] and self.spoken[-1] in PREPOSITIONS),
            "asks_about": float(bool(ASKS_ABOUT.match(self.text))),
            "bare_why": float(bool(BARE_WHY.match(self.text))),
            "asks": float(bool(OPENS_ASKING.match(self.text))),
            "no_verb": float(not spoken & (AUXILIARIES | ASKING)),
        }

    def _references(self) -> dict[str, float]:
        at = self.pronoun_at
        before = [] if at is None else [phrase for phrase in self.phrases if phrase.start < at]
        empty = bool(EMPTY_IT.search(self.text))
        nouns = closed_nouns(self.tokens)
        return {
            "neuter": float(bool(set(self.spoken) & NEUTER) and not empty),
            "empty_it": float(empty),
            "unbound": float(at is not None and not before),
            "bound": float(bool(before)),
            "bound_to_plural": float(at is not None and self.lower[at] in THINGS and any(map(is_plural, before))),
            "bound_to_name": float(any(phrase.named for phrase in before)),
            "alone": float(any(stands_alone(self.lower, at) for at in range(len(self.lower)))),
            "pointed_noun": float(any(points_at_noun(self.lower, at) for at in range(len(self.lower)))),
            "closed": float(bool(nouns)),
            "closed_known": float(any(word in self.said for noun in nouns for word in words(noun))),
        }

    def _size(self) -> dict[str, float]:
        topics, questions = len(self.topics), sum(turn.by_user for turn in self.turns)
        return {
            **{f"{name}_topics": float(topics == number) for number, name in enumerate(("no", "one", "two", "three"))},
            "four_topics": float(topics >= 4),
            "six_topics": float(topics >= 6),
            "three_words": float(len(self.spoken) <= 3),
            "named": float(any(phrase.named for phrase in self.phrases)),
            "number": float(any(letter.isdigit() for letter in self.text)),
            "second_turn": float(questions == 1),
        }

    def _novelty(self) -> dict[str, float]:
        names = [set(phrase.words) for phrase in self.phrases if phrase.named]
        new = [word for word in self.topics if word not in self.said]
        recent = frozenset().union(*(turn.words for turn in self.turns[-RECENT_TURNS:]))
        rarities = {word: self.rarity.of(word) for word in self.topics}
        opening = INTRODUCES.match(self.text)
        subject = set(words(self.text[opening.end() :])) if opening else set()
        short = 1 <= len(subject) <= 2
        return {
            "named_new": float(any(not name & self.said for name in names)),
            "named_known": float(any(name & self.said for name in names)),
            "new": math.log1p(len(new)),
            "rarest_new": max((rarities[word] for word in new), default=0.0),
            "rarest": max(rarities.values(), default=0.0),
            "rarest_known": max((rarities[word] for word in self.topics if word in self.said), default=0.0),
            "rare": min(MAX_RARE_WORDS, sum(rarities.values())) / MAX_RARE_WORDS,
            "known": len(recent & set(self.topics)) / max(1, len(self.topics)),
            "introduces": float(short and len(subject) == len(self.topics)),
            "introduces_new": float(short and any(word in new for word in subject)),
        }


def is_plural(phrase: Phrase) -> bool:
    """Return whether a phrase ends like a plural."""
    return phrase.text.endswith("s") and not phrase.text.endswith("ss")


def stands_alone(lower: Sequence[str], at: int) -> bool:
    """Return whether `this` or `that` stands here for something said, not before a noun or a clause."""
    if lower[at] not in ("this", "that"):
        return False
    after = lower[at + 1] if at + 1 < len(lower) else "?"
    if not after[0].isalnum() or after in AUXILIARIES or after in PREPOSITIONS:
        return True
    return lower[at] == "this" and after in STOP_WORDS


def points_at_noun(lower: Sequence[str], at: int) -> bool:
    """Return whether a pointing word stands here before a topic word; `that` only where no clause can begin."""
    if lower[at] not in POINTING or at + 1 == len(lower):
        return False
    after = lower[at + 1]
    if not after[0].isalnum() or after in STOP_WORDS:
        return False
    return lower[at] != "that" or at == 0 or lower[at - 1] in PREPOSITIONS or lower[at - 1] in AUXILIARIES


def closed_nouns(tokens: Sequence[str]) -> list[str]:
    """Return the last word of each `the` with at most two topic words behind it and nothing that says which one."""
    found: list[str] = []
    for at, token in enumerate(tokens):
        if token.lower() != "the":
            continue
        end = at + 1
        while end < len(tokens) and tokens[end][0].isalnum() and tokens[end].lower() not in STOP_WORDS:
            end += 1
        named = any(part[0].isupper() for part in tokens[at + 1 : end])
        explained = end < len(tokens) and tokens[end].lower() in PREPOSITIONS
        if 1 < end - at <= LONG_NOUN and not named and not explained:
            found.append(tokens[end - 1])
    return found
