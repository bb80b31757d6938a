"""What the detector learns from: texts of sets and made ones, each in its place, with what it is."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import MappingProxyType

from eval.datasets import jsonl_file, rows_of
from eval.injection.disguise import DISGUISES
from eval.injection.material import ATTACKS, LOOKALIKES, Family, Grammar, read_grammar
from eval.screening.examples import MADE, MOST_PIECES, Example, document_examples
from ragopt.injection.model import Place
from ragopt.screening.pieces import pieces

# The label of an attack.
ATTACK = "attack"
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
# Of manuals: the beginning of each, none that is shorter, and so many pieces of all of them.
MANUAL_CHARS, SHORTEST_MANUAL, MOST_MANUALS = 12_000, 500, 4_000


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
            Example(text=first, place="document", source=source, group=group, around=around, label=ATTACK)
            for around in beside
        ]
        if row.text("kind") == "text":
            found.append(Example(text=first, place="question", source=source, group=group))
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
        yield replace(made(shown, place, family.name, group=f"attack/{group}", around=around), label=ATTACK)


def made(text: str, place: Place, family: str, *, group: str, around: str = "") -> Example:
    """Return a made text that is harmless."""
    return Example(text=text, place=place, source=f"{MADE}{family}", group=group, around=around)
