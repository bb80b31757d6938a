"""The parts of the page: one function per kind of result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eval.comparison import ENDING, Comparison, Difference, settings_apart
from eval.page import tables
from eval.page.bars import bars
from eval.page.curve import Line, Point, curve
from eval.page.forest import forest, legend
from eval.page.markup import Markup, joined, percent, plain, signed, tag
from eval.report import Report

GATED = "-gate"
# What a configuration says of the measurement, not of what was measured.
DESCRIBED = ("baseline", "equal_recall", "indexed")
SYSTEMS = ("bm25", "dense", "rrf", "full")
# The budget that a tile speaks of: the nearest measured one.
TILE_BUDGET = 400


def tiles(reports: Sequence[Report]) -> Markup:
    """Return the figure of each set that says most, large, with a sentence: of its first measurement only."""
    return tag("div", *(tile(report, label_of(report, reports)) for report in firsts(reports)), class_="tiles")


def tile(report: Report, label: str) -> Markup:
    """Return one report's figures, none for a job without a first figure."""
    if report.job == "context" and (budgets := budgets_of(report)):
        budget = min(budgets, key=lambda number: abs(number - TILE_BUDGET))
        recall = f"{percent(report.metrics[f'recall@{budget}'].value)} %"
        words = f"of the answering text in {plain(sent(report, str(budget)), 0)} tokens"
        return joined(tile_of(recall, words, report, label=label), ratio_tile(report, label))
    if report.job == "retrieval" and "ndcg@10.full" in report.metrics:
        gain = report.metrics.get("ndcg@10.full-rrf")
        words = f"nDCG@10, {signed(gain.value)} against RRF" if gain else "nDCG@10"
        return tile_of(f"{report.metrics['ndcg@10.full'].value:.3f}", words, report, label=label)
    return joined()


def ratio_tile(report: Report, label: str) -> Markup:
    """Return how many times fewer tokens than the vendor's default it takes; nothing where it was not measured."""
    ratio = report.metrics.get("equal_recall.token_ratio")
    if ratio is None:
        return joined()
    words = "fewer tokens than a vendor's default of equal recall"
    return tile_of(f"{ratio.value:.1f} ×", words, report, label=label)


def tile_of(figure: str, words: str, report: Report, *, label: str) -> Markup:
    """Return one large figure with what it means and where it was measured."""
    where = f"{title(report, label)}, {report.n} questions"
    return tag("div", tag("b", figure), tag("span", words), tag("small", where), class_="tile")


def context_section(reports: Sequence[Report]) -> Markup:
    """Return for each set a curve with every measurement of it, and a table per measurement."""
    parts = []
    for same in [[other for other in reports if alike(other, first)] for first in firsts(reports)]:
        named = list(zip(same, labels(same), strict=True))
        lines = [line_of(report, label) for report, label in named]
        beside = joined(*(measured(report, label) for report, label in named))
        caption = f"{same[0].set}, {same[0].n} questions"
        parts.append(pair(figure(caption, curve(lines), keys(lines)), beside))
    return section(
        "Context: recall against tokens",
        "How much of the text that answers a question is in the packed context, and what it costs. Bands are 95 % "
        "intervals.",
        *parts,
    )


def line_of(report: Report, label: str) -> Line:
    """Return the curve of one report."""
    points = [Point(sent(report, str(budget)), report.metrics[f"recall@{budget}"]) for budget in budgets_of(report)]
    baseline = None
    if "recall@baseline" in report.metrics:
        baseline = Point(sent(report, "baseline"), report.metrics["recall@baseline"])
    equal = None
    if {"equal_recall.budget", "equal_recall.token_ratio"} <= set(report.metrics):
        equal = report.metrics["equal_recall.budget"].value, report.metrics["equal_recall.token_ratio"].value
    return Line(label, tuple(sorted(points, key=lambda point: point.tokens)), baseline, equal)


def budgets_of(report: Report) -> list[int]:
    """Return the budgets whose recall was measured, ascending."""
    return sorted(int(name[7:]) for name in report.metrics if name.startswith("recall@") and name[7:].isdecimal())


def sent(report: Report, budget: str) -> float:
    """Return the mean tokens at a budget; the budget itself where they were not measured."""
    interval = report.metrics.get(f"tokens@{budget}")
    return interval.value if interval else float(budget) if budget.isdecimal() else 1.0


def keys(lines: Sequence[Line]) -> Markup:
    """Return what the colours and the diamond say."""
    series = [
        tag("span", tag("i", class_=f"key s{at % 5}"), line.label, class_="legend") for at, line in enumerate(lines)
    ]
    if any(line.baseline for line in lines):
        text = "vendor's default: 800-token chunks, 400 overlap, top 5"
        series.append(tag("span", tag("i", class_="key diamond"), text, class_="legend"))
    return joined(*series)


def retrieval_section(reports: Sequence[Report]) -> Markup:
    """Return for each measurement bars of nDCG@10, and a table."""
    parts = []
    for report, label in zip(reports, labels(reports), strict=True):
        found = {name: report.metrics[key] for name in SYSTEMS if (key := f"ndcg@10.{name}") in report.metrics}
        drawing = figure(title(report, label), bars(found, label=f"nDCG@10 on {report.set}")) if found else joined()
        parts.append(pair(drawing, measured(report, label)))
    return section(
        "Search: nDCG@10 of each stage",
        "The same search, ranked by BM25 alone, by embeddings alone, by both fused, and reranked as it is served "
        "(full). Thin lines are 95 % intervals.",
        *parts,
    )


def other_section(reports: Sequence[Report]) -> Markup:
    """Return a table for each report of another job."""
    parts = [measured(report, label) for report, label in zip(reports, labels(reports), strict=True)]
    return section("Other measurements", "", *parts)


def comparison_section(comparisons: Sequence[Comparison]) -> Markup:
    """Return a forest plot per comparison and kind of metric, and a table each."""
    parts: list[Markup] = []
    for comparison in comparisons:
        gated = comparison.job.endswith(GATED)
        job = comparison.job.removesuffix(ENDING).removesuffix(GATED) + (", now against its baseline" if gated else "")
        sides = ("now, the first", "baseline, the second") if gated else ("first", "second")
        apart = [tag("code", text) for text in settings_apart(comparison, sides)]
        plots = [figure(kind, forest(rows)) for kind, rows in by_kind(comparison.metrics).items()]
        parts += [
            tag("h3", f"{comparison.set}: {job}"),
            tag("p", *apart, class_="apart"),
            tag("div", *plots, class_="figures"),
            folded(f"All numbers, n = {comparison.n}", tables.differences(comparison.metrics)),
            *(
                folded(f"{name}, n = {part.n}", tables.differences(part.metrics))
                for name, part in comparison.segments.items()
            ),
        ]
    return section(
        "Differences",
        "First minus second on the same questions, with 95 % intervals of the paired difference.",
        tag("p", legend(), class_="keys"),
        *parts,
    )


def by_kind(rows: Mapping[str, Difference]) -> dict[str, dict[str, Difference]]:
    """Return the differences by what they measure: only those share a scale."""
    kinds: dict[str, dict[str, Difference]] = {}
    for name, item in rows.items():
        kinds.setdefault(tables.place_of(name)[1], {})[name] = item
    return kinds


def source_section(results: Sequence[Report | Comparison]) -> Markup:
    """Return the configuration and the command of every result."""
    parts = []
    for result in results:
        origin = result.origin
        pairs = [("questions", result.n), ("seed", result.seed), *result.config.items()]
        if isinstance(result, Comparison):
            pairs += [(f"{name}, second", value) for name, value in result.against.items() if apart(result, name)]
        command = tag("pre", origin.command) if origin and origin.command else joined()
        data = (
            tag("p", "set ", tag("code", origin.data), ", digest ", tag("code", origin.digest)) if origin else joined()
        )
        parts.append(tag("article", tag("h3", f"{result.job} on {result.set}"), command, data, tables.facts(pairs)))
    return section("How it was measured", "", tag("div", *parts, class_="sources"))


def apart(comparison: Comparison, name: str) -> bool:
    """Return whether a setting is not the same in both."""
    return comparison.config.get(name) != comparison.against.get(name)


def measured(report: Report, label: str) -> Markup:
    """Return the metrics of one report as a table, its segments folded below, and what failed."""
    failed = [f"Failures: {len(report.failures)}, for example: {report.failures[0]}"] if report.failures else []
    return joined(
        tag("h3", title(report, label), tag("small", f" n = {report.n}")),
        *(tag("p", text, class_="failed") for text in failed),
        tables.matrix(report.metrics),
        *(
            folded(f"{name}, n = {segment.n}", tables.matrix(segment.metrics))
            for name, segment in report.segments.items()
        ),
    )


def title(report: Report, label: str) -> str:
    """Return the set and, where it was measured more than once, which measurement this is."""
    set_name = report.set if report.job in ("context", "retrieval") else f"{report.job}: {report.set}"
    return set_name if label == "ragopt" else f"{set_name}: {label}"


def labels(reports: Sequence[Report]) -> list[str]:
    """Return what tells each report from the others of its kind: the settings that differ, else its number."""
    return [label_of(report, reports) for report in reports]


def label_of(report: Report, reports: Sequence[Report]) -> str:
    """Return the label of one of several reports; `ragopt` where it is the only one of its kind."""
    same = [other for other in reports if alike(report, other)]
    if len(same) == 1:
        return "ragopt"
    names = [name for name in report.config if name not in DESCRIBED and all(name in other.config for other in same)]
    differ = [name for name in names if len({str(other.config[name]) for other in same}) > 1]
    settings = ", ".join(f"{name}={report.config[name]}" for name in differ)
    return settings or f"measurement {1 + next(at for at, other in enumerate(same) if other is report)}"


def alike(one: Report, other: Report) -> bool:
    """Return whether two reports are of one kind: the same job, set and number of cases."""
    return (one.job, one.set, one.n) == (other.job, other.set, other.n)


def firsts(reports: Sequence[Report]) -> list[Report]:
    """Return the first report of each kind, in order."""
    return list({(report.job, report.set, report.n): report for report in reversed(reports)}.values())[::-1]


def section(heading: str, sentence: str, *content: Markup) -> Markup:
    """Return a section with its heading and, where there is one, a sentence that explains it."""
    return tag("section", tag("h2", heading), tag("p", sentence) if sentence else "", *content)


def pair(drawing: Markup, beside: Markup) -> Markup:
    """Return a drawing with its numbers beside it, below it where the screen is narrow."""
    return tag("div", tag("div", drawing), tag("div", beside), class_="pair")


def figure(caption: str, drawing: Markup, below: Markup | None = None) -> Markup:
    """Return a drawing with its caption above and its legend below."""
    foot = tag("p", below, class_="keys") if below else joined()
    return tag("figure", tag("figcaption", caption), drawing, foot)


def folded(summary: str, content: Markup) -> Markup:
    """Return content that opens on a click."""
    return tag("details", tag("summary", summary), content)
