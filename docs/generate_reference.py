"""Write docs/reference.md from the code: settings, model fields, error codes, commands. Run by `make docs`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from docs import reference_texts as texts
from indexes import errors as indexing_errors
from ragopt import errors as service_errors
from ragopt.api.problems import FRAMEWORK_CODES, kind_of
from ragopt.config import MEBIBYTE, Settings
from ragopt.settings.audit import AuditSettings
from ragopt.settings.batch import BatchSettings
from ragopt.settings.caching import CacheSettings
from ragopt.settings.collections import CollectionSettings
from ragopt.settings.experiments import ExperimentSettings, GuardSettings, VariantSettings
from ragopt.settings.exports import ExportSettings
from ragopt.settings.facts import FactSettings
from ragopt.settings.history import HistorySettings
from ragopt.settings.models import ModelSettings, ResilienceSettings
from ragopt.settings.money import BaselineSettings, BudgetSettings, TargetSettings
from ragopt.settings.plan import PlanSettings
from ragopt.settings.privacy import PrivacySettings
from ragopt.settings.rewriting import RewriteSettings
from ragopt.settings.routing import RouteSettings, RouteWhen, RoutingSettings
from ragopt.settings.traffic import LimitSettings
from ragopt.settings.url_ingest import UrlIngestSettings

TARGET = Path(__file__).parent / "reference.md"

# What introduces the fields of a table of `ragopt.toml`, and the models that have them, in the order of the page.
FIELDS: tuple[tuple[str, *tuple[type[BaseModel], ...]], ...] = (
    (texts.MODELS, ModelSettings),
    (texts.RESILIENCE, ResilienceSettings),
    (texts.BATCH, BatchSettings),
    (texts.REWRITE, RewriteSettings),
    (texts.HISTORY, HistorySettings),
    (texts.BUDGETS, BudgetSettings),
    (texts.BASELINE, BaselineSettings),
    (texts.EXPERIMENTS, ExperimentSettings, VariantSettings, GuardSettings),
    (texts.TARGETS, TargetSettings),
    (texts.URL_INGEST, UrlIngestSettings),
    (texts.EXPORT, ExportSettings),
    (texts.PLAN, PlanSettings),
    (texts.ROUTING, RoutingSettings, RouteSettings, RouteWhen),
    (texts.LIMITS, LimitSettings),
    (texts.CACHE, CacheSettings),
    (texts.AUDIT, AuditSettings),
    (texts.PRIVACY, PrivacySettings),
    (texts.COLLECTIONS, CollectionSettings),
    (texts.FACTS, FactSettings),
)


def render() -> str:
    """Return the whole page."""
    sections = [
        texts.INTRODUCTION,
        texts.SETTINGS,
        table(("setting", "default", "meaning"), settings_rows()),
        texts.OTHER_VARIABLES,
        *(part for text, *kinds in FIELDS for part in (text, *map(field_table, kinds))),
        texts.ERRORS,
        table(("code", "HTTP status", "meaning"), error_rows()),
        texts.COMMANDS,
    ]
    return "\n".join(sections)


def field_table(model: type[BaseModel]) -> str:
    """Return the table of a model's fields."""
    return table(("field", "default", "meaning"), field_rows(model))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines).replace("| --- | --- | --- |", "|---|---|---|")


def settings_rows() -> list[tuple[str, str, str]]:
    """Return name, default and meaning of every setting, in the order of the code."""
    return [(f"`RAGOPT_{name[1:-1].upper()}`", default, meaning) for name, default, meaning in field_rows(Settings)]


def field_rows(model: type[BaseModel]) -> list[tuple[str, str, str]]:
    """Return name, default and meaning of every field of a model."""
    return [
        (f"`{name}`", shown_default(field), field.description or field_meaning(name))
        for name, field in model.model_fields.items()
    ]


def field_meaning(name: str) -> str:
    """Return the meaning of a model field whose description the code leaves out. Raises: `KeyError` for a new one."""
    return {
        "provider": "`openai`, `anthropic` or `extractive`",
        "tier": "`simple`, `medium` or `complex`: cheaper models first",
        "timeout_s": "seconds one call may take",
        "price": "USD per million: `{ input = …, output = …, cached_input = …, cache_write = …, cache_write_1h = … }`",
    }[name]


def shown_default(field: FieldInfo) -> str:
    """Return a default as a person writes it."""
    value = field.default
    if field.is_required():
        return "required"
    if isinstance(value, BaseModel):
        return "see below"
    if value is None or value in ("", (), {}) or isinstance(value, SecretStr):
        return "unset"
    if isinstance(value, int) and value >= MEBIBYTE and value % MEBIBYTE == 0:
        return f"`{value}` ({value // MEBIBYTE} MiB)"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def error_rows() -> list[tuple[str, str, str]]:
    """Return code, status and meaning of every error, sorted by code."""
    rows = {
        found.code: (status_text(kind_of(found).status), meaning_of(found))
        for module in (service_errors, indexing_errors)
        for found in error_classes(module)
    }
    for status, (code, title) in FRAMEWORK_CODES.items():
        rows.setdefault(code, (status_text(status), f"{title}."))
    return [(f"`{code}`", *rest) for code, rest in sorted(rows.items())]


def error_classes(module: ModuleType) -> list[type[service_errors.RagoptError] | type[indexing_errors.IndexingError]]:
    """Return the error classes a module defines."""
    roots = (service_errors.RagoptError, indexing_errors.IndexingError)
    return [item for item in vars(module).values() if isinstance(item, type) and issubclass(item, roots)]


def meaning_of(found: type[Exception]) -> str:
    """Return the first line of the docstring; of a base class, which says nothing to a caller, its HTTP title."""
    first_line = (found.__doc__ or "").splitlines()[0]
    return f"{kind_of(found).title}." if first_line.startswith("Base of") else first_line


def status_text(status: int) -> str:
    """Return a status as `404 Not Found`."""
    return f"{int(status)} {HTTPStatus(status).phrase}"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
