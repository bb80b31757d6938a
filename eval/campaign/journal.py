"""What clients know of the documents they write, and so what a reader may be shown."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SENTENCES = 8
EXAMPLES = 20
# Both ends of an edition's sentence; a document is known by its name, an edition by its number.
SENTENCE = re.compile(r"Sentence \d+ of edition (\d+) of (doc-\d+) stands here\.")


def text_of(name: str, edition: int) -> str:
    """Return an edition's text: every sentence names its document, its edition and its place."""
    return " ".join(f"Sentence {n} of edition {edition} of {name} stands here." for n in range(SENTENCES))


@dataclass(slots=True)
class Faults:
    """What must be 0, counted by kind, with examples. Safe from several threads."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, example: str, number: int = 1) -> None:
        """Count `number` faults of a kind, with an example if there are any."""
        with self.lock:
            self.counts[kind] += number
            if number and len(self.examples) < EXAMPLES:
                self.examples.append(f"{kind}: {example}")


@dataclass(slots=True)
class Fate:
    """What is known of one document. Operations are numbered in the order they are sent; each makes an edition.

    floor: the newest operation that was acknowledged, 0 for none. deleted: whether that was a deletion.
    pending: what was sent after it and not answered, number to whether it deletes.
    """

    floor: int = 0
    deleted: bool = True
    pending: dict[int, bool] = field(default_factory=dict)

    def may_be(self, edition: int | None) -> bool:
        """Return whether this edition may be stored now, None for no document."""
        if edition is None:
            return self.deleted or any(self.pending.values())
        return (edition == self.floor and not self.deleted) or self.pending.get(edition) is False

    def may_be_shown(self, edition: int) -> bool:
        """Return whether a question that is asked now may be shown this edition by the time it is answered."""
        return edition > self.floor or (edition == self.floor and not self.deleted)


@dataclass(slots=True)
class Journal:
    """The fates of all documents, by name. One writer owns a document, so its operations have an order."""

    fates: dict[str, Fate] = field(default_factory=dict)
    operations: int = 0
    acknowledged: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, names: Sequence[str], *, deletes: bool = False) -> int:
        """Return the number of an operation on these documents that is about to be sent."""
        with self.lock:
            self.operations += 1
            for name in names:
                self.fates.setdefault(name, Fate()).pending[self.operations] = deletes
            return self.operations

    def acknowledge(self, names: Sequence[str], operation: int) -> None:
        """Note that the service said that it is done."""
        with self.lock:
            self.acknowledged += 1
            for name in names:
                fate = self.fates[name]
                fate.floor, fate.deleted = operation, fate.pending[operation]
                fate.pending.clear()

    def again(self, names: Sequence[str], operation: int) -> None:
        """Note that an operation that was not answered is about to be sent once more."""
        with self.lock:
            for name in names:
                self.fates[name].pending[operation] = False

    def settle(self, name: str, edition: int | None) -> None:
        """Note what a restart left: what was not answered either counts from now on or never will."""
        with self.lock:
            fate = self.fates.setdefault(name, Fate())
            newest = max([fate.floor, *(number for number, deletes in fate.pending.items() if deletes)])
            fate.floor, fate.deleted = (newest, True) if edition is None else (edition, False)
            fate.pending.clear()

    def snapshot(self) -> dict[str, Fate]:
        """Return the fates as they are now."""
        with self.lock:
            return {name: Fate(fate.floor, fate.deleted, dict(fate.pending)) for name, fate in self.fates.items()}


def check_passages(passages: Sequence[Mapping[str, object]], before: Mapping[str, Fate], faults: Faults) -> None:
    """Count what is wrong with the passages of one response; before: the fates when it was asked for.

    Of one document all are of one edition, none is older than what was acknowledged, and none comes twice.
    """
    editions: dict[str, set[int]] = {}
    versions: dict[str, set[object]] = {}
    for passage in passages:
        name = str(passage["document_id"])
        versions.setdefault(name, set()).add(passage["version"])
        for edition, named in SENTENCE.findall(str(passage["text"])):
            editions.setdefault(name, set()).add(int(edition))
            if named != name:
                faults.note("mixed", f"a passage of {name} says {passage['text']!r}")
    for name, found in editions.items():
        if len(found) > 1 or len(versions[name]) > 1:
            faults.note("mixed", f"one response holds editions {sorted(found)} of {name}")
        fate = before.get(name, Fate())
        stale = [edition for edition in found if not fate.may_be_shown(edition)]
        if stale:
            faults.note(
                "phantom", f"{name}: edition {stale[0]} was shown after operation {fate.floor} was acknowledged"
            )
    chunks = [str(passage["chunk_id"]) for passage in passages]
    if len(set(chunks)) < len(chunks):
        faults.note("duplicate", f"a response holds a chunk twice: {chunks}")
