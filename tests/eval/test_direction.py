"""Which way metrics are better."""

from __future__ import annotations

import pytest

from eval.direction import Direction, direction


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("recall@400", "higher"),
        ("ndcg@10.full", "higher"),
        ("mrr@10.rrf", "higher"),
        ("duplicates_served@wrong<=0.05.ragopt", "higher"),
        ("ingest_chunks_per_s", "higher"),
        ("embed_chunks_per_s.ours", "higher"),
        ("equal_recall.token_ratio", "higher"),
        ("tokens@400", "lower"),
        ("answer_ms.p95", "lower"),
        ("ready_s.warm", "lower"),
        ("peak_mb", "lower"),
        ("wrong_served@bound=0.05", "lower"),
        ("benign_refused", "lower"),
        ("ndcg@10.full-rrf", "neither"),
        ("ndcg@10.full-bm25", "neither"),
        ("recall@baseline", "neither"),
        ("recall@baseline.truncated", "neither"),
        ("tokens@baseline", "neither"),
        ("equal_recall.budget", "neither"),
    ],
)
def test_a_name_says_which_way_is_better(metric: str, expected: Direction) -> None:
    """Amounts and errors are better low, scores and rates high; what only compares is neither."""
    assert direction(metric) == expected
