"""One profile of `knobs.toml`, the file that `python -m eval tune` writes, as the weakest source of settings.

The segments of a profile are the knobs of the questions to collections that name one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from ragopt.domain import QueryKnobs
from ragopt.errors import ConfigError

Profile: TypeAlias = Literal["quality", "balanced", "cost", "latency"]
# By name, the knobs in which the questions of a segment differ from all others.
Segments: TypeAlias = dict[str, dict[str, str | int | float | bool]]

# What shapes an index; a change means that documents are ingested again.
INDEX_KNOBS = ("chunk_tokens",)
# Tables that a profile may set in part.
TABLES = ("routing", "cache")
SEGMENTS = "segments"
QUERY_KNOBS = tuple(field.name for field in fields(QueryKnobs))
DEFAULT_PROFILE: Profile = "balanced"


class KnobsFileSource(PydanticBaseSettingsSource):
    """The profile that stronger sources name in `knobs_file` and `profile`; nothing where no file is named."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Return nothing for a single field: the file is read as a whole."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the settings of the profile, of its segments those that no stronger source says for every question.

        Raises: `ConfigError` naming the file and what is wrong in it, and a stronger source that sets segments.
        """
        stated = self.current_state
        if SEGMENTS in stated:
            raise ConfigError("RAGOPT_SEGMENTS: only the file of RAGOPT_KNOBS_FILE has segments")
        path, profile = stated.get("knobs_file"), stated.get("profile")
        if path:
            known = self.settings_cls.model_fields
            found = profile_values(Path(path), str(profile or DEFAULT_PROFILE), known=known)
            return found | {SEGMENTS: unstated(found[SEGMENTS], stated)}
        if profile:
            raise ConfigError("RAGOPT_PROFILE: set RAGOPT_KNOBS_FILE too: a profile is a part of that file")
        return {}


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a knobs file. place: the file and the table, as messages name what is in it."""

    values: Mapping[str, object]
    place: str

    def table(self, name: str) -> Table:
        """Return a table of this one, an empty one if it is not there. Raises: `ConfigError` if it is no table."""
        found = self.values.get(name, {})
        if not isinstance(found, dict):
            raise ConfigError(f"{self.place}{name}: must be a table")
        return Table(found, f"{self.place}{name}.")

    def without(self, name: str) -> Table:
        """Return it without one of its values."""
        return Table({other: value for other, value in self.values.items() if other != name}, self.place)

    def knobs(self, allowed: Sequence[str], known: Mapping[str, FieldInfo]) -> dict[str, object]:
        """Return its values. Raises: `ConfigError` naming a knob that is unknown or wrong."""
        for knob, value in self.values.items():
            if knob not in allowed:
                raise ConfigError(f"{self.place}{knob}: no such knob; known are {', '.join(allowed)}")
            if problem := problem_with(value, known[knob]):
                raise ConfigError(f"{self.place}{knob}: {problem}")
        return dict(self.values)


def profile_values(path: Path, profile: str, *, known: Mapping[str, FieldInfo]) -> dict[str, Any]:
    """Return the settings of one profile of a knobs file, with those of its index; `known` are the fields of Settings.

    `segments` is among them, {} where the profile has none.

    Raises: `ConfigError` naming the file, and the table and knob where one is wrong.
    """
    file = Table(read_tables(path), f"{path}: ")
    profiles = file.table("profiles")
    if profile not in profiles.values:
        there = ", ".join(profiles.values) or "none"
        raise ConfigError(f"RAGOPT_PROFILE: {path} has no profile {profile!r}; it has {there}")
    own = profiles.table(profile)
    segments = own.table(SEGMENTS)
    return {
        **file.table("index").knobs(INDEX_KNOBS, known),
        **own.without(SEGMENTS).knobs((*QUERY_KNOBS, *TABLES), known),
        SEGMENTS: {name: segment_knobs(segments.table(name), known) for name in segments.values},
    }


def segment_knobs(table: Table, known: Mapping[str, FieldInfo]) -> dict[str, object]:
    """Return the knobs of a segment, each as its setting takes it. Raises: `ConfigError` naming what is wrong."""
    for knob in INDEX_KNOBS:
        if knob in table.values:
            raise ConfigError(f"{table.place}{knob}: it shapes the index, which all segments share; set it in [index]")
    values = table.knobs(QUERY_KNOBS, known)
    return {knob: adapter_of(known[knob]).validate_python(value) for knob, value in values.items()}


def unstated(segments: Segments, stated: Collection[str]) -> Segments:
    """Return the segments without the knobs that are stated for every question."""
    return {
        name: {knob: value for knob, value in values.items() if knob not in stated} for name, values in segments.items()
    }


def read_tables(path: Path) -> dict[str, object]:
    """Return the content of a TOML file. Raises: `ConfigError` if it cannot be read or is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"RAGOPT_KNOBS_FILE: {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(f"RAGOPT_KNOBS_FILE: {path}: {error}") from error


def problem_with(value: object, field: FieldInfo) -> str | None:
    """Return what is wrong with a value for a setting, None if it takes it."""
    try:
        adapter_of(field).validate_python(value)
    except ValidationError as error:
        return error.errors()[0]["msg"]
    return None


def adapter_of(field: FieldInfo) -> TypeAdapter[object]:
    """Return what takes a value for a setting."""
    kind = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    return TypeAdapter(cast("type[object]", kind))
