"""Hits for the tests of reranking."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from indexes.records import Hit, StoredChunk
from ragopt.results import Retrieved
from tests.fakes import WordEncoder


def retrieved(question: str, texts: Sequence[str]) -> Retrieved:
    """Return a hit per text of document `d`, in order, with the token vectors of its words."""
    encoder = WordEncoder()
    encoded = asyncio.run(encoder.encode(list(texts)))
    hits = tuple(
        Hit(
            StoredChunk(f"c{n}", "d", 1, "", 0, len(text), ((0, len(text)),), text),
            item.tokens,
            unit_tokens=(0, len(item.tokens)),
            dense=0.5,
            bm25=None,
            fused=1 / (60 + n),
        )
        for n, (text, item) in enumerate(zip(texts, encoded, strict=True))
    )
    return Retrieved(asyncio.run(encoder.encode_question(question)), hits, 1)
