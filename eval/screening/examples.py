"""What detectors of texts learn from: a text where it stands, and the harmless ones of known sets."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

from eval.datasets import jsonl_file, jsonl_in, rows_of
from ragopt.screening.pieces import pieces, windows

# Where a text may stand; each detector knows two of them.
Place: TypeAlias = Literal["question", "document", "answer"]

# How the sources of made texts begin.
MADE = "made/"
LISTED_CHARS = 300
# Of a set's texts, at most.
MOST_QUESTIONS, MOST_PIECES = 1_000, 800
# Of a set's questions, so many stand in a document among others of it, as in a list of questions or a chat.
MOST_LISTED = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A text where it stands. source: set, or family of made texts. around: what is beside it in a document.

    group: examples that say the same in other words, which are left out together. label: what it is of what is looked
    for, "" for a harmless one.
    """

    text: str
    place: Place
    source: str
    group: str
    around: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a set keeps harmless texts: the file and its fields, and what they are."""

    file: str
    fields: tuple[str, ...]
    place: Place


SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "wildguard_benign": Source("prompts", ("text",), "question"),
        "banking77": Source("intents", ("text",), "question"),
        "canard": Source("rewrites", ("query", "rewrite"), "question"),
        "mtrag_rewrite": Source("rewrites", ("query",), "question"),
        "qqp_gptcache": Source("pairs", ("a",), "question"),
        "routellm_mmlu": Source("routing", ("prompt",), "question"),
        "squad_xquad": Source("corpus", ("text",), "document"),
        "clapnq": Source("corpus", ("text",), "document"),
        "pubmedqa": Source("corpus", ("text",), "document"),
        "presidio_pii": Source("dev", ("text",), "document"),
    }
)


def harmless_examples(folder: Path, *, seed: int) -> list[Example]:
    """Return harmless texts of a set, drawn at random. Raises: `KeyError` for a set that is not known."""
    name = folder.resolve().name
    source = SOURCES[name]
    rng = random.Random(f"{seed}/{name}")  # noqa: S311
    texts = sorted(set(texts_of(folder, source)))
    drawn = rng.sample(texts, min(MOST_QUESTIONS, len(texts)))
    if source.place == "document":
        return document_examples(drawn, source=name, most=MOST_PIECES, rng=rng)
    asked = [Example(text=part, place="question", source=name, group=text) for text in drawn for part in windows(text)]
    return [
        *asked,
        *listed_examples([text for text in texts if len(text) < LISTED_CHARS], source=name, rng=rng),
        *passages_beside(folder, name, rng),
    ]


def listed_examples(questions: Sequence[str], *, source: str, rng: random.Random) -> list[Example]:
    """Return questions as they stand in a list of questions, or in the log of a chat: among others of their kind."""
    drawn = rng.sample(questions, min(3 * MOST_LISTED, len(questions)))
    return [
        Example(text=text, place="document", source=f"{source}/list", group=text, around=f"{one} … {two}")
        for one, text, two in zip(drawn[::3], drawn[1::3], drawn[2::3], strict=False)
    ]


def passages_beside(folder: Path, name: str, rng: random.Random) -> list[Example]:
    """Return pieces of the corpus that lies beside a set's questions, [] where there is none."""
    if jsonl_in(folder, "corpus") is None:
        return []
    texts = list(texts_of(folder, Source("corpus", ("text",), "document")))
    return document_examples(texts, source=f"{name}/corpus", most=2 * MOST_PIECES, rng=rng)


def texts_of(folder: Path, source: Source) -> Iterator[str]:
    """Yield the fields of a set that hold harmless texts."""
    for row in rows_of(jsonl_file(folder, source.file)):
        yield from (row.text(field) for field in source.fields if isinstance(row.fields.get(field), str))


def document_examples(texts: Iterable[str], *, source: str, most: int, rng: random.Random) -> list[Example]:
    """Return at most `most` pieces of harmless documents, drawn at random."""
    found = [
        Example(text=piece.text, place="document", source=source, group=text[:80], around=piece.around)
        for text in texts
        for piece in pieces(text)
    ]
    return rng.sample(found, min(most, len(found)))
