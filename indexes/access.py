"""Who may read a document: the principals on its list, and readers who stand for principals.

A principal is a text such as `group:hr` or `user:ann`, compared code point by code point. Every point
of a document version carries one keyword for each principal of its list, or the one that stands for
everybody, in a field of its own that is indexed. A version's list never changes: a new list is a new
version, so whatever rests on a version rests on its list too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

# The list of a document: None for everybody of its tenant, () for nobody but readers of everything.
Access: TypeAlias = tuple[str, ...] | None

FIELD = "readers"
# No principal's keyword is this one: theirs are JSON strings or digests.
EVERYBODY = "everybody"
# Stands in the principals that a collection names for a list without any; no principal is empty.
NOBODY = ""
MAX_KEYWORD_CHARS = 200
# A collection that names more principals than this does not list them: its manifest is read with every search.
MAX_NAMED = 256


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads: the principals it stands for, sorted, each once. everything: whether no list binds it.

    Without either it reads what everybody of the tenant may read. Make one with `Reader.of`.
    """

    principals: tuple[str, ...] = ()
    everything: bool = False

    @classmethod
    def of(cls, principals: Iterable[str]) -> Reader:
        """Return the reader that stands for these principals."""
        return cls(tuple(sorted(set(principals))))

    def may_read(self, access: Access) -> bool:
        """Return whether it may read a document of this list."""
        return access is None or self.everything or not set(access).isdisjoint(self.principals)

    def narrowed(self, principals: Iterable[str]) -> Reader:
        """Return the reader that stands for those of these principals that this one stands for."""
        wanted = set(principals)
        return Reader.of(wanted if self.everything else wanted.intersection(self.principals))

    def covers(self, other: Reader) -> bool:
        """Return whether it may read whatever `other` may."""
        return self.everything or (not other.everything and set(other.principals) <= set(self.principals))

    def joined(self, other: Reader) -> Reader:
        """Return the reader that may read what either may."""
        if self.everything or other.everything:
            return EVERYTHING
        return Reader.of((*self.principals, *other.principals))

    def keywords(self) -> tuple[str, ...]:
        """Return the keywords of which a point must carry one; not for a reader of everything."""
        return (EVERYBODY, *map(keyword, self.principals))


EVERYTHING = Reader(everything=True)
ANYONE = Reader()


def keyword(principal: str) -> str:
    """Return the keyword of a principal, printable ASCII of at most 200 characters."""
    plain = json.dumps(principal)
    # What is plain starts with a quotation mark, so a digest is never taken for it.
    return plain if len(plain) <= MAX_KEYWORD_CHARS else f"sha256:{hashlib.sha256(plain.encode()).hexdigest()}"


def keywords_of(access: Access) -> list[str]:
    """Return the keywords of a document's list."""
    return [EVERYBODY] if access is None else [keyword(principal) for principal in sorted(set(access))]


def named(known: Access, lists: Iterable[Access]) -> Access:
    """Return the principals that the documents of a collection name, with those of more lists; None for too many."""
    if known is None:
        return None
    principals = set(known).union(*(item or (NOBODY,) for item in lists if item is not None))
    return tuple(sorted(principals)) if len(principals) <= MAX_NAMED else None


def told_apart(reader: Reader, known: Access) -> Reader:
    """Return the reader without the principals that no document names: it reads the same. known: as of `named`.

    Where there is no list at all, everybody reads the same.
    """
    if known is None or (reader.everything and known):
        return reader
    return Reader.of(set(known).intersection(reader.principals))


def bound(reader: Reader, known: Access) -> Reader:
    """Return the reader by whom a search must be held: one of everything where no document has a list.

    known: as of `named`. An engine compares every condition with every point that it scans.
    """
    return EVERYTHING if known == () else reader
