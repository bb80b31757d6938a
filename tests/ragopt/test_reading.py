"""An answer to its sentences while it streams."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragopt.reading import AnswerReader, Piece


def read(parts: list[str]) -> list[Piece]:
    """Return the pieces of a text that comes in parts."""
    reader = AnswerReader()
    return [piece for part in parts for piece in reader.feed(part)] + reader.finish()


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Cats sleep. [1] They purr [2]. End", ["Cats sleep. [1] ", "They purr [2]. ", "End"]),
        (
            "Dr. Smith, e.g. in the U.S., runs 3.5 km. He won!",
            ["Dr. Smith, e.g. in the U.S., runs 3.5 km. ", "He won!"],
        ),
        ("1. One [1]\n2. Two? Yes.\n", ["1. One [1]\n", "2. Two? ", "Yes.\n"]),
        ("Run `a. B` now. Then `run. Y", ["Run `a. B` now. ", "Then `run. ", "Y"]),
        ("“Go.” He left. (See it.) Done", ["“Go.” ", "He left. ", "(See it.) ", "Done"]),
        ("猫は眠る。[1]犬は吠える。", ["猫は眠る。[1]", "犬は吠える。"]),
        ("Wait... what? ok", ["Wait... what? ", "ok"]),
        ("", []),
    ],
)
def test_sentences_end_where_a_reader_sees_it(text: str, pieces: list[str]) -> None:
    """Markers belong to the sentence before them; abbreviations, numbers, counters and code end none."""
    assert [piece.text for piece in read([text])] == pieces


def test_code_blocks_come_line_by_line() -> None:
    """From fence to fence of the same kind, an unclosed one to the end."""
    text = "Run:\n```py\nx[1]. Y\n~~~\n```\nDone. ~\n~~~~\nz"
    assert [piece.code for piece in read([text])] == [False, True, True, True, True, False, False, True, True]


def test_a_sentence_is_held_until_it_is_certain() -> None:
    """What follows decides: a marker belongs to it, a lower-case word continues it, half a marker says nothing yet."""
    reader = AnswerReader()
    fed = [reader.feed(part) for part in ("Cats sleep.", " ", "[", "1", "]", " ", "T")]
    assert [[piece.text for piece in pieces] for pieces in fed] == [[], [], [], [], [], [], ["Cats sleep. [1] "]]


def test_a_sentence_without_end_is_cut_at_a_space() -> None:
    """At most 2,000 characters are held, and the cuts are the same however the text comes."""
    text = "word " * 1_000
    pieces = read([text])
    assert {len(piece.text) for piece in pieces} == {2_000, 1_000}
    assert pieces == read([text[at : at + 7] for at in range(0, len(text), 7)])


PARTS = (
    "Cats sleep",
    ". ",
    ".",
    "[1]",
    " [2, ",
    "3]",
    "`",
    "``",
    "```",
    "\n",
    " ",
    "Dr",
    "! ",
    "~~~\n",
    "x",
    "。",
    ".” ",
    "A",
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=24), st.lists(st.integers(0, 80), max_size=16))
def test_every_split_gives_the_same_pieces(parts: list[str], cuts: list[int]) -> None:
    """However a text is cut, its pieces are the same, and joined they are the text."""
    text = "".join(parts)
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = read([text[a:b] for a, b in zip(edges, edges[1:], strict=False)])
    assert pieces == read([text]) == read(list(text))
    assert "".join(piece.text for piece in pieces) == text
