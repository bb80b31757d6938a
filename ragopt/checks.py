"""What checking found of an answer and did to it: frozen values, standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class CheckedClaim:
    """One claim of an answer. Offsets are code points into the answer, half open; cited: the numbers of its markers.

    support, score: of the best passage it cites, of those together where none carries it alone, and of the whole
    context where it cites none.
    """

    answer_start: int
    answer_end: int
    cited: tuple[int, ...]
    support: Literal["supported", "unsupported", "unchecked"]
    score: float


@dataclass(frozen=True, slots=True)
class Checks:
    """What checking did to an answer.

    policy: of the collection, for claims that nothing supports. judge: names what judged them. dropped: sentences left
    out because nothing supports them. cut: left out beyond `max_sentences`, which is what was asked for; sentences:
    delivered. max_output_tokens: asked for; the usage says what was delivered. corrections: how often a model was
    asked to mend its answer. harmful: sentences that give harmful content; withheld: those of them that were left out,
    which `dropped` counts too. personal_data: how much of each kind was found in what was released, and replaced where
    the policy says so; empty where it is not looked for.
    """

    policy: str = "flag"
    judge: str = ""
    dropped: int = 0
    cut: int = 0
    max_sentences: int | None = None
    sentences: int = 0
    max_output_tokens: int | None = None
    corrections: int = 0
    harmful: int = 0
    withheld: int = 0
    personal_data: Mapping[str, int] = field(default_factory=dict)
