"""Made texts: phrases of attacks and of harmless look-alikes, put together from two files of templates."""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ragopt.injection.model import Place

FOLDER = Path(__file__).parent
ATTACKS, LOOKALIKES = FOLDER / "attacks.toml", FOLDER / "lookalikes.toml"
# The parts of each file, and where what they hold may stand.
PLACES: Mapping[str, tuple[Place, ...]] = {
    "anywhere": ("question", "document"),
    "documents": ("document",),
    "questions": ("question",),
}
SLOT = re.compile(r"\{(\w+)\}")
# Slots may hold slots, so deep.
DEEPEST = 4


@dataclass(frozen=True, slots=True)
class Family:
    """Templates of one kind. places: where such a text is what its file says it is."""

    name: str
    places: tuple[Place, ...]
    templates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grammar:
    """What one file holds: families of templates, and what may stand for each slot."""

    families: tuple[Family, ...]
    slots: Mapping[str, Sequence[str]]

    def texts(self, family: Family, *, each: int, rng: random.Random) -> Iterator[tuple[str, str]]:
        """Yield each template's name and a text made of it, `each` times, every time with slots of its own."""
        for number, template in enumerate(family.templates):
            for _ in range(each):
                yield f"{family.name}/{number}", self.filled(template, rng)

    def filled(self, template: str, rng: random.Random) -> str:
        """Return a template with a draw for each slot, slots within slots too; double braces become single."""
        text = template
        for _ in range(DEEPEST):
            text = SLOT.sub(lambda found: rng.choice(self.slots[found[1]]), text)
        return tidy(text.replace("{{", "{").replace("}}", "}"))


def tidy(text: str) -> str:
    """Return the text with the gaps of empty slots closed, and a capital where a sentence begins."""
    closed = re.sub(r" +([.,?]|!(?!\[))", r"\1", re.sub(r"(?<=\S) {2,}", " ", text)).strip(" ")
    sentence = re.match(r"[a-z]+ [a-z]+ [a-z]+.*[.!?]$", closed, re.DOTALL)
    return closed[:1].upper() + closed[1:] if sentence else closed


def read_grammar(path: Path) -> Grammar:
    """Return what a file of templates holds."""
    parts = tomllib.loads(path.read_text(encoding="utf-8"))
    families = [
        Family(name, places, tuple(family["templates"]))
        for part, places in PLACES.items()
        for name, family in parts.get(part, {}).items()
    ]
    return Grammar(tuple(families), {**parts["slots"], **parts["slots_more"]})
