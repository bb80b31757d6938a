"""One profile of `knobs.toml`, the file that `python -m eval tune` writes, as the weakest source of settings."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from ragopt.domain import QueryKnobs
from ragopt.errors import ConfigError

Profile: TypeAlias = Literal["quality", "balanced", "cost", "latency"]

# What shapes an index; a change means that documents are ingested again.
INDEX_KNOBS = ("chunk_tokens",)
# Tables that a profile may set in part.
TABLES = ("routing", "cache")
DEFAULT_PROFILE: Profile = "balanced"


class KnobsFileSource(PydanticBaseSettingsSource):
    """The profile that stronger sources name in `knobs_file` and `profile`; nothing where no file is named."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """Return nothing for a single field: the file is read as a whole."""
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the settings of the profile. Raises: `ConfigError` naming the file and what is wrong in it."""
        path, profile = self.current_state.get("knobs_file"), self.current_state.get("profile")
        if path:
            known = self.settings_cls.model_fields
            return dict(profile_values(Path(path), str(profile or DEFAULT_PROFILE), known=known))
        if profile:
            raise ConfigError("RAGOPT_PROFILE: set RAGOPT_KNOBS_FILE too: a profile is a part of that file")
        return {}


def profile_values(path: Path, profile: str, *, known: Mapping[str, FieldInfo]) -> dict[str, object]:
    """Return the settings of one profile of a knobs file, with those of its index; `known` are the fields of Settings.

    Raises: `ConfigError` naming the file, and the table and knob where one is wrong.
    """
    tables = read_tables(path)
    profiles = table_of(tables, "profiles", path=path)
    if profile not in profiles:
        there = ", ".join(profiles) or "none"
        raise ConfigError(f"RAGOPT_PROFILE: {path} has no profile {profile!r}; it has {there}")
    query_knobs = tuple(field.name for field in fields(QueryKnobs))
    found: dict[str, object] = {}
    for name, values, allowed in (
        ("index", table_of(tables, "index", path=path), INDEX_KNOBS),
        (f"profiles.{profile}", table_of(profiles, profile, path=path), (*query_knobs, *TABLES)),
    ):
        for knob, value in values.items():
            if knob not in allowed:
                raise ConfigError(f"{path}: {name}.{knob}: no such knob; known are {', '.join(allowed)}")
            if problem := problem_with(value, known[knob]):
                raise ConfigError(f"{path}: {name}.{knob}: {problem}")
        found |= values
    return found


def read_tables(path: Path) -> dict[str, object]:
    """Return the content of a TOML file. Raises: `ConfigError` if it cannot be read or is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"RAGOPT_KNOBS_FILE: {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(f"RAGOPT_KNOBS_FILE: {path}: {error}") from error


def table_of(tables: Mapping[str, object], name: str, *, path: Path) -> dict[str, object]:
    """Return a table by name, {} if it is not there. Raises: `ConfigError` if it is no table."""
    found = tables.get(name, {})
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: {name}: must be a table")
    return found


def problem_with(value: object, field: FieldInfo) -> str | None:
    """Return what is wrong with a value for a setting, None if it takes it."""
    kind = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
    try:
        TypeAdapter(cast("type[object]", kind)).validate_python(value)
    except ValidationError as error:
        return error.errors()[0]["msg"]
    return None
