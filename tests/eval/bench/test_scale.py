"""Growth: the copies it is made of, and a small run from the first commit to the chart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from eval.bench.copies import copies, pieces
from eval.bench.scale import bench_scale, chart_of
from eval.bench.texts import BenchTexts
from indexes.ingest import TextEncoder
from indexes.manifest import PreparedChunk, PreparedDocument
from indexes.records import ChunkSpan, Document, Encoded, SparseVector
from tests.fakes import WordEncoder


@contextmanager
def words() -> Iterator[TextEncoder]:
    """Yield an encoder that another process can make too."""
    yield WordEncoder()


def prepared(number: int) -> PreparedDocument:
    """Return a document of two chunks with random vectors."""
    rng = np.random.default_rng(number)
    vectors = rng.standard_normal((2, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chunks = tuple(
        PreparedChunk(
            ChunkSpan(0, 4, ((0, 4),)),
            Encoded(vector, np.zeros((1, 16), np.uint8)),
            SparseVector((1, 2), (1.0, 0.5)),
            unit_tokens=(0, 1),
        )
        for vector in vectors
    )
    return PreparedDocument(Document(f"d{number}", "text"), f"hash{number}", 1, chunks)


def test_copies_are_near_their_originals_and_all_different() -> None:
    """The originals come first and unchanged; a copy has its text, another id, and vectors near its original's."""
    originals = [prepared(0), prepared(1)]
    made = list(islice(copies(originals, seed=3), 8))
    assert made[:2] == originals
    assert len({item.document.id for item in made}) == len({item.content_hash for item in made}) == 8
    for item, original in zip(made[2:], originals * 3, strict=True):
        assert item.document.text == original.document.text
        for chunk, first in zip(item.chunks, original.chunks, strict=True):
            assert np.linalg.norm(chunk.encoded.dense) == pytest.approx(1, abs=1e-5)
            assert 0.8 < float(chunk.encoded.dense @ first.encoded.dense) < 0.97
            assert chunk.sparse.indices == first.sparse.indices
            assert chunk.sparse.values != first.sparse.values
    again = list(islice(copies(originals, seed=3), 8))
    assert all(
        np.array_equal(a.chunks[0].encoded.dense, b.chunks[0].encoded.dense) for a, b in zip(made, again, strict=True)
    )


def test_long_documents_are_cut_and_nothing_is_lost() -> None:
    """Pieces of a document joined are its text; a document of spaces has no piece."""
    texts = BenchTexts("set", (Document("a", "x" * 9_000), Document("b", "  ")), (), 10, 0)
    first = list(islice(pieces(texts), 4))
    assert "".join(piece.text for piece in first[:3]) == "x" * 9_000
    assert len({piece.id for piece in first}) == 4
    assert first[3].id.startswith("generated/1")


def test_a_small_growth_is_measured_step_by_step() -> None:
    """Two sizes make two segments; nothing is missed by an exact scan, and times, disk and memory are there."""
    texts = BenchTexts.of(None, chunks=60, seed=0)
    report = bench_scale(texts, chunks=60, encoders=words, steps=(20, 500), questions=8)
    sizes = [int(name.split()[0]) for name in report.segments]
    assert len(sizes) == 2
    assert 20 <= sizes[0] < 60 <= sizes[1] == report.config["chunks"]
    assert (report.n, [segment.n for segment in report.segments.values()]) == (8, [8, 8])
    for segment in report.segments.values():
        values = {name: interval.value for name, interval in segment.metrics.items()}
        # Half precision cannot tell a few of the last places apart.
        assert values["dense_recall@50"] >= 0.99
        assert 0 < values["search.p50_ms"] <= values["search.p95_ms"]
        assert values["search.p50_ms"] < values["search+embed.p50_ms"]
        assert all(values[name] > 0 for name in ("disk_bytes_per_chunk", "memory_mib", "reopen_s"))
    chart = ET.fromstring(chart_of(report).svg())  # noqa: S314 - made by the code under test
    assert len(list(chart.iter("{http://www.w3.org/2000/svg}polyline"))) == 4
