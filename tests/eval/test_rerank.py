"""The rerank job: late interaction beside a cross-encoder behind a socket, over a small corpus and the real path."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.responses import JSONResponse

from eval.__main__ import main
from eval.datasets import Query
from eval.rerank import SYSTEMS, Judged, Outcome, metrics_of
from tests.environment import environment
from tests.rerank_endpoint import served_endpoint

TEXTS = {
    "tides": "Tides rise and fall twice a day. Spring tides come when sun and moon stand in line.",
    "bread": "Sourdough rises because wild yeast makes gas. A baker feeds the starter every day.",
}
QUERIES = [{"id": "q1", "text": "When do spring tides come?"}, {"id": "q2", "text": "Why does sourdough rise?"}]
SPANS = [
    {"query_id": "q1", "doc_id": "tides", "start": 33, "end": 83},
    {"query_id": "q2", "doc_id": "bread", "start": 0, "end": 45},
]
QRELS = "query-id\tcorpus-id\tscore\nq1\ttides\t1\nq2\tbread\t1\n"
DIFFERENCES = ("deadline-late", "deadline-all", "settled-all", "all-late")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a data folder with two documents, and qrels and spans for two questions."""
    path = tmp_path / "topics"
    path.mkdir()
    corpus = [{"id": name, "title": name, "text": text} for name, text in TEXTS.items()]
    for name, lines in {"corpus": corpus, "queries": QUERIES, "spans": SPANS}.items():
        (path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (path / "qrels.tsv").write_text(QRELS, encoding="utf-8")
    return path


def test_a_cross_encoder_is_measured_beside_late_interaction(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Spans make it recall at the budget; judged hits and milliseconds come with it, and what reranked is named."""
    with served_endpoint() as endpoint, environment(RAGOPT_RERANK_DEADLINE_MS="10000"):
        assert main(["rerank", "--data", str(folder), "--model", endpoint.url, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {name: report[name] for name in ("job", "set", "n")} == {"job": "rerank", "set": "topics", "n": 2}
    assert report["config"]["rerank_model"] == endpoint.url
    names = {f"recall@800.{name}" for name in (*SYSTEMS, *DIFFERENCES)}
    names |= {f"rerank_ms.{name}.{percent}" for name in SYSTEMS for percent in ("p50", "p95")}
    names |= {f"judged.{name}" for name in SYSTEMS if name != "late"}
    assert set(report["metrics"]) == names
    assert report["metrics"]["recall@800.deadline"]["value"] == 1.0
    assert report["metrics"]["judged.all"]["value"] == 2.0


def test_without_a_cross_encoder_late_interaction_is_measured(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Grades make it nDCG of documents; with nothing to compare there are no differences."""
    (folder / "spans.jsonl").unlink()
    assert main(["rerank", "--data", str(folder), "--limit", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["metrics"]) == {"ndcg@10.late", "rerank_ms.late.p50", "rerank_ms.late.p95"}
    assert (report["n"], report["metrics"]["ndcg@10.late"]["value"]) == (1, 1.0)
    assert report["config"]["rerank_model"] == "late-interaction"


def test_a_cross_encoder_that_fails_is_a_failure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its questions are answered by late interaction, which must not pass for a measurement of it."""
    with served_endpoint() as endpoint:
        endpoint.answer = lambda: JSONResponse({}, 500)
        assert main(["rerank", "--data", str(folder), "--limit", "1", "--model", endpoint.url]) == 1
    assert "question 'q1', deadline: http://127.0.0.1" in capsys.readouterr().err


def test_a_set_without_anything_to_score_by_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line names the set."""
    (folder / "spans.jsonl").unlink()
    (folder / "qrels.tsv").unlink()
    assert main(["rerank", "--data", str(folder)]) == 1
    assert "topics: no question has reference spans or a relevant document" in capsys.readouterr().err


def test_differences_are_paired() -> None:
    """A system that is better by the same amount on every question is better with certainty."""
    outcomes = [
        Outcome(
            Query(f"q{n}", "text", ""),
            {name: Judged(score + (name == "all") / 10, ms=1.0 + n, judged=n) for name in SYSTEMS},
        )
        for n, score in enumerate((0.1, 0.5, 0.8))
    ]
    metrics = metrics_of(outcomes, quality="q", seed=0)
    assert metrics["q.all-late"].low == pytest.approx(0.1)
    assert metrics["q.deadline-all"].high == pytest.approx(-0.1)
    assert (metrics["rerank_ms.late.p50"].value, metrics["judged.deadline"].value) == (2.0, 1.0)
