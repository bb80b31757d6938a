"""The parts of a tuning report that come from recorded answers and labelled pairs."""

from __future__ import annotations

from collections.abc import Iterator

from eval.intervals import Interval, bootstrap, exact
from eval.tune.bound import BoundTuning
from eval.tune.tiers import TierRow, TierTuning, tier_advice


def tier_lines(tuning: TierTuning | None, *, seed: int) -> Iterator[str]:
    """Yield the table of the tiers, and what to change in ragopt.toml; nothing without recorded answers."""
    if tuning is None:
        return
    yield "## Tiers"
    yield ""
    yield (
        f"{len(tuning.graded.difficulty)} questions, each answered by {', '.join(tuning.graded.models)}, cheapest "
        "first. A question counts as answered by the model that its difficulty leads to; the cascade is not simulated."
    )
    yield ""
    yield "| profile | setting | USD per 1,000 | quality % | held out: USD, quality % |"
    yield "|---|---|---|---|---|"
    shown = [*tuning.profiles.items(), *([("configured now", tuning.configured)] if tuning.configured else [])]
    for name, row in shown:
        held = tuning.held_out.get(name)
        kept = f"{held.usd_per_1000.value:.2f}, {percent(held.quality)}" if held else ""
        usd, quality = usd_per_1000(row), percent(bootstrap(row.quality.tolist(), seed=seed))
        yield f"| {name} | {row.setting.label()} | {usd:.2f} | {quality} | {kept} |"
    yield ""
    yield "`knobs.toml` sets the difficulties. The tier of a model is its own setting; two tiers take two entries."
    yield "For `balanced`:"
    yield ""
    for model, tiers in tier_advice(tuning.profiles["balanced"]):
        yield f"- `{model}`: {' and '.join(tiers)}"
    yield ""


def bound_lines(tuning: BoundTuning | None) -> Iterator[str]:
    """Yield the table of the error bounds; nothing without labelled pairs."""
    if tuning is None:
        return
    yield "## The error bound of the semantic cache"
    yield ""
    yield (
        f"{tuning.pairs} pairs, {tuning.duplicates} of them the same question. Levels are calibrated on a part and "
        f"serve the rest, 20 times: mean, least and most. One wrong answer outweighs {tuning.wrong_costs:g} right ones "
        "(`--wrong-costs`)."
    )
    yield ""
    yield "| bound | duplicates served % | of what is served, wrong % | worth, for 100 duplicates |"
    yield "|---|---|---|---|"
    for row in tuning.rows:
        yield f"| {row.max_wrong:g} | {percent(row.served)} | {percent(row.wrong)} | {row.worth:.1f} |"
    yield ""
    chosen = tuning.chosen
    yield (f"Chosen: {chosen.max_wrong:g}." if chosen else "None is worth its wrong answers: the profiles turn it off.")
    yield ""


def tier_metrics(tuning: TierTuning | None, *, seed: int) -> dict[str, Interval]:
    """Return `tiers_quality.P` and `tiers_usd_per_1000.P` of each profile P; {} without recorded answers."""
    found: dict[str, Interval] = {}
    for name, row in tuning.profiles.items() if tuning else ():
        found[f"tiers_quality.{name}"] = bootstrap(row.quality.tolist(), seed=seed)
        found[f"tiers_usd_per_1000.{name}"] = bootstrap((1000 * row.cost_usd).tolist(), seed=seed)
    return found


def bound_metrics(tuning: BoundTuning | None) -> dict[str, Interval]:
    """Return `served@bound=B` and `wrong@bound=B`, and `bound`, 0 for none; {} without labelled pairs."""
    if tuning is None:
        return {}
    found = {"bound": exact(tuning.chosen.max_wrong if tuning.chosen else 0)}
    for row in tuning.rows:
        found |= {f"served@bound={row.max_wrong:g}": row.served, f"wrong@bound={row.max_wrong:g}": row.wrong}
    return found


def usd_per_1000(row: TierRow) -> float:
    """Return what a thousand questions cost."""
    return float(1000 * row.cost_usd.mean())


def percent(interval: Interval) -> str:
    """Return a share in percent with its interval."""
    return f"{100 * interval.value:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
