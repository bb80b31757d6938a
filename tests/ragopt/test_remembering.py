"""What is remembered of a function of a text, and how much of it."""

from __future__ import annotations

from ragopt.remembering import LONG_KEPT, SHORT_CHARS, remembered


def test_short_texts_are_remembered_and_long_ones_for_a_while() -> None:
    """A short text is read once among hundreds; a long one is read again when enough others came after it."""
    read: list[str] = []

    @remembered
    def length(text: str) -> int:
        read.append(text)
        return len(text)

    short = [f"sentence {number}" for number in range(4 * LONG_KEPT)]
    long = [f"{number} " * SHORT_CHARS for number in range(2 * LONG_KEPT)]
    for text in (*short, *long):
        assert length(text) == length(text) == len(text)
    assert read == [*short, *long]
    assert [length(text) for text in short] == [len(text) for text in short]
    assert read == [*short, *long]
    assert length(long[0]) == len(long[0])
    assert read[-1] == long[0]
    assert length.__name__ == "length"
