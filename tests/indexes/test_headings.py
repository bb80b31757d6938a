"""Headings: marked, underlined, bold or numbered, and what only looks like one."""

from __future__ import annotations

import pytest

from indexes.headings import Heading, heading_at
from indexes.lines import lines_of


@pytest.mark.parametrize(
    ("text", "heading"),
    [
        ("## Setup ##", Heading(2, "Setup")),
        ("= = Plot = =", Heading(2, "Plot")),
        ("Setup\n-----", Heading(2, "Setup", lines=2)),
        ("Setup\n=====", Heading(1, "Setup", lines=2)),
        ("**Setup:**\nfirst", Heading(12, "Setup")),
        ("2.1 Scope\n\nText.", Heading(7, "2.1 Scope")),
        ("2.1.3. Scope of work", Heading(8, "2.1.3. Scope of work")),
        ("Appendix B Forms\n\nText.", Heading(6, "Appendix B Forms")),
    ],
)
def test_headings_have_level_and_title(text: str, heading: Heading) -> None:
    """Marks give the level; headings without marks lie below those with marks."""
    assert heading_at(lines_of(text), 0) == heading


@pytest.mark.parametrize(
    "text",
    [
        "#hashtag",
        "= x",
        "A sentence.\n-----",
        "- item\n-----",
        "a | b\n--- | ---",
        "**This is important.**",
        "**bold** words",
        "2.1 million people live here.",
        "2.1 Scope\nof the work",
        "1. Introduction",
        "Section 3 applies to\nall of them",
        "Title\n",
    ],
)
def test_what_looks_like_a_heading_is_none(text: str) -> None:
    """Sentences, items, rows and emphasis are no headings."""
    assert heading_at(lines_of(text), 0) is None


def test_only_the_first_line_of_a_paragraph_can_be_underlined() -> None:
    """A rule under running text does not turn its last line into a title."""
    assert heading_at(lines_of("Running text\ngoes on\n----\n"), 1) is None
