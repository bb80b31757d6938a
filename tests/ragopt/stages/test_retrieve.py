"""Retrieval over a real library."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from indexes.edge import EdgeEngine
from indexes.library import Library
from indexes.records import Document, IndexKnobs
from ragopt.domain import QueryKnobs, Question
from ragopt.stages.retrieve import HybridRetriever
from ragopt.telemetry import Trace
from ragopt.tokens import count_tokens_batch
from tests.fakes import WordEncoder

SECTIONS = Document("rules", "\n\n".join(f"# Part{n}\n\nRule{n} speaks of topic{n} only." for n in range(9)))


def test_neighbours_join_the_hits_when_asked_for(tmp_path: Path) -> None:
    """The chunks beside a hit come after the hits, without scores; without the knob none do."""

    async def numbers(knobs: QueryKnobs) -> list[int]:
        engine = EdgeEngine(tmp_path)
        encoder = WordEncoder()
        library = Library(
            engine, encoder, knobs=IndexKnobs(), count_tokens=count_tokens_batch, max_document_bytes=10_000
        )
        await library.ingest("acme", "c", [SECTIONS])
        question = Question("topic4", "acme", "c", knobs=knobs)
        encoded = await encoder.encode_question(question.text)
        found = await HybridRetriever(library, encoder.encode_question)(
            question.text, question, encoded=encoded, trace=Trace("t")
        )
        await engine.close()
        assert all((hit.dense is None and hit.bm25 is None) == (at >= knobs.top_k) for at, hit in enumerate(found.hits))
        return [hit.chunk.n for hit in found.hits]

    knobs = QueryKnobs(top_k=1)
    assert asyncio.run(numbers(knobs)) == [4]
    assert asyncio.run(numbers(replace(knobs, neighbours=1))) == [4, 3, 5]


def test_a_rewritten_question_is_searched_in_both_wordings(tmp_path: Path) -> None:
    """The words that only one of them has find their chunk, and token weights still sum to 1."""

    async def found(standalone: str) -> list[int]:
        engine = EdgeEngine(tmp_path)
        encoder = WordEncoder()
        library = Library(
            engine, encoder, knobs=IndexKnobs(), count_tokens=count_tokens_batch, max_document_bytes=10_000
        )
        await library.ingest("acme", "c", [SECTIONS])
        question = Question("what of rule2", "acme", "c", knobs=QueryKnobs(top_k=2))
        encoded = await encoder.encode_question(standalone)
        hits = await HybridRetriever(library, encoder.encode_question)(
            standalone, question, encoded=encoded, trace=Trace("t")
        )
        await engine.close()
        assert hits.question.weights.sum() == pytest.approx(1)
        assert np.linalg.norm(hits.question.dense) == pytest.approx(1)
        return sorted(hit.chunk.n for hit in hits.hits)

    assert asyncio.run(found("rule7 topic7")) == [2, 7]
    assert 7 not in asyncio.run(found("what of rule2"))
