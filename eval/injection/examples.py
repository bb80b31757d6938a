"""What the detector learns from: texts of sets and made ones, each in its place, with what it is."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import MappingProxyType

from eval.datasets import jsonl_file, rows_of
from eval.injection.disguise import DISGUISES
from eval.injection.material import ATTACKS, LOOKALIKES, Family, Grammar, read_grammar
from ragopt.injection.model import Place
from ragopt.screening.pieces import pieces, windows

LISTED_CHARS = 300
# How often each template is filled.
EACH_ATTACK: Mapping[Place, int] = MappingProxyType({"question": 16, "document": 6})
EACH_LOOKALIKE: Mapping[Place, int] = MappingProxyType({"question": 14, "document": 12})
EACH_TASK = 8
# Of the attacks in questions, those that stand beside a harmless question, and those that keep a disguise: the others
# are taken off before anything is judged.
BESIDE_SHARE, DISGUISED_SHARE = 0.3, 0.12
LEFT_ON = ("typos", "split_words", "padded", "capitals")
# Surroundings that are orders to a reader, and how many of them for each other one.
ORDERS = 300
AMONG_ORDERS: Mapping[str, float] = MappingProxyType({"attack": 0.3, "harmless": 1.0})
OWN_SURROUNDINGS, OTHER_SURROUNDINGS = 6, 4
MANUAL_CHARS, SHORTEST_MANUAL = 12_000, 500
# Of a set's texts, at most.
MOST_QUESTIONS, MOST_PIECES, MOST_MANUALS = 1_000, 800, 4_000
# Of a set's questions, so many stand in a document among others of it, as in a list of questions or a chat.
MOST_LISTED = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A text where it stands. around: what is beside it in a document. source: set or family.

    group: examples that say the same in other words, which are left out together.
    """

    text: str
    place: Place
    attack: bool
    source: str
    group: str
    around: str = ""


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
    """Return texts of a set that nobody injected, drawn at random. Raises: `KeyError` for a set that is not known."""
    name = folder.resolve().name
    source = SOURCES[name]
    rng = random.Random(f"{seed}/{name}")  # noqa: S311
    texts = sorted(set(texts_of(folder, source)))
    drawn = rng.sample(texts, min(MOST_QUESTIONS, len(texts)))
    if source.place == "document":
        return document_examples(drawn, source=name, most=MOST_PIECES, rng=rng)
    asked = [
        Example(text=part, place="question", attack=False, source=name, group=text)
        for text in drawn
        for part in windows(text)
    ]
    return [
        *asked,
        *listed_examples([text for text in texts if len(text) < LISTED_CHARS], source=name, rng=rng),
        *passages_beside(folder, name, rng),
    ]


def listed_examples(questions: Sequence[str], *, source: str, rng: random.Random) -> list[Example]:
    """Return questions as they stand in a list of questions, or in the log of a chat: among others of their kind."""
    drawn = rng.sample(questions, min(3 * MOST_LISTED, len(questions)))
    return [
        Example(text=text, place="document", attack=False, source=f"{source}/list", group=text, around=f"{one} … {two}")
        for one, text, two in zip(drawn[::3], drawn[1::3], drawn[2::3], strict=False)
    ]


def passages_beside(folder: Path, name: str, rng: random.Random) -> list[Example]:
    """Return pieces of the corpus that lies beside a set's questions, [] where there is none."""
    if not any((folder / f"corpus{ending}").is_file() for ending in (".jsonl", ".jsonl.gz")):
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
        Example(text=piece.text, place="document", attack=False, source=source, group=text[:80], around=piece.around)
        for text in texts
        for piece in pieces(text)
    ]
    return rng.sample(found, min(most, len(found)))


def manual_examples(names: Iterable[str], *, seed: int) -> list[Example]:
    """Return pieces of what installed packages say of themselves: manuals, full of orders to a reader."""
    rng = random.Random(f"{seed}/manuals")  # noqa: S311
    return document_examples(manuals(names), source="manuals", most=MOST_MANUALS, rng=rng)


def manuals(names: Iterable[str]) -> Iterator[str]:
    """Yield the beginning of the description of each package that is installed and has one."""
    for name in names:
        try:
            described = distribution(name).read_text("METADATA") or ""
        except PackageNotFoundError:
            continue
        # Behind the fields of the file, as in a mail.
        text = described.partition("\n\n")[2]
        if len(text) > SHORTEST_MANUAL:
            yield text[:MANUAL_CHARS]


def injected_examples(folder: Path, surroundings: Sequence[str], *, seed: int) -> list[Example]:
    """Return the attacks of a set in surroundings of several kinds, and the pieces of its contexts as they are.

    Its attacks in words are questions and tasks: where a person asks them they are harmless.
    """
    name = folder.resolve().name
    rng = random.Random(f"{seed}/{name}")  # noqa: S311
    contexts = [row.text("text") for row in rows_of(jsonl_file(folder, "contexts"))]
    own = [piece.around for text in contexts for piece in pieces(text)]
    found = document_examples(contexts, source=f"{name}/contexts", most=2 * MOST_PIECES, rng=rng)
    for row in rows_of(jsonl_file(folder, "attacks")):
        group = f"{name}/{row.text('family')}"
        source = f"{name}/{row.text('kind')}"
        first = pieces(row.text("text"))[0].text
        beside = [*rng.sample(own, OWN_SURROUNDINGS), *rng.sample(surroundings, OTHER_SURROUNDINGS)]
        found += [
            Example(text=first, place="document", attack=True, source=source, group=group, around=around)
            for around in beside
        ]
        if row.text("kind") == "text":
            found.append(Example(text=first, place="question", attack=False, source=source, group=group))
    return found


def made_examples(surroundings: Sequence[str], questions: Sequence[str], *, seed: int) -> list[Example]:
    """Return the examples of both files of templates, set among surroundings and questions of the sets."""
    attacks, lookalikes = read_grammar(ATTACKS), read_grammar(LOOKALIKES)
    rng = random.Random(f"{seed}/made")  # noqa: S311
    found: list[Example] = []
    orders = manual_surroundings(lookalikes, rng)
    mixed = [*surroundings, *rng.choices(orders, k=round(AMONG_ORDERS["attack"] * len(surroundings)))]
    calm = [*surroundings, *rng.choices(orders, k=round(AMONG_ORDERS["harmless"] * len(surroundings)))]
    for family in attacks.families:
        for place in family.places:
            beside = questions if place == "question" else mixed
            found += attacks_of(attacks, family, place, beside=beside, rng=rng)
    for family in lookalikes.families:
        place = family.places[0]
        for group, text in lookalikes.texts(family, each=EACH_LOOKALIKE[place], rng=rng):
            around = rng.choice(calm) if place == "document" else ""
            found.append(made(text, place, family.name, group=f"harmless/{group}", around=around))
    task = next(family for family in attacks.families if family.name == "task")
    found += [
        made(text, "question", "tasks", group=f"asked/{group}")
        for group, text in attacks.texts(task, each=EACH_TASK, rng=rng)
    ]
    return found


def manual_surroundings(lookalikes: Grammar, rng: random.Random) -> list[str]:
    """Return surroundings that are orders to a reader themselves, as in a manual, an exam or a request by mail."""
    families = [family for family in lookalikes.families if family.places == ("document",)]
    texts = [text for family in families for _, text in lookalikes.texts(family, each=2, rng=rng)]
    return [" … ".join(rng.sample(texts, 2)) for _ in range(ORDERS)]


def attacks_of(
    grammar: Grammar, family: Family, place: Place, *, beside: Sequence[str], rng: random.Random
) -> Iterator[Example]:
    """Yield a family's attacks in a place: in questions some beside a harmless one, in documents among surroundings."""
    for group, text in grammar.texts(family, each=EACH_ATTACK[place], rng=rng):
        shown = text
        if place == "question" and rng.random() < BESIDE_SHARE:
            parts = [text, rng.choice(beside)]
            rng.shuffle(parts)
            shown = rng.choice([" ", "\n", "\n\n"]).join(parts)
        if rng.random() < DISGUISED_SHARE:
            shown = DISGUISES[rng.choice(LEFT_ON)](shown, rng)
        around = rng.choice(beside) if place == "document" else ""
        yield replace(made(shown, place, family.name, group=f"attack/{group}", around=around), attack=True)


def made(text: str, place: Place, family: str, *, group: str, around: str = "") -> Example:
    """Return a made text that is harmless."""
    return Example(text=text, place=place, attack=False, source=f"made/{family}", group=group, around=around)
