"""Chunks: exact spans, whole units, structure kept."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.chunking import chunk_text
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
        "```python\ndef days(year):",
        "return 28\n```",
        "The end.",
    ]


def test_a_chunk_knows_the_headings_above_it() -> None:
    """Levels open and close each other; what a chunk holds itself is not in its path; wiki marks count too."""
    text = "# A\n\n" + "One two three. " * 30 + "\n## B\n\nText.\n\n### C\n\nText.\n\n## D\n\nText.\n"
    found = [(text[chunk.start : chunk.end].split()[0:2], chunk.heading) for chunk in chunks_of(text)]
    assert found[0] == (["#", "A"], "")
    assert found[1] == (["One", "two"], "A > One two three.")
    assert found[-3:] == [(["##", "B"], "A"), (["###", "C"], "A > B"), (["##", "D"], "A")]
    wiki = " = Game = \n\nText.\n\n = = Plot = = \n\n" + "One two three. " * 30
    assert [chunk.heading for chunk in chunks_of(wiki)][:3] == ["", "Game", "Game > Plot > One two three."]


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


def test_a_long_sentence_stays_whole_in_small_chunks() -> None:
    """A size that is tried while tuning cuts no sentence that a larger one leaves whole."""
    sentence = "The board, " + ", ".join(f"member {n}" for n in range(30)) + ", agrees."
    text = f"It met. {sentence} It left."
    assert 60 * 2 < count_tokens(sentence) < 200
    assert sentence in [text[start:end] for chunk in chunks_of(text, 60) for start, end in chunk.units]


def test_one_word_without_any_break_is_still_cut() -> None:
    """100,000 letters in a row end in bounded units."""
    units = units_of("a" * 100_000)
    assert sum(map(len, units)) == 100_000
    assert max(map(len, units)) < 2_000


@pytest.mark.parametrize("text", ["", "   \n\t "])
def test_nothing_to_index_gives_no_chunks(text: str) -> None:
    """Blank text has no chunks."""
    assert chunks_of(text) == []


def test_a_counter_goes_with_what_it_counts() -> None:
    """A number that a sentence splitter cuts off belongs to the sentence behind it."""
    assert units_of("It expires in 2036. 14. Debt was low.") == ["It expires in 2036.", "14. Debt was low."]


def paragraph(sentences: int, name: str = "x") -> str:
    return " ".join(f"Sentence {n} of {name} has a few more words." for n in range(sentences))


@pytest.mark.parametrize(
    "whole",
    [
        "- Bring the form.\n- Sign it twice.\n- Send it by post.\n- Keep a copy of it.",
        "| year | days |\n|---|---|\n| 2023 | 27 |\n| 2024 | 28 |",
        "```python\ndef days(year):\n    if year > 2023:\n        return 28\n\n    return 27\n```",
        paragraph(4),
    ],
    ids=["list", "table", "code", "paragraph"],
)
def test_what_fits_into_one_chunk_is_not_torn(whole: str) -> None:
    """A list, a table, code and a paragraph stay whole wherever they stand between paragraphs."""
    for before in range(1, 8):
        text = f"{paragraph(before, 'a')}\n\n{whole}\n\n{paragraph(5, 'b')}"
        assert any(whole in text[chunk.start : chunk.end] for chunk in chunks_of(text)), before


def test_what_does_not_fit_is_cut_in_balanced_parts_between_its_items() -> None:
    """A long list becomes chunks of about the same size, none of them a stub, each item whole."""
    text = "\n".join(f"- Item {n} has a first sentence. And it has a second one." for n in range(40))
    chunks = chunks_of(text, 80)
    sizes = [len(chunk.units) // 2 for chunk in chunks]
    assert all(text[chunk.start : chunk.start + 2] == "- " for chunk in chunks)
    assert max(sizes) - min(sizes) <= 2
    assert len(chunks) > 5


def test_what_leads_into_a_list_table_or_code_stays_with_its_beginning() -> None:
    """A chunk does not end with a colon where what the colon announces follows."""
    for sentences in range(1, 12):
        text = f"{paragraph(sentences)}\n\nBring these:\n\n- A form.\n- A pen.\n\n{paragraph(3)}"
        assert not any(text[: chunk.end].endswith(":") for chunk in chunks_of(text))


def test_every_part_of_a_table_is_found_by_its_header_and_by_what_leads_into_it() -> None:
    """Header and lead-in stand in the heading of each later part, and in no span."""
    rows = "\n".join(f"| {year} | {year % 7} days |" for year in range(1980, 2020))
    text = f"# Leave\n\nThe table shows the days of leave:\n\n| year | leave |\n|---|---|\n{rows}\n"
    chunks = chunks_of(text)
    assert len(chunks) > 3
    assert {chunk.heading for chunk in chunks[1:]} == {"Leave > The table shows the days of leave: > | year | leave |"}
    assert all(text[chunk.start] == "|" for chunk in chunks[1:])


def test_a_nested_item_is_found_by_the_items_above_it() -> None:
    """A part that begins inside a list has the lead-in and the items that enclose it in its heading."""
    inner = "\n".join(f"  - Step {n} of the installation takes a while." for n in range(20))
    text = f"Follow these steps:\n\n- Install it.\n{inner}\n- Start it.\n"
    headings = [chunk.heading for chunk in chunks_of(text)]
    assert headings[0] == ""
    assert set(headings[1:]) == {"Follow these steps: > - Install it."}


def test_a_part_of_a_paragraph_is_found_by_the_end_of_the_sentence_before_it() -> None:
    """Where a paragraph is cut, the heading of the next part ends with the sentence before."""
    chunks = chunks_of("# A\n\n" + paragraph(30))
    assert len(chunks) > 3
    assert all(chunk.heading.startswith("A > Sentence ") for chunk in chunks[1:])


def test_what_stands_above_a_chunk_is_bounded() -> None:
    """A heading as long as a book and 1,000 nested items are not stored with every chunk below them."""
    text = "# " + "word " * 5_000 + "\n\n" + "\n".join(" " * n + f"- item {n}" for n in range(0, 400, 2))
    assert max(len(chunk.heading) for chunk in chunks_of(text)) <= 400


def test_a_heading_never_ends_a_chunk() -> None:
    """A heading stays with what it heads, an empty section with the next one."""
    text = "".join(f"## H{n}\n\n{paragraph(n % 5, str(n))}\n\n" for n in range(60)) + "Last."
    last_lines = [text[chunk.start : chunk.end].splitlines()[-1] for chunk in chunks_of(text)]
    assert not any(line.startswith("#") for line in last_lines)


def test_headings_without_end_are_still_cut() -> None:
    """A text of headings alone has chunks of bounded size."""
    chunks = chunks_of("".join(f"# Heading {n}\n" for n in range(2_000)))
    assert max(len(chunk.units) for chunk in chunks) < 60


def test_escaped_line_breaks_are_line_breaks() -> None:
    """A dump of strings is read as the text it stands for; its spans index what is there."""
    text = r"[{'content': 'Take these steps:\n\n1. Open it\n2. Close it\n\nThen rest.'}]"
    assert units_of(text) == ["[{'content': 'Take these steps:", "1. Open it", "2. Close it", "Then rest.'}]"]
    assert units_of("One line.\nC:\\new is a folder.") == ["One line.", "C:\\new is a folder."]


def test_line_ends_make_no_difference() -> None:
    """CR, LF and both give the same units."""
    wanted = [unit.split() for unit in units_of(MARKDOWN)]
    for end in ("\r\n", "\r"):
        assert [unit.split() for unit in units_of(MARKDOWN.replace("\n", end))] == wanted


@pytest.mark.parametrize(
    "text",
    [
        "word " * 50_000,
        "\n" * 100_000 + "end",
        "- a\n" * 10_000,
        "# a\n" * 10_000,
        "```x\n" * 10_000,
        "a | b\na | b | c\n" * 5_000,
        "a  b  c\na  b  c  d\n" * 5_000,
        ". " * 100_000,
        "(a" * 50_000,
        "= " * 50_000,
    ],
    ids=lambda text: repr(text[:8]),
)
def test_no_text_takes_long(text: str) -> None:
    """Texts that are hard to read are chunked; one that took quadratic time would stall the suite."""
    assert chunks_of(text, 80)


TEXTS = st.text(alphabet=st.sampled_from("ab .!?\n\r\t#-|`~1é中\u200f\u200b:=*>+\\n"), max_size=400)


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.integers(20, 60))
def test_every_visible_character_is_in_exactly_one_unit(text: str, chunk_tokens: int) -> None:
    """Units are ascending and disjoint, tile their chunk, and leave nothing out but white space."""
    chunks = chunks_of(text, chunk_tokens)
    units = [unit for chunk in chunks for unit in chunk.units]
    assert all(chunk.start == chunk.units[0][0] and chunk.end == chunk.units[-1][1] for chunk in chunks)
    assert all(start < end for start, end in units)
    assert all(one[1] <= two[0] for one, two in zip(units, units[1:], strict=False))
    gaps = zip([0, *(unit[1] for unit in units)], [*(unit[0] for unit in units), len(text)], strict=True)
    outside = "".join(text[start:end] for start, end in gaps)
    # A text with more escaped line breaks than real ones has white space that is written out.
    assert not outside.replace("\\n", "").replace("\\r", "").replace("\\t", "").strip()


PARTS = st.lists(
    st.sampled_from(
        [
            "# A",
            "Text:",
            "One. Two.",
            "- a",
            "  - b",
            "1. c",
            "| a | b |",
            "|---|---|",
            "a | b",
            "```",
            "    x = 1",
            "> q",
            "",
            "---",
            "Title",
            ": def",
            "a\tb",
            "**B**",
            "2.1 Scope",
        ]
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(PARTS)
def test_structure_of_any_kind_is_tiled_and_chunked_alike_each_time(lines: list[str]) -> None:
    """Every line is in one unit, no chunk is over twice its target unless it is one unit, twice the same result."""
    text = "\n".join(lines)
    chunks = chunks_of(text, 20)
    units = [unit for chunk in chunks for unit in chunk.units]
    assert "".join("".join(text[start:end].split()) for start, end in units) == "".join(text.split())
    sizes = [count_tokens_batch([text[start:end] for start, end in chunk.units]) for chunk in chunks]
    assert all(sum(size) <= 40 or len(size) == 1 for size in sizes)
    assert chunks_of(text, 20) == chunks
