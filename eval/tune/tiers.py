"""Where the tiers begin and which model serves which, from answers that were recorded and graded.

Each question was answered by each model. Under a setting it counts as the model that its difficulty leads to answered
it. The cascade is not simulated: what a first answer that is rejected costs is not in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.datasets import Row, rows_of
from eval.errors import DatasetError
from eval.intervals import Interval, bootstrap, paired_difference
from eval.tune.choose import Rule
from eval.tune.heldout import folds_of
from ragopt.domain import TIER_RANK, Tier
from ragopt.settings.models import ModelSettings
from ragopt.settings.routing import RoutingSettings

# Edges lie between tenths of the difficulties that were recorded: finer ones would fit these questions alone.
TENTHS = 10
EDGE_DIGITS = 2
MIN_QUESTIONS = 20
TIERS: tuple[Tier, ...] = ("simple", "medium", "complex")


@dataclass(frozen=True, slots=True)
class Graded:
    """Recorded answers: difficulty float64 [n]; quality in [0, 1] and USD, float64 [n, models], cheapest first."""

    models: tuple[str, ...]
    difficulty: NDArray[np.float64]
    quality: NDArray[np.float64]
    cost_usd: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TierSetting:
    """From which difficulty on a question starts in medium and in complex, and the model of each tier."""

    medium_from: float
    complex_from: float
    models: tuple[str, str, str]

    def label(self) -> str:
        """Return it in one line."""
        tiers = ", ".join(f"{tier}={model}" for tier, model in zip(TIERS, self.models, strict=True))
        return f"medium_from={self.medium_from:g}, complex_from={self.complex_from:g}, {tiers}"


@dataclass(frozen=True, slots=True)
class TierRow:
    """A setting, and of each question its quality in [0, 1] and its cost in USD, float64 [n]."""

    setting: TierSetting
    quality: NDArray[np.float64]
    cost_usd: NDArray[np.float64]

    def only(self, places: NDArray[np.intp]) -> TierRow:
        """Return the row over the questions at these places."""
        return TierRow(self.setting, self.quality[places], self.cost_usd[places])


@dataclass(frozen=True, slots=True)
class HeldOutTiers:
    """What a profile is worth on questions that it was not chosen by."""

    quality: Interval
    usd_per_1000: Interval


@dataclass(frozen=True, slots=True)
class TierTuning:
    """What was found: the profiles by name, and the front, cheapest first.

    configured: None where a configured model has no recorded answers. held_out: by profile.
    """

    graded: Graded
    profiles: Mapping[str, TierRow]
    front: Sequence[TierRow]
    configured: TierRow | None
    held_out: Mapping[str, HeldOutTiers]


def tuned_tiers(path: Path, models: Sequence[ModelSettings], routing: RoutingSettings, *, rule: Rule) -> TierTuning:
    """Return the settings that the answers of a file lead to. Raises: `DatasetError` naming file and line."""
    graded = read_graded(path)
    now = configured_models(models, graded)
    rows = rows_over(graded, routing)
    return TierTuning(
        graded,
        profiles_of(rows, rule=rule),
        front=front_of(rows),
        configured=None if now is None else row_of(graded, setting_now(routing, now)),
        held_out=held_out(rows, rule=rule),
    )


def read_graded(path: Path) -> Graded:
    """Return the answers of a file of JSON lines: `question`, `difficulty`, `model`, `quality` and `cost_usd`.

    Raises: `DatasetError` for a value out of range, a question that a model did not answer, or too few questions.
    """
    cells: dict[tuple[str, str], tuple[float, float]] = {}
    difficulty: dict[str, float] = {}
    for row in rows_of(path):
        question, model = row.text("question"), row.text("model")
        difficulty.setdefault(question, number(row, "difficulty", most=1))
        cells[question, model] = number(row, "quality", most=1), number(row, "cost_usd", most=float("inf"))
    names = sorted({model for _, model in cells})
    missing = next(((asked, model) for asked in difficulty for model in names if (asked, model) not in cells), None)
    if missing:
        raise DatasetError(f"{path}: no answer of {missing[1]} to {missing[0]!r}: every model answers every question")
    if len(difficulty) < MIN_QUESTIONS or len(names) < 2:
        raise DatasetError(f"{path}: at least {MIN_QUESTIONS} questions and two models are needed")
    table = np.array([[cells[asked, model] for model in names] for asked in difficulty])
    order = np.argsort(table[:, :, 1].mean(axis=0), kind="stable")
    return Graded(
        tuple(names[at] for at in order),
        np.array(list(difficulty.values())),
        quality=table[:, order, 0],
        cost_usd=table[:, order, 1],
    )


def number(row: Row, name: str, *, most: float) -> float:
    """Return a number from 0 to `most`; a text that is one counts. Raises: `DatasetError`."""
    value = row.fields.get(name)
    try:
        found = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else -1.0
    except ValueError:
        found = -1.0
    if not 0 <= found <= most:
        raise DatasetError(f"{row.place}: `{name}` must be a number from 0" + ("" if most > 1 else f" to {most:g}"))
    return found


def configured_models(models: Sequence[ModelSettings], graded: Graded) -> tuple[str, str, str] | None:
    """Return the first model of each tier, of the nearest above where it has none; None where one was not recorded."""
    first: dict[Tier, str] = {}
    for model in models:
        first.setdefault(model.tier, model.name)
    if not first or not set(first.values()) <= set(graded.models):
        return None
    ranked = sorted(first, key=lambda tier: TIER_RANK[tier])

    def serving(tier: Tier) -> str:
        return first[next((other for other in ranked if TIER_RANK[other] >= TIER_RANK[tier]), ranked[-1])]

    return serving("simple"), serving("medium"), serving("complex")


def setting_now(routing: RoutingSettings, models: tuple[str, str, str]) -> TierSetting:
    """Return what is configured."""
    return TierSetting(routing.medium_from, routing.complex_from, models)


def rows_over(graded: Graded, routing: RoutingSettings) -> list[TierRow]:
    """Return one row for each way of sending these questions to models, dearer models to harder questions.

    Of settings that send every question alike, the one nearest to the configured edges.
    """
    tenths = np.quantile(graded.difficulty, np.linspace(0, 1, TENTHS + 1)[1:-1]).round(EDGE_DIGITS)
    edges = sorted({*tenths.tolist(), routing.medium_from, routing.complex_from})
    found: dict[bytes, tuple[float, TierRow]] = {}
    for low, high in combinations_with_replacement(edges, 2):
        away = abs(low - routing.medium_from) + abs(high - routing.complex_from)
        for simple, medium, strong in combinations_with_replacement(graded.models, 3):
            row = row_of(graded, TierSetting(low, high, (simple, medium, strong)))
            key = places_of(graded, row.setting).tobytes()
            if key not in found or away < found[key][0]:
                found[key] = away, row
    return [row for _, row in found.values()]


def places_of(graded: Graded, setting: TierSetting) -> NDArray[np.intp]:
    """Return for each question the place of the model that answers it, intp [n]."""
    tier = (graded.difficulty >= setting.medium_from).astype(int)
    tier[graded.difficulty >= setting.complex_from] = 2
    places = np.array([graded.models.index(model) for model in setting.models], np.intp)
    return np.asarray(places[tier], np.intp)


def row_of(graded: Graded, setting: TierSetting) -> TierRow:
    """Return what a setting comes to."""
    rows, places = np.arange(len(graded.difficulty)), places_of(graded, setting)
    return TierRow(setting, graded.quality[rows, places], graded.cost_usd[rows, places])


def front_of(rows: Sequence[TierRow]) -> list[TierRow]:
    """Return the rows that no other beats in both quality and cost, cheapest first."""
    front: list[TierRow] = []
    for row in sorted(rows, key=lambda row: (row.cost_usd.mean(), -row.quality.mean(), row.setting.label())):
        if not front or row.quality.mean() > front[-1].quality.mean():
            front.append(row)
    return front


def profiles_of(rows: Sequence[TierRow], *, rule: Rule) -> dict[str, TierRow]:
    """Return the profiles, as `Profiles` has them; `latency` is `balanced`: no times are recorded."""
    front = front_of(rows)
    best = front[-1]
    balanced = next(row for row in front if row is best or not is_worse(row, best, rule=rule))
    tolerated = next(row for row in front if best.quality.mean() - row.quality.mean() <= rule.tolerance)
    cost = min(balanced, tolerated, key=lambda row: row.cost_usd.mean())
    return {"quality": best, "balanced": balanced, "cost": cost, "latency": balanced}


def is_worse(ours: TierRow, theirs: TierRow, *, rule: Rule) -> bool:
    """Return whether ours is worse beyond the interval."""
    return paired_difference(ours.quality.tolist(), theirs.quality.tolist(), seed=rule.seed).high < 0


def held_out(rows: Sequence[TierRow], *, rule: Rule) -> dict[str, HeldOutTiers]:
    """Return what each profile is worth when it is chosen without a fold of the questions and measured on it."""
    n = len(rows[0].quality)
    by_setting = {row.setting: row for row in rows}
    found: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    for fold in folds_of([str(at) for at in range(n)], seed=rule.seed):
        rest = np.setdiff1d(np.arange(n), fold)
        for name, choice in profiles_of([row.only(rest) for row in rows], rule=rule).items():
            quality, cost = found.setdefault(name, (np.zeros(n), np.zeros(n)))
            chosen = by_setting[choice.setting].only(fold)
            quality[fold], cost[fold] = chosen.quality, chosen.cost_usd
    return {
        name: HeldOutTiers(
            bootstrap(quality.tolist(), seed=rule.seed), bootstrap((1000 * cost).tolist(), seed=rule.seed)
        )
        for name, (quality, cost) in found.items()
    }


def tier_advice(row: TierRow) -> Iterator[tuple[str, tuple[Tier, ...]]]:
    """Yield each model with the tiers that it is to serve."""
    for model in dict.fromkeys(row.setting.models):
        yield model, tuple(tier for tier, named in zip(TIERS, row.setting.models, strict=True) if named == model)
