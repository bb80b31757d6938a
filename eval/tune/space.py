"""What is searched: one table of dimensions, and the candidates they span.

A dimension is added by a line in `SPACE`. One whose knobs this version does not have is skipped, and so
is a value that the setting of that name does not allow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from typing import Literal, TypeAlias

from eval.rerank import reranker
from ragopt.config import Settings
from ragopt.domain import QueryKnobs
from ragopt.settings.profiles import INDEX_KNOBS, problem_with
from ragopt.stages.rerank.choice import LATE_INTERACTION

KnobValue: TypeAlias = str | int | float | bool
Choice: TypeAlias = Mapping[str, KnobValue]
Part: TypeAlias = Literal["index", "search", "pack"]

# What a setting holds that names nothing.
UNSET = (None, "")

# A deadline that cuts off work would make a choice depend on how busy the machine was.
UNTIMED: Choice = {"rerank_deadline_ms": 60_000}


@dataclass(frozen=True, slots=True)
class Dimension:
    """One thing to vary, each choice a value for one knob or for several that belong together.

    part: what has to be done again when it changes: ingest, retrieval and reranking, or packing alone.
    judged_only: never tuned on derived questions. needs: the setting that names what it has no effect without.
    late: the first choice is tried everywhere, the others only on what leads after the first look.
    """

    name: str
    part: Part
    choices: tuple[Choice, ...]
    judged_only: bool = False
    needs: str = ""
    late: bool = False

    def knobs(self) -> tuple[str, ...]:
        """Return the knobs it sets, in the order of the first choice."""
        return tuple(self.choices[0])


def values(knob: str, *tried: KnobValue) -> tuple[Choice, ...]:
    """Return the choices of a dimension that is one knob."""
    return tuple({knob: value} for value in tried)


SPACE: tuple[Dimension, ...] = (
    Dimension("chunk size", "index", values("chunk_tokens", 60, 100, 150, 250)),
    Dimension(
        "fusion",
        "search",
        (
            {"fusion": "rrf", "dense_weight": 0.5},
            {"fusion": "rrf", "dense_weight": 0.3},
            {"fusion": "score", "dense_weight": 0.3},
            {"fusion": "score", "dense_weight": 0.5},
            {"fusion": "score", "dense_weight": 0.7},
        ),
        judged_only=True,
    ),
    Dimension("candidates", "search", values("top_k", 20, 50, 100)),
    Dimension("rerank depth", "search", values("rerank_depth", 10, 25, 50), needs="rerank_model", late=True),
    Dimension("neighbours", "search", values("neighbours", 0, 1), late=True),
    # Where packing ends before the budget is used up. The first of these is the default.
    Dimension("relevance floor", "pack", values("relevance_floor", 0.5, 0.0, 0.3, 0.7), late=True),
    Dimension("token budget", "pack", values("context_tokens", 200, 300, 400, 600, 800, 1200, 1600)),
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One setting of every knob that is searched, as (knob, value) in the order of the space."""

    values: tuple[tuple[str, KnobValue], ...]

    def of(self, names: Iterable[str]) -> Candidate:
        """Return its values of these knobs alone."""
        wanted = set(names)
        return Candidate(tuple(item for item in self.values if item[0] in wanted))

    def with_choice(self, choice: Choice) -> Candidate:
        """Return the same with other values of the knobs that it has."""
        return Candidate(tuple((name, choice.get(name, value)) for name, value in self.values))

    def index(self) -> Candidate:
        """Return what shapes the index."""
        return self.of(INDEX_KNOBS)

    def query_values(self) -> dict[str, KnobValue]:
        """Return what a request may change, by knob."""
        return {name: value for name, value in self.values if name not in INDEX_KNOBS}

    def number(self, name: str) -> float:
        """Return a numeric knob, 0 where it is not searched or not a number."""
        value = dict(self.values).get(name, 0)
        return 0.0 if isinstance(value, str) else float(value)

    def label(self) -> str:
        """Return it as one line of `knob=value`."""
        return ", ".join(f"{name}={value}" for name, value in self.values)

    def digest(self) -> str:
        """Return 16 hex digits that differ between candidates."""
        return hashlib.sha256(json.dumps(self.values).encode()).hexdigest()[:16]

    def settings(self, configured: Settings) -> Settings:
        """Return the configured settings with these values."""
        return configured.model_copy(update=dict(self.values))

    def knobs(self, configured: Settings) -> QueryKnobs:
        """Return the knobs of a question that is asked with these values, the others as configured, none timed."""
        known = {field.name for field in fields(QueryKnobs)}
        values = {knob: value for knob, value in {**UNTIMED, **self.query_values()}.items() if knob in known}
        return replace(configured.knobs(), **values)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Space:
    """The dimensions that apply, and the candidate that is what is configured now."""

    dimensions: tuple[Dimension, ...]
    configured: Candidate

    def candidates(self) -> list[Candidate]:
        """Return where the search starts: every combination, the late dimensions at their first choice.

        The configured candidate is among them, in the place the table gives it or last.
        """
        tried = [item.choices[:1] if item.late else item.choices for item in self.dimensions]
        grid = [candidate_of(choices) for choices in product(*tried)]
        return list(dict.fromkeys([*grid, self.configured]))

    def expanded(self, leaders: Sequence[Candidate]) -> list[Candidate]:
        """Return the leaders with every choice of each late dimension; those that are there already included."""
        found = list(leaders)
        for dimension in self.dimensions:
            if dimension.late:
                found = [item.with_choice(choice) for item in found for choice in dimension.choices]
        return list(dict.fromkeys(found))

    def search_knobs(self) -> tuple[str, ...]:
        """Return the knobs that decide which hits reach packing, and in which order."""
        return tuple(knob for item in self.dimensions if item.part != "pack" for knob in item.knobs())


def candidate_of(choices: Iterable[Choice]) -> Candidate:
    """Return the candidate of one choice in each dimension."""
    return Candidate(tuple(item for choice in choices for item in choice.items()))


def space_for(settings: Settings, *, derived: bool, table: Sequence[Dimension] = SPACE) -> Space:
    """Return what can be searched with these settings; what is configured now is one of the choices everywhere.

    derived: the questions were made from the corpus, so what favours BM25 is left as configured.
    """
    applied = [applied_dimension(item, settings) for item in table if not (derived and item.judged_only)]
    dimensions = tuple(item for item in applied if item is not None)
    return Space(dimensions, candidate_of(configured_choice(item, settings) for item in dimensions))


def applied_dimension(dimension: Dimension, settings: Settings) -> Dimension | None:
    """Return the dimension with the choices that are allowed, None if it has no effect here."""
    searchable = {*INDEX_KNOBS, *(field.name for field in fields(QueryKnobs))}.intersection(Settings.model_fields)
    if not searchable.issuperset(dimension.knobs()) or (dimension.needs and has_none(dimension.needs, settings)):
        return None
    now = configured_choice(dimension, settings)
    allowed = [choice for choice in dimension.choices if all(is_allowed(*item) for item in choice.items())]
    return replace(dimension, choices=(*allowed, *([] if now in allowed else [now])))


def has_none(name: str, settings: Settings) -> bool:
    """Return whether a service with these settings has none of what the setting of this name stands for."""
    # Empty, this one still takes a cross-encoder that this machine has.
    if name == "rerank_model":
        return reranker(settings) == LATE_INTERACTION
    return settings.model_dump().get(name) in UNSET


def configured_choice(dimension: Dimension, settings: Settings) -> Choice:
    """Return the values that the settings have for a dimension's knobs."""
    configured = settings.model_dump()
    return {knob: configured[knob] for knob in dimension.knobs()}


def is_allowed(name: str, value: KnobValue) -> bool:
    """Return whether the setting of this name takes the value."""
    return problem_with(value, Settings.model_fields[name]) is None
