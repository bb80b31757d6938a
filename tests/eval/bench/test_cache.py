"""Cached answers are timed on the whole path, and a hit that is missing ends the benchmark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from eval.bench.cache import bench_cache, everything
from eval.bench.texts import BenchTexts
from indexes.ingest import TextEncoder
from tests.fakes import WordEncoder

TEXTS = BenchTexts.of(None, chunks=1, seed=0)


@contextmanager
def words() -> Iterator[TextEncoder]:
    yield WordEncoder()


def test_exact_hits_are_timed() -> None:
    """Every kept question is a hit; embedding stands beside it."""
    report = bench_cache(TEXTS, encoders=words, entries=30)
    assert report.n == 20
    assert report.metrics["exact_hit.p50_ms"].value > 0
    assert report.metrics["embed.p95_ms"].value > 0


def test_the_level_accepts_every_score() -> None:
    """What is timed is the way to a hit."""
    level = everything([], max_wrong=0.05)
    assert level is not None
    assert level.accepts(0)
