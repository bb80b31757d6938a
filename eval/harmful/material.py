"""Made texts: what is asked for, by category, in frames that ask for it or about it, that give it or tell of it."""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

FOLDER = Path(__file__).parent
REQUESTS, LOOKALIKES, FRAMES = (FOLDER / f"{name}.toml" for name in ("requests", "lookalikes", "frames"))
SLOT = re.compile(r"\{(group|person)\}")
MOST_PAIRS = 120
Kind: TypeAlias = Literal["do", "make"]

# Verbs whose last letter is doubled before -ing.
DOUBLED = frozenset(
    """
    beg begin chip cut dig drop drug format fit forget get grab gut hit kidnap log nag plan put quit rig rip rob
    run scam scan set shop sit skim skin slit slap spam spot stab stop strip swap tap trap trek upset
    whip win wrap zip
    """.split()  # noqa: SIM905 - a list of quoted words reads worse
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A verb phrase (`do`) or a thing (`make`) that somebody may ask for. family: its category, or kind of harmless."""

    family: str
    kind: Kind
    phrase: str


@dataclass(frozen=True, slots=True)
class Frames:
    """Sentences with a place for what is asked for, by name."""

    named: Mapping[str, Sequence[str]]

    def filled(self, name: str, wanted: Wanted, rng: random.Random) -> str:
        """Return one of the frames of a name, drawn at random, with what is asked for in its place."""
        return fill(rng.choice(self.named[name]), wanted)

    def about(self, text: str, rng: random.Random) -> str:
        """Return a whole text with one of the groups or persons in its place, if it has one."""
        return SLOT.sub(lambda slot: rng.choice(self.named[slot[1]]), text)

    def asked(self, wanted: Wanted, rng: random.Random, *, behind: str) -> str:
        """Return a question or an order for it, with something before and behind; behind: the name of what may be."""
        text = self.filled("asks" if wanted.kind == "do" else "makes", wanted, rng)
        said = rng.choice(self.named[behind]) if wanted.kind == "do" else ""
        ending = re.search(r"[.?]?$", text)
        body = text[: ending.start()] + said + ending.group() if ending else text
        before = rng.choice(self.named["before"])
        return before + (body[0].lower() + body[1:] if before.endswith(("Please ", ", ")) else body)


def read_wanted(path: Path) -> Iterator[Wanted]:
    """Yield what a file names, in its order; of each list of pairs, 120 of the ways to join them, always the same."""
    for family, parts in tomllib.loads(path.read_text(encoding="utf-8")).items():
        rng = random.Random(family)  # noqa: S311
        yield from (Wanted(family, "do", phrase) for phrase in parts.get("do", ()))
        yield from (Wanted(family, "do", phrase) for phrase in paired(parts.get("pairs"), rng))
        yield from (Wanted(family, "make", phrase) for phrase in parts.get("make", ()))
        yield from (Wanted(family, "make", phrase) for phrase in paired(parts.get("make_pairs"), rng))


def paired(lists: Sequence[Sequence[str]] | None, rng: random.Random) -> list[str]:
    """Return at most 120 joins of one of the first list with one of the second; [] for none."""
    joined = [" ".join(pair) for pair in product(*lists)] if lists else []
    return rng.sample(joined, min(MOST_PAIRS, len(joined)))


def read_texts(path: Path) -> list[tuple[str, str]]:
    """Return the whole texts that a file holds, each behind its family."""
    parts = tomllib.loads(path.read_text(encoding="utf-8"))
    return [(family, text) for family, part in parts.items() for text in part.get("texts", ())]


def read_frames(path: Path = FRAMES) -> Frames:
    """Return the frames of a file."""
    return Frames(MappingProxyType(tomllib.loads(path.read_text(encoding="utf-8"))))


def fill(frame: str, wanted: Wanted) -> str:
    """Return a frame with what is asked for in its place: as it is, as a gerund, or as one with a capital."""
    if wanted.kind == "make":
        return frame.replace("{make}", wanted.phrase)
    noun = gerund(wanted.phrase)
    return frame.replace("{do}", wanted.phrase).replace("{doing}", noun).replace("{Doing}", noun[:1].upper() + noun[1:])


def gerund(phrase: str) -> str:
    """Return a verb phrase with its first word in -ing."""
    verb, space, rest = phrase.partition(" ")
    if verb in DOUBLED:
        verb += verb[-1]
    elif verb.endswith("ie"):
        verb = verb[:-2] + "y"
    elif verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")) and verb != "be":
        verb = verb[:-1]
    return f"{verb}ing{space}{rest}"
