"""Sets of attacks and of harmless texts: one folder of JSON lines to cases.

`documents` {text, label, …} hold or hold no instruction, `prompts` {text, label, …} are what a user asks; `leaks`
{secret, output, leaked} are answers. `attacks` and `contexts` make documents where a folder has none. Any file may be
missing; labels are `injection` or `benign`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from eval.datasets import Row, rows_in
from eval.errors import DatasetError
from eval.screening.sets import Case, LabelledSet, is_labelled
from ragopt.injection.model import Place

ATTACK = "injection"
PLACE_OF_FILE: Mapping[str, Place] = {"documents": "document", "prompts": "question"}
# Which fields of a row say to which part of its set it belongs, the first that is there.
SEGMENT_FIELDS = ("task", "kind", "domain")
WHERE = ("start", "middle", "end")


@dataclass(frozen=True, slots=True)
class Leak:
    """What a model wrote, what it was not to say, and whether it did."""

    secret: str
    output: str
    leaked: bool


@dataclass(frozen=True, slots=True)
class InjectionSet(LabelledSet):
    """A `LabelledSet` with the answers of the set that tell a secret or keep it."""

    leaks: tuple[Leak, ...] = ()


def read_injection_set(folder: Path) -> InjectionSet:
    """Return the set in a folder. Raises: `DatasetError` if it holds no such file or a row is wrong."""
    planted = {row.text("id"): row.text("text") for row in rows_in(folder, "attacks")}
    cases = [case_of(row, place, planted) for name, place in PLACE_OF_FILE.items() for row in rows_in(folder, name)]
    if planted and not any(case.place == "document" for case in cases):
        cases += made_documents(list(planted.values()), [row.text("text") for row in rows_in(folder, "contexts")])
    leaks = [
        Leak(row.text("secret"), row.text("output"), leaked=flag(row, "leaked")) for row in rows_in(folder, "leaks")
    ]
    if not cases and not leaks:
        raise DatasetError(f"{folder}: no documents, prompts or leaks (.jsonl or .jsonl.gz)")
    return InjectionSet(folder.resolve().name, tuple(cases), tuple(leaks))


def case_of(row: Row, place: Place, planted: Mapping[str, str]) -> Case:
    """Return the case of a row. Raises: `DatasetError` for a label that is none."""
    is_attack = is_labelled(row, ATTACK)
    segment = next((row.text(name) for name in SEGMENT_FIELDS if isinstance(row.fields.get(name), str)), "")
    attack = row.fields.get("attack")
    known = planted.get(attack, "") if isinstance(attack, str) else ""
    return Case(row.text("text"), place, is_attack, segment, known)


def made_documents(attacks: list[str], contexts: list[str]) -> Iterator[Case]:
    """Yield each context as it is, and with the attacks in turn on a line of their own, at each of three places."""
    turn = cycle(attacks)
    for context in contexts:
        yield Case(context, "document", positive=False)
        for where in WHERE:
            attack = next(turn)
            yield Case(inserted(context, attack, where=where), "document", positive=True, segment=where, planted=attack)


def inserted(context: str, attack: str, *, where: str) -> str:
    """Return a text with an attack before it, after it, or at a space near its middle."""
    if where == "start":
        return f"{attack}\n{context}"
    if where == "end":
        return f"{context}\n{attack}"
    at = context.find(" ", len(context) // 2)
    at = len(context) if at < 0 else at
    return f"{context[:at]}\n{attack}\n{context[at:].lstrip()}"


def flag(row: Row, name: str) -> bool:
    """Return a field that is true or false. Raises: `DatasetError`."""
    value = row.fields.get(name)
    if not isinstance(value, bool):
        raise DatasetError(f"{row.place}: `{name}` must be true or false")
    return value
