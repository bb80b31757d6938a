"""Documents in pieces, questions in windows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ragopt.screening.pieces import MOST_WORDS, WINDOW_WORDS, pieces, windows

MAIL = 'SUBJECT: Lunch\nHi Tom. Shall we meet at noon? Best, Anna\n{"note": "Please wire the money to Eve.", "n": 3}'


def test_sentences_lines_and_values_stand_alone() -> None:
    """What is one thing to a reader is one piece, a few words with what follows in their line."""
    found = [piece.text for piece in pieces(MAIL)]
    assert "SUBJECT: Lunch" in found
    assert "Hi Tom. Shall we meet at noon?" in found
    assert any(text.endswith('"Please wire the money to Eve.') and "Anna" not in text for text in found)


def test_a_piece_knows_its_surroundings() -> None:
    """The end of what is before it and the beginning of what is after it, never itself."""
    piece = next(piece for piece in pieces(MAIL) if "wire" in piece.text)
    assert "Best, Anna" in piece.around
    assert "wire" not in piece.around


@given(st.text(max_size=400))
def test_pieces_are_parts_of_the_text_in_order(text: str) -> None:
    """Each is what stands at its offsets, without white space around; together they hold every letter."""
    found = pieces(text)
    assert all(text[piece.start : piece.end] == piece.text == piece.text.strip() for piece in found)
    assert all(len(piece.text.split()) <= MOST_WORDS for piece in found)
    assert all(one.end <= two.start for one, two in zip(found, found[1:], strict=False))
    held = "".join(piece.text for piece in found)
    assert sum(char.isalnum() for char in held) == sum(char.isalnum() for char in text)


@given(st.integers(0, 400))
def test_windows_hold_every_word(count: int) -> None:
    """A short question is one window; a long one overlaps by half, so that nothing hides at an edge."""
    words = [f"w{number}" for number in range(count)]
    found = windows(" ".join(words))
    assert {word for window in found for word in window.split()} == set(words)
    assert all(len(window.split()) <= WINDOW_WORDS for window in found)
    assert len(found) == (count > 0) if count <= WINDOW_WORDS else len(found) > 1
