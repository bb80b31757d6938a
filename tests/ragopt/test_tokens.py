"""Token counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragopt.tokens import SLICE_CHARS, count_tokens, count_tokens_batch, encoding, slices


def test_counts_are_the_tokenizers() -> None:
    """A known text has its known count, and special tokens are text like any other."""
    assert count_tokens("Hello, world!") == 4
    assert count_tokens("") == 0
    assert count_tokens("<|endoftext|>") > 1


def test_long_texts_count_the_same_in_slices() -> None:
    """Cutting at white space changes nothing."""
    text = "A sentence of plain words, with 2023 and a comma. " * 2_000
    assert len(text) > SLICE_CHARS
    assert count_tokens(text) == len(encoding().encode_ordinary(text)) == count_tokens_batch([text])[0]


@pytest.mark.parametrize(
    "text", ["a" * 100_000, "ab " * 50_000, "\n" * 30_000, "\u200b" * 50_000, "\U0001f600" * 30_000]
)
def test_hostile_texts_are_counted(text: str) -> None:
    """Long runs without white space neither hang nor crash the tokenizer."""
    assert 0 < count_tokens(text) <= 4 * len(text)


@given(st.text(max_size=300))
def test_slices_joined_are_the_text(text: str) -> None:
    """Slicing loses nothing."""
    assert "".join(slices(text)) == text
