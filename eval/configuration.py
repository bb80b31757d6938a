"""Which configuration is measured: the settings as they are, with single ones named on the command line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from pydantic import ValidationError

from eval.errors import ConfigurationError
from eval.report import ConfigValue
from indexes.records import IndexKnobs
from ragopt.config import Settings, load_settings

# Setting to the value that replaces what environment and files say, as typed.
Overrides: TypeAlias = Mapping[str, str]

AS_CONFIGURED: Overrides = MappingProxyType({})
# What the evaluation decides itself: an index of its own, in a folder of its own.
RESERVED = ("data_dir", "qdrant_url", "qdrant_api_key", "redis_url")
SHIPPED_MODEL = "all-MiniLM-L6-v2"


def overrides_of(assignments: Iterable[tuple[str, str]]) -> Overrides:
    """Return settings by name. Raises: `ConfigurationError` for a name that no setting has, or one given twice."""
    found: dict[str, str] = {}
    for name, value in assignments:
        if name not in Settings.model_fields:
            raise ConfigurationError(f"{name}: no such setting; `ragopt config check` lists them")
        if name in RESERVED:
            raise ConfigurationError(f"{name}: the evaluation uses an index of its own")
        if name in found:
            raise ConfigurationError(f"{name}: given twice")
        found[name] = value
    return found


def configured(data_dir: Path, overrides: Overrides) -> Settings:
    """Return the settings with `overrides` over every other source.

    Raises: `ConfigError` for what environment or file say, `ConfigurationError` for a value of `overrides`.
    """
    settings = load_settings(data_dir=data_dir)
    if overrides:
        try:
            settings = Settings.model_validate({"data_dir": data_dir, **overrides})
        except ValidationError as error:
            raise ConfigurationError("; ".join(problems_of(error, overrides))) from None
    # Never a configured server: what is measured here must not land among what is served.
    return settings.model_copy(update={"qdrant_url": None})


def problems_of(error: ValidationError, overrides: Overrides) -> list[str]:
    """Return one sentence per wrong value, with the assignment in front."""
    sentences = []
    for item in error.errors():
        name = str(item["loc"][0]) if item["loc"] else ""
        sentences.append(f"{name}={overrides[name]}: {item['msg']}" if name in overrides else item["msg"])
    return sentences


def index_config(settings: Settings) -> dict[str, ConfigValue]:
    """Return what shaped the index, for a report."""
    return {"chunk_tokens": settings.chunk_tokens, "embedding_model": settings.embedding_model or SHIPPED_MODEL}


def config_of(settings: Settings, overrides: Overrides = AS_CONFIGURED) -> dict[str, ConfigValue]:
    """Return what shaped the index, every knob but the budget, and what `overrides` name, for a report."""
    named = {name: plain(getattr(settings, name)) for name in overrides}
    knobs = {name: plain(value) for name, value in asdict(settings.knobs()).items()}
    config = {**index_config(settings), **knobs, **named, **index_config(settings)}
    del config["context_tokens"]
    return config


def plain(value: object) -> ConfigValue:
    """Return a value of a setting as JSON has it; what JSON has no word for, as its text."""
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


def index_digest(settings: Settings) -> str:
    """Return 16 hex digits that change with every setting that shapes an index."""
    names = sorted({item.name for item in fields(IndexKnobs)} & set(Settings.model_fields) | {"embedding_model"})
    canonical = json.dumps({name: plain(getattr(settings, name)) for name in names})
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
