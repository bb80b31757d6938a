"""What a single table cannot check: names that several tables must agree on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from ragopt.errors import ConfigError
from ragopt.settings.collections import CollectionSettings
from ragopt.settings.experiments import ExperimentSettings
from ragopt.settings.models import ModelSettings
from ragopt.settings.money import BaselineSettings, BudgetSettings
from ragopt.settings.routing import RouteSettings


def refuse_unknown_baseline(baseline: BaselineSettings, models: Sequence[ModelSettings]) -> None:
    """Raise `ConfigError` if `[baseline]` names a model that is not configured."""
    name = baseline.model
    if name and name not in [model.name for model in models]:
        raise ConfigError(f"RAGOPT_BASELINE__MODEL: no model is named {name!r}")


def refuse_unknown_helper(table: str, name: str, models: Sequence[ModelSettings]) -> None:
    """Raise `ConfigError` if a table such as `[history]` names a model that is not configured."""
    if name and name not in [model.name for model in models]:
        raise ConfigError(f"RAGOPT_{table.upper()}__MODEL: no model is named {name!r}")


def refuse_duplicate_budgets(budgets: Sequence[BudgetSettings]) -> None:
    """Raise `ConfigError` if two `[[budgets]]` are for the same scope, name and tenant: one would be ignored."""
    places = [(budget.scope, budget.name, budget.tenant) for budget in budgets]
    for at, place in enumerate(places):
        if place in places[:at]:
            raise ConfigError(f"RAGOPT_BUDGETS__{at}: {' '.join(place)} has a budget twice")


def refuse_duplicate_collections(entries: Sequence[CollectionSettings]) -> None:
    """Raise `ConfigError` if two `[[collections]]` are for the same name and tenant: one would be ignored."""
    places = [(entry.name, entry.tenant) for entry in entries]
    for at, place in enumerate(places):
        if place in places[:at]:
            raise ConfigError(f"RAGOPT_COLLECTIONS__{at}: {' of '.join(place)} is there twice")


def refuse_unknown_segments(
    entries: Sequence[CollectionSettings], segments: Collection[str], *, knobs_file: Path | None, profile: str
) -> None:
    """Raise `ConfigError` if one of `[[collections]]` names a segment that the profile of the knobs file lacks."""
    for at, entry in enumerate(entries):
        if not entry.segment or entry.segment in segments:
            continue
        field = f"RAGOPT_COLLECTIONS__{at}__SEGMENT"
        if knobs_file is None:
            raise ConfigError(f"{field}: set RAGOPT_KNOBS_FILE too: {entry.segment!r} is a part of that file")
        there = ", ".join(segments) or "none"
        raise ConfigError(
            f"{field}: profile {profile} of {knobs_file} has no segment {entry.segment!r}; it has {there}"
        )


def refuse_duplicate_models(models: Sequence[ModelSettings]) -> None:
    """Raise `ConfigError` if two `[[models]]` share a name or a name is reserved."""
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1 or name == "auto":
            raise ConfigError(f"models.{name}: the name is taken")


def refuse_unknown_targets(rules: Sequence[RouteSettings], models: Sequence[ModelSettings]) -> None:
    """Raise `ConfigError` if a rule names a model that is not configured."""
    names = [model.name for model in models]
    for number, rule in enumerate(rules, start=1):
        if rule.model is not None and rule.model not in names:
            raise ConfigError(f"routes.{number}.model: no model is named {rule.model!r}")


def refuse_unknown_variants(experiments: Sequence[ExperimentSettings], models: Sequence[ModelSettings]) -> None:
    """Raise `ConfigError` if two experiments share a name or a variant names a model that is not configured."""
    names = [experiment.name for experiment in experiments]
    known = [model.name for model in models]
    for experiment in experiments:
        if names.count(experiment.name) > 1:
            raise ConfigError(f"experiments.{experiment.name}: the name is taken")
        for variant in experiment.variants:
            if variant.model is not None and variant.model not in known:
                raise ConfigError(f"experiments.{experiment.name}.{variant.name}: no model is named {variant.model!r}")
