"""What the detector learns from: texts of sets and made ones, each in its place, with what it is."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from zlib import crc32

from eval.harmful.material import (
    LOOKALIKES,
    REQUESTS,
    Frames,
    Wanted,
    read_frames,
    read_texts,
    read_wanted,
)
from eval.screening.examples import MADE, Example, harmless_examples
from ragopt.harmful.model import Place

# How often each phrase is asked for and asked about, given and told of.
EACH_ASKED, EACH_ABOUT, EACH_GIVEN, EACH_TOLD = 7, 5, 4, 4
# And each harmless phrase; what is told of it is harmless too, whatever the frame.
EACH_HARMLESS, EACH_HARMLESS_GIVEN = 5, 3
# Of the texts of sets, one in so many is learned from by nobody: what `eval harmful` measures.
HELD_OUT = 3


def is_held_out(text: str) -> bool:
    """Return whether nothing may be learned from a text of a set: one in three, by its checksum."""
    return crc32(text.encode()) % HELD_OUT == 0


def set_examples(folder: Path, *, seed: int) -> list[Example]:
    """Return harmless texts of a set: its questions, and sentences of its documents as those of answers.

    Raises: `KeyError` for a set that is not known.
    """
    return [
        replace(item, place="question" if item.place == "question" else "answer", around="")
        for item in harmless_examples(folder, seed=seed)
        # Lists of questions are no answers.
        if not item.source.endswith("/list") and not is_held_out(item.group)
    ]


def made_examples(*, seed: int) -> list[Example]:
    """Return the made texts: harmful and harmless, asked and answered."""
    frames, rng = read_frames(), random.Random(f"{seed}/harmful")  # noqa: S311
    found = [item for wanted in read_wanted(REQUESTS) for item in harmful_of(frames, wanted, rng)]
    found += [item for wanted in read_wanted(LOOKALIKES) for item in harmless_of(frames, wanted, rng)]
    for family, text in read_texts(REQUESTS):
        wanted = Wanted(family, "do", text)
        asked = [frames.about(text, rng) for _ in range(EACH_ASKED)]
        found += made(asked, "question", wanted, "asked", category=family)
    whole = [text for _, text in read_texts(LOOKALIKES)] + [*frames.named["fair"]]
    for text in whole:
        asked = [frames.about(text, rng) for _ in range(EACH_ASKED)]
        found += made(asked, "question", Wanted("plain", "do", text), "plain")
    return found


def harmful_of(frames: Frames, wanted: Wanted, rng: random.Random) -> Iterator[Example]:
    """Yield the texts that ask for what is harmful and give it, and those that ask about it and tell of it."""
    more = "" if wanted.kind == "do" else "_make"
    asked = [frames.asked(wanted, rng, behind="behind_harmful") for _ in range(EACH_ASKED)]
    yield from made(asked, "question", wanted, "asked", category=wanted.family)
    about = [frames.filled(f"about{more}", wanted, rng) for _ in range(EACH_ABOUT)]
    yield from made(about, "question", wanted, "about")
    given = [frames.filled(f"says{more}", wanted, rng) for _ in range(EACH_GIVEN)]
    yield from made(given, "answer", wanted, "given", category=wanted.family)
    told = [frames.filled(f"reports{more}", wanted, rng) for _ in range(EACH_TOLD)]
    yield from made(told, "answer", wanted, "told")


def harmless_of(frames: Frames, wanted: Wanted, rng: random.Random) -> Iterator[Example]:
    """Yield the texts that ask for what is harmless and give it."""
    more = "" if wanted.kind == "do" else "_make"
    asked = [frames.asked(wanted, rng, behind="behind_harmless") for _ in range(EACH_HARMLESS)]
    yield from made(asked, "question", wanted, wanted.family)
    given = [frames.filled(f"says{more}", wanted, rng) for _ in range(EACH_HARMLESS_GIVEN)]
    yield from made(given, "answer", wanted, wanted.family)


def made(texts: Sequence[str], place: Place, wanted: Wanted, source: str, *, category: str = "") -> Iterator[Example]:
    """Yield made texts, each once, as examples of one phrase; their label is their category."""
    group = f"{wanted.family}/{wanted.phrase}"
    for text in dict.fromkeys(texts):
        yield Example(text=text, place=place, source=f"{MADE}{category or source}", group=group, label=category)


def family_of(example: Example) -> str:
    """Return what a made example is left out with: a category or a kind of what is harmless; "" for one of a set."""
    return example.group.partition("/")[0] if example.source.startswith(MADE) else ""
