"""Text to the phrases that a later question may refer to: names as a whole, other topic words one by one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ragopt.evidence import STOP_WORDS, words
from ragopt.stages.rewrite.vocabulary import LINKS, NAMELESS

TOKEN = re.compile(r"[^\W_]+(?:[.'’-][^\W_]+)*|[^\w\s]|\n")
SENTENCE_ENDS = frozenset(".!?\n")
OPENING_MARKS = frozenset("\"'“‘(")


@dataclass(frozen=True, slots=True)
class Phrase:
    """A name, or one topic word.

    words: its topic words, at least one. text: as it was written, its tokens joined by spaces. named: whether it is a
    run of capitalised words. start, end: its tokens in the text, half open. before, after: the tokens around it in
    lower case, "" at the ends of the text. after_phrase, before_phrase: whether another phrase touches it.
    """

    words: tuple[str, ...]
    text: str
    named: bool
    start: int
    end: int
    before: str
    after: str
    after_phrase: bool = False
    before_phrase: bool = False


def tokens_of(text: str) -> list[str]:
    """Return words, punctuation marks and line breaks in order."""
    return TOKEN.findall(text)


def phrases_of(tokens: Sequence[str]) -> list[Phrase]:
    """Return the phrases of a text in order; they do not overlap. [] for no topic words."""
    found: list[Phrase] = []
    at, opens = 0, True
    while at < len(tokens):
        token = tokens[at]
        if not token[0].isalnum():
            opens = token in SENTENCE_ENDS or (opens and token in OPENING_MARKS)
            at += 1
            continue
        named = begins_name(tokens, at, opens=opens)
        end = name_end(tokens, at) if named else at + 1
        inside = tuple(words(" ".join(part for part in tokens[at:end] if part[0].isalnum())))
        if inside and not NAMELESS.issuperset(inside):
            found.append(phrase_at(tokens, at, end, inside=inside, named=named, before=found))
        at, opens = end, False
    return found


def begins_name(tokens: Sequence[str], at: int, *, opens: bool) -> bool:
    """Return whether a name begins here; at the beginning of a sentence only if its second word shows that."""
    word = tokens[at]
    if not word[0].isupper() or word == "I":
        return False
    topical = word.lower() not in STOP_WORDS | NAMELESS
    next_is_capital = at + 1 < len(tokens) and tokens[at + 1][0].isupper() and tokens[at + 1] != "I"
    if opens and not (topical and next_is_capital) and not any(letter.isupper() for letter in word[1:]):
        return False
    return topical or next_is_capital


def name_end(tokens: Sequence[str], start: int) -> int:
    """Return where the name ends that begins at `start`: capitalised words, with link words between them."""
    end = start + 1
    while end < len(tokens):
        linked = end
        while linked < len(tokens) and linked - end < 2 and tokens[linked].lower() in LINKS:
            linked += 1
        if linked == len(tokens) or not tokens[linked][0].isupper():
            break
        end = linked + 1
    # "Model 3", "Windows 11".
    return end + (end < len(tokens) and tokens[end].isdecimal())


def phrase_at(
    tokens: Sequence[str], start: int, end: int, *, inside: tuple[str, ...], named: bool, before: list[Phrase]
) -> Phrase:
    """Return the phrase of tokens[start:end]; tells the one before it in the list if they touch."""
    touches = bool(before) and before[-1].end == start
    if touches:
        before[-1] = replace(before[-1], before_phrase=True)
    return Phrase(
        words=inside,
        text=" ".join(tokens[start:end]),
        named=named,
        start=start,
        end=end,
        before=tokens[start - 1].lower() if start else "",
        after=tokens[end].lower() if end < len(tokens) else "",
        after_phrase=touches,
    )
