"""The retrieval job: four rankings from one search, a small corpus through the real pipeline, and what is refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.__main__ import main, show
from eval.datasets import Dataset, Query, read_dataset
from eval.errors import DatasetError
from eval.report import Report
from eval.retrieval import (
    SYSTEMS,
    Outcome,
    Rankings,
    RetrievalJob,
    answerable,
    ask,
    measure,
    metrics_of,
    rankings_of,
    report_of,
    searched,
)
from indexes.records import Document, EncodedQuestion, Hit, StoredChunk
from ragopt.config import load_settings
from ragopt.domain import QueryKnobs, Question
from ragopt.results import RankedHit, Retrieved
from ragopt.telemetry import Trace
from ragopt.wiring import open_library

TEXTS = {
    "tides": "Tides rise and fall twice a day. Spring tides come when sun and moon stand in line.",
    "bread": "Sourdough rises because wild yeast makes gas. A baker feeds the starter every day.",
    "bees": "A worker bee lives about six weeks. The queen lays up to two thousand eggs a day.",
}
QUERIES = [
    {"id": "q1", "text": "When do spring tides come?", "domain": "sea"},
    {"id": "q2", "text": "Why does sourdough rise?", "domain": "land"},
    {"id": "q3", "text": "Who wrote the Odyssey?", "domain": "land"},
    {"id": "q4", "text": "How many eggs does the queen lay?", "domain": "land"},
]
QRELS = "query-id\tcorpus-id\tscore\nq1\ttides\t2\nq1\tbees\t0\nq2\tbread\t1\nq3\tbees\t0\nq4\tbees\t1\n"
KINDS = ("ndcg@10", "mrr@10", "recall@5", "recall@10", "recall@20")
DIFFERENCES = {f"ndcg@10.full-{system}" for system in ("bm25", "dense", "rrf")}
NAMES = {f"{kind}.{system}" for kind in KINDS for system in SYSTEMS} | DIFFERENCES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a data folder with three documents; of its four questions one has no relevant document."""
    path = tmp_path / "topics"
    path.mkdir()
    corpus = [{"id": name, "title": name, "text": text} for name, text in TEXTS.items()]
    for name, lines in {"corpus": corpus, "queries": QUERIES}.items():
        (path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (path / "qrels.tsv").write_text(QRELS, encoding="utf-8")
    return path


def test_every_system_finds_what_a_small_corpus_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints one object with every pinned name; each answer shares words with its question and is first."""
    assert main(["retrieval", "--data", str(folder), "--seed", "3", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {name: report[name] for name in ("job", "set", "n", "seed")} == {
        "job": "retrieval",
        "set": "topics",
        "n": 3,
        "seed": 3,
    }
    assert set(report["metrics"]) == NAMES
    for system in SYSTEMS:
        assert report["metrics"][f"ndcg@10.{system}"] == {"value": 1.0, "low": 1.0, "high": 1.0}
        assert {report["metrics"][f"{kind}.{system}"]["value"] for kind in KINDS} == {1.0}
    assert report["metrics"]["ndcg@10.full-bm25"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert {name: segment["n"] for name, segment in report["segments"].items()} == {"land": 2, "sea": 1}
    assert {name: report["config"][name] for name in ("top_k", "fusion", "dense_weight")} == {
        "top_k": 200,
        "fusion": "rrf",
        "dense_weight": 0.5,
    }
    assert report["config"]["indexed"] == "title, headings, text"


def test_a_limit_takes_the_first_questions_and_two_runs_agree(folder: Path) -> None:
    """One of three questions is asked, and a second run reports the same."""
    reports = [asyncio.run(measure(read_dataset(folder), RetrievalJob(limit=1))) for _ in range(2)]
    assert reports[0].n == 1
    assert reports[0] == reports[1]


@pytest.mark.parametrize("qrels", [None, "query-id\tcorpus-id\tscore\n", "query-id\tcorpus-id\tscore\nq1\ttides\t0\n"])
def test_a_set_without_relevant_documents_is_refused(
    folder: Path, qrels: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a relevant document there is nothing to rank: one line says so, and the exit code is 1."""
    (folder / "qrels.tsv").unlink()
    if qrels is not None:
        (folder / "qrels.tsv").write_text(qrels, encoding="utf-8")
    assert main(["retrieval", "--data", str(folder)]) == 1
    assert "eval: topics: no question has a relevant document: `qrels.tsv`" in capsys.readouterr().err


def test_the_refusal_is_a_dataset_error() -> None:
    """A set with questions and no qrels at all is refused before anything is ingested."""
    dataset = Dataset("bare", (Document("d", "text"),), (Query("q", "text", ""),), qrels={}, references={})
    with pytest.raises(DatasetError, match="bare"):
        asyncio.run(measure(dataset, RetrievalJob()))


def test_only_questions_with_a_relevant_document_are_asked(folder: Path) -> None:
    """A question without qrels, or with grades of 0 alone, is not in; the others keep their order and grades."""
    asked = answerable(read_dataset(folder))
    assert [query.id for query, _ in asked] == ["q1", "q2", "q4"]
    assert asked[0][1] == {"tides": 2, "bees": 0}


def test_a_question_that_fails_scores_zero_and_is_a_failure(folder: Path, tmp_path: Path) -> None:
    """A collection that was never filled is a row of zeros that says what happened, never a missing row."""
    query, grades = answerable(read_dataset(folder))[0]
    question = Question(text=query.text, tenant="eval", collection="topics")

    async def asked() -> Outcome:
        async with open_library(load_settings(data_dir=tmp_path / "data")) as (_, pipeline):
            return await ask(pipeline, question, query=query, grades=grades)

    outcome = asyncio.run(asked())
    assert outcome.scores == dict.fromkeys(NAMES - DIFFERENCES, 0.0)
    assert outcome.problem is not None
    assert outcome.problem.startswith("question 'q1': there is no collection 'topics'")
    report = reported([outcome])
    assert (report.n, report.failures) == (1, (outcome.problem,))
    assert show([report], as_lines=True) == 1


def test_a_crash_scores_zero_and_is_a_failure_too(folder: Path, tmp_path: Path) -> None:
    """What nobody raised on purpose does not end the run, and is told with its class."""
    query, grades = answerable(read_dataset(folder))[0]
    question = Question(text=query.text, tenant="eval", collection="topics")

    async def broken(_text: str) -> EncodedQuestion:
        raise ZeroDivisionError

    async def asked() -> Outcome:
        async with open_library(load_settings(data_dir=tmp_path / "data")) as (_, pipeline):
            return await ask(replace(pipeline, embed=broken), question, query=query, grades=grades)

    outcome = asyncio.run(asked())
    assert outcome.scores == dict.fromkeys(NAMES - DIFFERENCES, 0.0)
    assert reported([outcome]).failures == ("question 'q1': ZeroDivisionError",)


def test_a_question_without_hits_lowers_the_mean() -> None:
    """Of two questions one that found nothing is half of the mean, in every metric."""
    metrics = metrics_of([outcome_of("q1", 1.0), outcome_of("q2", 0.0)], seed=0)
    assert set(metrics) == NAMES
    assert all(metrics[f"{kind}.{system}"].value == 0.5 for kind in KINDS for system in SYSTEMS)


def test_differences_are_paired() -> None:
    """A system that is better by the same amount on every question is better with certainty."""
    scores = [0.1, 0.5, 0.8]
    outcomes = [outcome_of(f"q{n}", score, full=score + 0.1) for n, score in enumerate(scores)]
    metrics = metrics_of(outcomes, seed=0)
    for name in DIFFERENCES:
        assert metrics[name].low == pytest.approx(0.1)
        assert metrics[name].high == pytest.approx(0.1)


def test_one_search_gives_four_rankings() -> None:
    """Each system orders documents by its own best chunk; a hit without a score is in no ranking of that score."""
    hits = [
        hit("a", 0, dense=0.9, bm25=None),
        hit("b", 0, dense=0.2, bm25=4.0),
        hit("a", 1, dense=None, bm25=5.0),
        hit("c", 0, dense=0.5, bm25=None),
        hit("b", 1, dense=0.7, bm25=1.0),
    ]
    assert rankings_of(hits, [RankedHit(item, 0.0, 0.0, (0.0,)) for item in reversed(hits)]) == {
        "bm25": ["a", "b"],
        "dense": ["a", "b", "c"],
        "rrf": ["a", "b", "c"],
        "full": ["b", "c", "a"],
    }


def test_rrf_is_the_plain_one_whatever_is_configured(tmp_path: Path) -> None:
    """`full` reranks what the configured fusion found; `rrf` stays the reference, from a search of its own."""
    hits = [hit(name, 0, dense=0.5, bm25=2.0) for name in "ab"]
    searches: list[QueryKnobs] = []

    async def retrieve(standalone: str, question: Question, *, encoded: EncodedQuestion, trace: Trace) -> Retrieved:
        searches.append(question.knobs)
        plain = (question.knobs.fusion, question.knobs.dense_weight) == ("rrf", 0.5)
        return Retrieved(encoded, tuple(hits if plain else reversed(hits)), 1)

    async def keep_order(standalone: str, retrieved: Retrieved, *, knobs: QueryKnobs, trace: Trace) -> list[RankedHit]:
        return [RankedHit(item, 0.0, 0.0, (0.0,)) for item in retrieved.hits]

    async def rankings(*knobs: QueryKnobs) -> list[Rankings]:
        async with open_library(load_settings(data_dir=tmp_path / "data")) as (_, real):
            pipeline = replace(real, retrieve=retrieve, rerank=keep_order)
            questions = [Question("What?", "eval", knobs=item) for item in knobs]
            return [await searched(pipeline, question, trace=Trace("r")) for question in questions]

    plain, by_score, weighted = asyncio.run(
        rankings(QueryKnobs(), QueryKnobs(fusion="score"), QueryKnobs(dense_weight=0.7))
    )
    assert plain["rrf"] == by_score["rrf"] == weighted["rrf"] == plain["full"] == ["a", "b"]
    assert by_score["full"] == weighted["full"] == ["b", "a"]
    assert len(searches) == 5


def test_no_hits_are_four_empty_rankings() -> None:
    """A search that found nothing ranks nothing, in every system."""
    assert rankings_of([], []) == {name: [] for name in SYSTEMS}


def test_ties_are_settled_by_id() -> None:
    """Documents of equal score stand in the order of their ids, whatever order the hits came in."""
    hits = [hit(name, 0, dense=0.5, bm25=2.0) for name in "cab"]
    rankings = rankings_of(hits, [])
    assert rankings["bm25"] == rankings["dense"] == ["a", "b", "c"]


scores = st.one_of(st.none(), st.floats(-1, 30))


@given(st.lists(st.tuples(st.sampled_from("abcde"), scores, scores)))
def test_every_document_found_is_ranked_once(found: Sequence[tuple[str, float | None, float | None]]) -> None:
    """No ranking repeats a document; `rrf` and `full` hold all that were found, the others those with a score."""
    hits = [hit(name, n, dense=dense, bm25=bm25) for n, (name, dense, bm25) in enumerate(found)]
    rankings = rankings_of(hits, [RankedHit(item, 0.0, 0.0, (0.0,)) for item in hits])
    assert all(len(set(ranking)) == len(ranking) for ranking in rankings.values())
    assert set(rankings["rrf"]) == set(rankings["full"]) == {name for name, _, _ in found}
    assert set(rankings["dense"]) == {name for name, dense, _ in found if dense is not None}
    assert set(rankings["bm25"]) == {name for name, _, bm25 in found if bm25 is not None}


def hit(document_id: str, n: int, *, dense: float | None, bm25: float | None) -> Hit:
    """Return a hit of the n-th chunk of a document."""
    chunk = StoredChunk(f"{document_id}-{n}", document_id, 1, "", 0, 4, ((0, 4),), "text")
    return Hit(chunk, np.zeros((0, 16), np.uint8), unit_tokens=(0, 0), dense=dense, bm25=bm25, fused=1.0)


def outcome_of(name: str, score: float, *, full: float | None = None) -> Outcome:
    """Return the outcome of a question that every system scored alike, `full` apart if it is given."""
    scored = {**dict.fromkeys(SYSTEMS, score), "full": score if full is None else full}
    return Outcome(
        Query(name, "text", ""), {f"{kind}.{system}": scored[system] for kind in KINDS for system in SYSTEMS}
    )


def reported(outcomes: Sequence[Outcome]) -> Report:
    """Return the report of outcomes on a set without documents."""
    return report_of(outcomes, Dataset("topics", (), (), {}, {}), job=RetrievalJob(), settings=load_settings())
