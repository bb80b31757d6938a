"""A tuning run as Markdown for a person and as a `Report` for a program."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from eval.intervals import Interval, bootstrap, exact, percentile_of
from eval.report import ConfigValue, Report, Segment
from eval.tune.choose import distinct, pareto_front
from eval.tune.outcome import Outcome
from eval.tune.sections import bound_lines, bound_metrics, percent, tier_lines, tier_metrics
from eval.tune.trials import Measured

DERIVED_NOTE = (
    "**Nobody asked these questions.** They were derived from the corpus: topic words of its own sentences. "
    "Such questions favour BM25, so fusion was left as configured, and what they choose is a starting point. "
    "Tune again with questions that users asked."
)


def markdown(outcome: Outcome) -> str:
    """Return the report of a run as a Markdown page."""
    dataset = outcome.workload.dataset
    lines = [
        f"# Tuning on {dataset.name}",
        "",
        f"{outcome.questions()} questions over {len(dataset.documents)} documents, seed {outcome.rule.seed}. "
        f"Quality is {quality_meaning(outcome)}, with 95 % intervals. Tokens are those of the packed context.",
        *(["", DERIVED_NOTE] if outcome.workload.derived else []),
        *(line for note in outcome.workload.notes for line in ("", note)),
        "",
        *profile_lines(outcome),
        "",
        *front_lines(outcome),
        "",
        *segment_lines(outcome),
        *tier_lines(outcome.tiers, seed=outcome.rule.seed),
        *bound_lines(outcome.bound),
        *search_lines(outcome),
    ]
    return "\n".join(lines) + "\n"


def quality_meaning(outcome: Outcome) -> str:
    """Return what quality is of these questions, as a noun phrase."""
    spans = sum(query.id in outcome.workload.dataset.references for query in outcome.workload.dataset.queries)
    if spans == outcome.questions():
        return "the share of the answering text that is in the context"
    if not spans:
        return "the share of the relevant documents of which a part is in the context"
    return f"the share of the answering text ({spans} questions), else of the relevant documents, in the context"


def profile_lines(outcome: Outcome) -> Iterator[str]:
    """Yield the table of the profiles, with what is configured now below them."""
    usd = "" if outcome.price is None else f" USD per 1,000 ({outcome.price.model}) |"
    yield "## Profiles"
    yield ""
    yield f"| profile | setting | tokens | quality % | held out % | against the best | ms p50 / p95 |{usd}"
    yield "|---|---|---|---|---|---|---|" + ("---|" if usd else "")
    for name, row in [*outcome.profiles.named(), ("configured now", outcome.configured)]:
        held = outcome.held_out.get(name)
        cells = [
            name,
            row.candidate.label(),
            f"{row.mean_tokens():.0f}",
            percent(bootstrap(row.quality.tolist(), seed=outcome.rule.seed)),
            percent(held.quality) if held else "",
            points(outcome.rule.difference(row, outcome.profiles.best)),
            milliseconds(row),
            *([usd_text(outcome, row)] if usd else []),
        ]
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield from profile_notes(outcome)


def profile_notes(outcome: Outcome) -> Iterator[str]:
    """Yield what a reader must know of the table above."""
    best, tolerance = outcome.profiles.best, 100 * outcome.rule.tolerance
    yield (
        "`quality` is the best; `balanced` the cheapest that is not worse than the best beyond the interval; `cost` "
        f"the cheapest that loses at most {tolerance:g} points; `latency` the one that compares least at no more "
        "tokens than `balanced`, not worse beyond the interval. All share the index of `balanced`. Times were taken "
        "while tuning: compare them only if nothing else ran."
    )
    if best.candidate != outcome.profiles.quality.candidate:
        yield ""
        yield f"The best over any index is {best.candidate.label()}: {100 * best.mean_quality():.1f} %."
    if outcome.held_out:
        same = ", ".join(f"{name} {item.same} of {item.folds}" for name, item in outcome.held_out.items())
        yield ""
        yield (
            "Held out: each fold of documents is asked with what the other folds choose. "
            f"Folds that choose the same as all: {same}. Candidates were dropped with all folds in view."
        )


def front_lines(outcome: Outcome) -> Iterator[str]:
    """Yield the table of the Pareto front, cheapest first."""
    yield "## Pareto front"
    yield ""
    yield "| tokens | quality % | against the best | ms p50 / p95 | setting |"
    yield "|---|---|---|---|---|"
    for row in distinct(pareto_front(outcome.found.rows)):
        cells = [
            f"{row.mean_tokens():.0f}",
            percent(bootstrap(row.quality.tolist(), seed=outcome.rule.seed)),
            points(outcome.rule.difference(row, outcome.profiles.best)),
            milliseconds(row),
            row.candidate.label(),
        ]
        yield f"| {' | '.join(cells)} |"


def segment_lines(outcome: Outcome) -> Iterator[str]:
    """Yield what each segment chooses in each profile and whether it gets it; nothing without segments."""
    if not outcome.segments:
        return
    yield "## Segments"
    yield ""
    yield "| segment | questions | profile | its own choice | tokens, quality % | of everybody's | held out | used |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, item in outcome.segments.items():
        for profile, own in item.profiles.items():
            cells = [
                name,
                str(item.n),
                profile,
                "as everybody" if own.is_general() else own.chosen.candidate.label(),
                tokens_and_quality(own.chosen),
                tokens_and_quality(own.general),
                f"{own.tokens:.0f}, {points(own.difference)}",
                "yes" if own.differs() else "no",
            ]
            yield f"| {' | '.join(cells)} |"
    yield ""
    yield from segment_notes(outcome)


def segment_notes(outcome: Outcome) -> Iterator[str]:
    """Yield what a reader must know of the segments."""
    yield (
        "Each segment's questions choose by the rules of the profiles, on the index of the file and among the "
        "candidates that all questions left. Held out: each half of its documents is asked with what the other half "
        "chooses; tokens, and quality against everybody's. A choice is used if it finds more beyond that interval "
        f"or, `quality` excepted, costs less and loses at most {100 * outcome.rule.tolerance:g} points at the "
        "interval's lower end."
    )
    yield ""
    index = outcome.profiles.balanced.candidate.index()
    for name, item in outcome.segments.items():
        if item.free.candidate.index() != index:
            yield (
                f"With an index of its own, `balanced` of {name} would be {item.free.candidate.label()}: "
                f"{tokens_and_quality(item.free)} on the questions that chose it."
            )
            yield ""


def search_lines(outcome: Outcome) -> Iterator[str]:
    """Yield what was searched and how much of it was dropped on the way."""
    yield "## Search"
    yield ""
    rounds = ", ".join(f"{candidates} candidates on {end} questions" for end, candidates in outcome.found.rungs)
    yield (
        f"Rounds: {rounds}. A candidate is dropped when one at no more tokens beats it beyond the paired interval; "
        "if more than half would go on, those go that are farthest below the best one at no more tokens."
    )
    yield ""
    for dimension in outcome.space.dimensions:
        choices = "; ".join(", ".join(f"{name}={value}" for name, value in item.items()) for item in dimension.choices)
        yield f"- {dimension.name}: {choices}"


def report_of(outcome: Outcome) -> Report:
    """Return the run as every job reports: `quality.P`, `tokens.P` and more for each profile P."""
    config: dict[str, ConfigValue] = {"derived": outcome.workload.derived}
    metrics: dict[str, Interval] = {}
    for name, row in [*outcome.profiles.named(), ("configured", outcome.configured)]:
        config |= {f"{name}.{knob}": value for knob, value in row.candidate.values}
        metrics |= profile_metrics(outcome, name, row)
    metrics |= {**tier_metrics(outcome.tiers, seed=outcome.rule.seed), **bound_metrics(outcome.bound)}
    return Report(
        job="tune",
        set=outcome.workload.dataset.name,
        n=outcome.questions(),
        seed=outcome.rule.seed,
        config=config,
        metrics=metrics,
        segments={
            name: Segment(
                item.n,
                {
                    "quality.balanced": bootstrap(own.general.quality.tolist(), seed=outcome.rule.seed),
                    "quality.own": bootstrap(own.used().quality.tolist(), seed=outcome.rule.seed),
                    "tokens.balanced": bootstrap(own.general.tokens.tolist(), seed=outcome.rule.seed),
                    "tokens.own": bootstrap(own.used().tokens.tolist(), seed=outcome.rule.seed),
                },
            )
            for name, item in outcome.segments.items()
            for own in (item.profiles["balanced"],)
        },
        failures=outcome.found.problems,
    )


def profile_metrics(outcome: Outcome, name: str, row: Measured) -> dict[str, Interval]:
    """Return the metrics of one profile, with its held-out figures where there are folds."""
    seed = outcome.rule.seed
    metrics = {
        f"quality.{name}": bootstrap(row.quality.tolist(), seed=seed),
        f"tokens.{name}": bootstrap(row.tokens.tolist(), seed=seed),
        f"quality.{name}-best": outcome.rule.difference(row, outcome.profiles.best),
        f"ms_p50.{name}": bootstrap(row.ms.tolist(), seed=seed, statistic=percentile_of(50)),
        f"ms_p95.{name}": bootstrap(row.ms.tolist(), seed=seed, statistic=percentile_of(95)),
    }
    if held := outcome.held_out.get(name):
        metrics |= {f"held_out_quality.{name}": held.quality, f"held_out_tokens.{name}": held.tokens}
    usd = outcome.price.usd_per_1000(row.mean_tokens()) if outcome.price else None
    return metrics if usd is None else metrics | {f"usd_per_1000.{name}": exact(float(usd))}


def tokens_and_quality(row: Measured) -> str:
    """Return the mean tokens of a row and its quality in percent."""
    return f"{row.mean_tokens():.0f}, {100 * row.mean_quality():.1f}"


def points(interval: Interval) -> str:
    """Return a difference in points with its sign and interval; a dash where both are the same."""
    if interval.low == interval.high == 0:
        return "–"
    return f"{100 * interval.value:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"


def milliseconds(row: Measured) -> str:
    """Return median and 95th percentile of a row's times."""
    p50, p95 = np.percentile(row.ms, [50, 95])
    return f"{p50:.0f} / {p95:.0f}"


def usd_text(outcome: Outcome, row: Measured) -> str:
    """Return the cost of 1,000 contexts of a row, or that it is not known."""
    usd = outcome.price.usd_per_1000(row.mean_tokens()) if outcome.price else None
    return "unknown" if usd is None else f"{usd:.2f}"
