"""Carried phrases into the question: in the place of the pronoun where it reads well, else in brackets behind it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ragopt.stages.rewrite.candidates import Candidate
from ragopt.stages.rewrite.signs import EMPTY_IT

PRONOUN = re.compile(r"\b(its|their|his|her|it|they|them|he|him|she)\b", re.IGNORECASE)
POSSESSIVES = frozenset({"its", "their", "his"})
# Behind an object pronoun stands none of these; behind `her` that means `hers`, a noun or an adjective does.
WORD_BEHIND = re.compile(r"\s+[^\W\d_]")
JOINED = " "


def joined_runs(carried: Sequence[Candidate]) -> list[str]:
    """Return the phrases as they were written, those that touched in their turn as one text, in order."""
    runs: list[str] = []
    before: Candidate | None = None
    for candidate in carried:
        together = (
            before is not None and before.turns[-1] is candidate.turns[-1] and before.last.end == candidate.last.start
        )
        if together:
            runs[-1] += JOINED + candidate.last.text
        else:
            runs.append(candidate.last.text)
        before = candidate
    return runs


def worded(question: str, carried: Sequence[Candidate]) -> str:
    """Return the question with the carried phrases in it; at least one."""
    runs = joined_runs(carried)
    names = [run for run in runs if JOINED in run or run[:1].isupper()]
    pronoun = PRONOUN.search(question)
    if len(names) != 1 or pronoun is None or stands_for_nothing(question, pronoun):
        return f"{question} ({', '.join(runs)})"
    rest = [run for run in runs if run != names[0]]
    replaced = in_place(question, names[0], pronoun)
    return f"{replaced} ({', '.join(rest)})" if rest else replaced


def stands_for_nothing(question: str, pronoun: re.Match[str]) -> bool:
    """Return whether the pronoun is an `it` as in "is it possible"."""
    return any(empty.start() <= pronoun.start() < empty.end() for empty in EMPTY_IT.finditer(question))


def in_place(question: str, name: str, pronoun: re.Match[str]) -> str:
    """Return the question with the name, or its possessive, where the pronoun was."""
    word = pronoun.group().lower()
    owns = word in POSSESSIVES or (word == "her" and WORD_BEHIND.match(question, pronoun.end()) is not None)
    put = f"{name}{'’' if name.endswith('s') else '’s'}" if owns else name
    if pronoun.group()[0].isupper():
        put = put[0].upper() + put[1:]
    return question[: pronoun.start()] + put + question[pronoun.end() :]
