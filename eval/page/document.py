"""The whole page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eval.comparison import Comparison
from eval.page.markup import Markup, joined, tag
from eval.page.sections import (
    comparison_section,
    context_section,
    other_section,
    retrieval_section,
    source_section,
    tiles,
)
from eval.report import Report

STYLE = Path(__file__).with_name("page.css")
KNOWN = ("context", "retrieval")


def page(results: Sequence[Report | Comparison]) -> str:
    """Return one HTML document with everything in it: the same for the same results, and without a network."""
    reports = [result for result in results if isinstance(result, Report)]
    comparisons = [result for result in results if isinstance(result, Comparison)]
    of = {job: [report for report in reports if report.job == job] for job in KNOWN}
    others = [report for report in reports if report.job not in KNOWN]
    body = [
        tag("header", tag("h1", "Evaluation"), tag("p", described(results))),
        tiles(reports),
        context_section(of["context"]) if of["context"] else "",
        retrieval_section(of["retrieval"]) if of["retrieval"] else "",
        comparison_section(comparisons) if comparisons else "",
        other_section(others) if others else "",
        source_section(results),
    ]
    return f"<!DOCTYPE html>\n{tag('html', head(), tag('body', tag('main', *body)), lang='en')}\n"


def head() -> Markup:
    """Return the head: nothing in it is loaded from anywhere."""
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", "ragopt evaluation"),
        tag("style", Markup(STYLE.read_text(encoding="utf-8"))),
    )


def described(results: Sequence[Report | Comparison]) -> Markup:
    """Return a sentence on what is on the page."""
    sets = list(dict.fromkeys(result.set for result in results))
    count = "One result" if len(results) == 1 else f"{len(results)} results"
    return joined(f"{count} on {', '.join(sets)}. Every number stands with its 95 % bootstrap interval.")
