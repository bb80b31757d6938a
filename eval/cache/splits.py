"""A set of pairs in two parts that share no question."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from eval.cache.sets import QuestionPair


def held_out(
    pairs: Sequence[QuestionPair], *, share: float, salt: str
) -> tuple[list[QuestionPair], list[QuestionPair]]:
    """Return the pairs to train on and about `share` of them to test on; no question stands in both parts.

    Pairs that share a question, whatever its case, stay together. A digest of a group and the salt decides where it
    goes, so a set that grows keeps its parts.
    """
    groups = Groups()
    for pair in pairs:
        groups.join(key_of(pair.a), key_of(pair.b))
    parts: tuple[list[QuestionPair], list[QuestionPair]] = ([], [])
    for pair in pairs:
        parts[is_drawn(groups.of(key_of(pair.a)), share=share, salt=salt)].append(pair)
    return parts


def is_drawn(name: str, *, share: float, salt: str) -> bool:
    """Return whether a name is among about `share` of all names, by a digest of it and the salt."""
    return int.from_bytes(hashlib.sha256(f"{salt} {name}".encode()).digest()[:4]) < share * 2**32


def key_of(question: str) -> str:
    """Return what two spellings of a question have in common: its words and signs in lower case."""
    return " ".join(question.casefold().split())


class Groups:
    """Disjoint groups of names; the least name of a group stands for it. Source: union-find, Tarjan 1975."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def of(self, name: str) -> str:
        """Return the name that stands for the group."""
        root = name
        while (parent := self._parent.setdefault(root, root)) != root:
            root = parent
        while self._parent[name] != root:
            self._parent[name], name = root, self._parent[name]
        return root

    def join(self, one: str, other: str) -> None:
        """Make one group of two."""
        low, high = sorted((self.of(one), self.of(other)))
        self._parent[high] = low
