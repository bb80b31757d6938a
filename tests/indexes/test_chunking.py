"""Chunks: exact spans, whole units, structure kept."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.chunking import blocks, chunk_text, line_of
from indexes.records import ChunkSpan, IndexKnobs
from ragopt.tokens import count_tokens, count_tokens_batch

MARKDOWN = """# Leave

Employees have 28 days of leave. Dr. Smith approves it within three days.

## Carrying over

- Five days may be carried over.
- They lapse in March.

| year | days |
|---|---|
| 2023 | 27 |
| 2024 | 28 |

```python
def days(year):
    return 28
```

The end.
"""


def chunks_of(text: str, chunk_tokens: int = 40) -> list[ChunkSpan]:
    return chunk_text(text, IndexKnobs(chunk_tokens=chunk_tokens), count_tokens=count_tokens_batch)


def units_of(text: str) -> list[str]:
    return [text[start:end] for chunk in chunks_of(text) for start, end in chunk.units]


def test_units_are_sentences_items_rows_and_code_lines() -> None:
    """Every structural kind gives the unit a reader would name."""
    assert units_of(MARKDOWN) == [
        "# Leave",
        "Employees have 28 days of leave.",
        "Dr. Smith approves it within three days.",
        "## Carrying over",
        "- Five days may be carried over.",
        "- They lapse in March.",
        "| year | days |",
        "|---|---|",
        "| 2023 | 27 |",
        "| 2024 | 28 |",
        "def days(year):",
        "return 28",
        "The end.",
    ]


def test_a_chunk_knows_the_headings_above_it() -> None:
    """Levels open and close each other; what a chunk holds itself is not in its path; wiki marks count too."""
    text = "# A\n\n" + "One two three. " * 30 + "\n## B\n\nText.\n\n### C\n\nText.\n\n## D\n\nText.\n"
    found = [(text[chunk.start : chunk.end].split()[0:2], chunk.heading) for chunk in chunks_of(text)]
    assert found[0] == (["#", "A"], "")
    assert found[1] == (["One", "two"], "A")
    assert found[-3:] == [(["##", "B"], "A"), (["###", "C"], "A > B"), (["##", "D"], "A")]
    wiki = " = Game = \n\nText.\n\n = = Plot = = \n\n" + "One two three. " * 30
    assert [chunk.heading for chunk in chunks_of(wiki)][:3] == ["", "Game", "Game > Plot"]


def test_a_list_mark_stays_with_its_item() -> None:
    """A numbered item is not cut behind its number."""
    assert units_of("9. **Cite** checks markers. It quotes.\n10. Done.") == [
        "9. **Cite** checks markers.",
        "It quotes.",
        "10. Done.",
    ]


def test_a_chunk_never_crosses_a_heading_and_keeps_it_with_its_text() -> None:
    """A heading opens its chunk."""
    texts = [MARKDOWN[chunk.start : chunk.end] for chunk in chunks_of(MARKDOWN)]
    assert texts[0].startswith("# Leave")
    assert [text.startswith("## Carrying over") for text in texts].count(True) == 1
    assert not any("three days" in text and "Carrying" in text for text in texts)


def test_chunks_are_near_their_target_and_never_twice_as_large() -> None:
    """Plain sentences fill chunks without passing the target."""
    text = " ".join(f"This is sentence number {n} of a long plain text." for n in range(200))
    sizes = [count_tokens(text[chunk.start : chunk.end]) for chunk in chunks_of(text, 100)]
    assert max(sizes) <= 130
    assert sum(sizes[:-1]) / len(sizes[:-1]) >= 70


def test_a_unit_without_sentence_ends_is_cut_at_punctuation() -> None:
    """An overlong line becomes several units that end at punctuation or white space."""
    text = ", ".join(f"item {n}" for n in range(500))
    units = units_of(text)
    assert len(units) > 5
    assert all(unit.endswith(",") for unit in units[:-1])


def test_one_word_without_any_break_is_still_cut() -> None:
    """100,000 letters in a row end in bounded units."""
    units = units_of("a" * 100_000)
    assert sum(map(len, units)) == 100_000
    assert max(map(len, units)) < 2_000


@pytest.mark.parametrize("text", ["", "   \n\t ", "```\n```"])
def test_nothing_to_index_gives_no_chunks(text: str) -> None:
    """Blank text and empty fences have no chunks."""
    assert chunks_of(text) == []


@pytest.mark.parametrize(
    ("line", "fence", "kind"),
    [
        ("# T", "", "heading"),
        (" = Valkyria = ", "", "heading"),
        ("- x", "", "item"),
        ("2) x", "", "item"),
        ("| a | b |", "", "row"),
        ("plain", "", "prose"),
        ("# not a heading", "```", "code"),
        ("```", "```", "blank"),
    ],
)
def test_lines_are_told_apart(line: str, fence: str, kind: str) -> None:
    """Each kind of line is recognised, and code is code whatever it looks like."""
    assert line_of(line, fence) == kind


def test_windows_line_ends_separate_blocks() -> None:
    """CRLF text has the same blocks as LF text."""
    text = "# A\r\n\r\nOne.\r\n- two\r\n"
    assert [block.kind for block in blocks(text)] == ["heading", "prose", "item"]


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab .!?\n\r\t#-|`~1é中\u200f\u200b"), max_size=400), st.integers(20, 60))
def test_every_visible_character_is_in_exactly_one_unit(text: str, chunk_tokens: int) -> None:
    """Spans are ascending and disjoint, nothing but white space and fences lies outside them."""
    chunks = chunks_of(text, chunk_tokens)
    units = [unit for chunk in chunks for unit in chunk.units]
    assert all(chunk.start == chunk.units[0][0] and chunk.end == chunk.units[-1][1] for chunk in chunks)
    assert all(start < end for start, end in units)
    assert all(one[1] <= two[0] for one, two in zip(units, units[1:], strict=False))
    outside = "".join(
        text[a:b] for a, b in zip([0, *(u[1] for u in units)], [*(u[0] for u in units), len(text)], strict=True)
    )
    lines = [line for line in outside.splitlines() if line.strip()]
    assert all(line.strip()[:3] in ("```", "~~~") for line in lines)
