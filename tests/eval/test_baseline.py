"""The vendor's default: how it cuts, what it sends, and a small set with it beside ours."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.__main__ import main
from eval.baseline import CHUNK_TOKENS, OVERLAP_TOKENS, Window, sent, token_edges, top_rows, windows
from eval.metrics import Overlap
from ragopt.tokens import count_tokens
from tests.eval.folders import written_set

LONG = " ".join(f"Sentence {number} says that tide {number * 7} is high." for number in range(230))


def test_windows_are_800_tokens_and_begin_400_apart() -> None:
    """Every window but the last has 800 tokens, each begins 400 tokens after the one before, and all is covered."""
    edges = token_edges(LONG)
    found = windows("d", LONG)
    places = [(edges.index(start), edges.index(end)) for start, end in (window.span for window in found)]
    assert len(found) > 3
    assert {end - start for start, end in places[:-1]} == {CHUNK_TOKENS}
    assert {b - a for (a, _), (b, _) in pairwise(places)} == {CHUNK_TOKENS - OVERLAP_TOKENS}
    assert (places[0][0], places[-1][1]) == (0, len(edges) - 1)
    assert OVERLAP_TOKENS < places[-1][1] - places[-1][0] <= CHUNK_TOKENS


def test_the_parts_of_a_window_are_the_window() -> None:
    """Parts follow each other without a gap, and neighbouring windows share those in their overlap."""
    found = windows("d", LONG)
    for window in found:
        assert (window.parts[0][0], window.parts[-1][1]) == window.span
        assert all(left[1] == right[0] for left, right in pairwise(window.parts))
    assert found[0].parts[2:] == found[1].parts[:2]


@settings(max_examples=50)
@given(st.text(alphabet="aé漢🙂 \n.", max_size=400))
def test_any_text_is_cut_at_its_code_points(text: str) -> None:
    """Edges ascend from 0 to the end, one per token and one more; what a window spans is inside the text."""
    edges = token_edges(text)
    assert len(edges) == count_tokens(text) + 1
    assert edges == sorted(edges)
    assert edges[-1] == len(text)
    assert [window.span for window in windows("d", text)] == ([(0, len(text))] if text else [])


def test_the_five_most_similar_are_sent_and_ties_keep_their_order() -> None:
    """Rows are ranked by cosine; of equal ones the earlier comes first; fewer than five are all sent."""
    vectors = np.array([[1, 0], [0, 1], [1, 0], [0.6, 0.8], [0.8, 0.6], [1, 0]], np.float32)
    assert top_rows(np.array([[1, 0]], np.float32), vectors) == [[0, 2, 5, 4, 3]]
    assert top_rows(np.array([[0, 1]], np.float32), vectors[:2]) == [[1, 0]]


def test_overlapping_windows_are_sent_twice() -> None:
    """What two windows share is paid for twice and found once."""
    text = "abcdefghij"
    best = [Window("d", (0, 6), ()), Window("d", (4, 10), ())]
    found = sent({"d": [(2, 8)]}, best, {"d": text})
    assert found.overlap == Overlap(reference=6, context=12, shared=6)
    assert found.tokens == count_tokens("abcdef\n\nefghij")


def test_the_vendors_default_stands_beside_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Documents shorter than a window are sent whole: recall 1 at the cost of all of them, and fewer tokens of ours."""
    folder = written_set(tmp_path / "topics")
    assert main(["context", "--data", str(folder), "--budgets", "60", "--baseline", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    metrics = {name: interval["value"] for name, interval in report["metrics"].items()}
    corpus = [json.loads(line)["text"] for line in (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines()]
    assert metrics["tokens@baseline"] == pytest.approx(count_tokens("\n\n".join(corpus)), abs=2)
    assert {metrics[f"recall@baseline{kind}"] for kind in ("", ".truncated", ".mean_of_parts")} == {1.0}
    assert metrics["equal_recall.budget"] == 100
    assert metrics["equal_recall.token_ratio"] == pytest.approx(metrics["tokens@baseline"] / 100)
    assert metrics["equal_recall.recall_difference"] == 0
    assert "800-token chunks, 400 overlap, top 5, dense" in report["config"]["baseline"]
    assert report["segments"]["bees"]["metrics"]["recall@baseline"]["value"] == 1.0
