"""Whole ingests side by side: that both sides are given the same chunks, and that what is not installed is said."""

from __future__ import annotations

import asyncio
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from eval.bench.index import library_over
from eval.bench.ingest import documents_for, indexed_chunks, stored
from eval.bench.llama import llama_ingest
from eval.bench.texts import BenchTexts
from eval.errors import BenchError, MissingExtra
from indexes.edge import EdgeEngine
from indexes.records import Document
from ragopt.config import load_settings
from tests.fakes import WordEncoder

TEXTS = BenchTexts.of(None, chunks=40, seed=0)


def test_the_others_are_given_what_ours_embeds(tmp_path: Path) -> None:
    """Chunk for chunk the texts that an ingest of the same documents embeds."""
    group = documents_for(TEXTS.documents(), chunks=20)
    engine = EdgeEngine(tmp_path)
    encoder = WordEncoder()
    made = asyncio.run(stored(library_over(engine, encoder), group))
    chunks = indexed_chunks(group, load_settings(data_dir=tmp_path))
    assert made == len(chunks) > 10
    assert sorted(encoder.encoded) == sorted(set(chunks))
    asyncio.run(engine.close())


def test_documents_are_taken_until_there_is_enough_text() -> None:
    """At least one, however few chunks are asked for; more for more chunks, without gaps between calls."""
    documents = TEXTS.documents()
    assert len(documents_for(documents, chunks=1)) == 1
    some = documents_for(documents, chunks=30)
    assert sum(len(document.text) for document in some) >= 12_000
    assert [document.id for document in some] == [item.id for item in islice(TEXTS.documents(), 1, 1 + len(some))]


def test_a_document_that_is_refused_ends_the_bench(tmp_path: Path) -> None:
    """What is timed is what was stored, or nothing."""
    engine = EdgeEngine(tmp_path)
    with pytest.raises(BenchError, match="'empty' was not ingested"):
        asyncio.run(stored(library_over(engine, WordEncoder()), [Document("empty", " ")]))
    asyncio.run(engine.close())


def test_llama_index_embeds_every_text_once_or_says_what_to_install() -> None:
    """With the extra every text goes through the encoder that is given; without it the error names the extra."""
    seen: list[str] = []

    def encode(texts: object) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        assert isinstance(texts, list)
        seen.extend(texts)
        return np.ones((len(texts), 4), np.float32)

    texts = [f"text {number} of the index" for number in range(70)]
    try:
        ingest = llama_ingest(encode)
    except MissingExtra as error:
        assert "ragopt[bench]" in str(error)  # noqa: PT017 - which of the two it is depends on the machine
    else:
        ingest(texts)
        assert seen == texts
