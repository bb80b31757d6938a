"""Token counts in o200k_base, the unit of every budget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, lru_cache

import tiktoken

from ragopt.config import shipped_vocabularies

ENCODING = "o200k_base"
# tiktoken's pattern matcher recurses on very long runs without white space; slices keep it shallow.
SLICE_CHARS = 20_000
# Counts that are remembered: the rules of every prompt, and what one answer counts in several places.
REMEMBERED = 1_024


@cache
def encoding(name: str = ENCODING) -> tiktoken.Encoding:
    """Return the encoder, loaded once from the vocabulary that ships; the first call takes about half a second."""
    with shipped_vocabularies():
        return tiktoken.get_encoding(name)


def count_tokens(text: str) -> int:
    """Return the number of o200k_base tokens of `text`; special-token strings count as plain text.

    Texts over 20,000 characters are counted in slices cut at white space: the same count, save
    where a cut falls inside a run of white space or of text without any.
    """
    return sum(map(slice_tokens, slices(text)))


@lru_cache(maxsize=REMEMBERED)
def slice_tokens(text: str) -> int:
    """Return the number of o200k_base tokens of a text of at most 20,000 characters."""
    return len(encoding().encode_ordinary(text))


def count_tokens_batch(texts: Sequence[str]) -> list[int]:
    """Return the token count of each text, counted in parallel threads outside the interpreter lock."""
    if all(len(text) <= SLICE_CHARS for text in texts):
        return [len(ids) for ids in encoding().encode_ordinary_batch(list(texts), num_threads=2)]
    return [count_tokens(text) for text in texts]


def slices(text: str) -> Iterator[str]:
    """Yield `text` in pieces of at most 20,000 characters, cut before white space where there is some."""
    start = 0
    while len(text) - start > SLICE_CHARS:
        cut = max(text.rfind(" ", start + 1, start + SLICE_CHARS), text.rfind("\n", start + 1, start + SLICE_CHARS))
        cut = cut if cut > start else start + SLICE_CHARS
        yield text[start:cut]
        start = cut
    yield text[start:]
