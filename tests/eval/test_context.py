"""The context job: a small real corpus through the real pipeline, and what its checks catch."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from eval.__main__ import main, show
from eval.context import ContextJob, Outcome, ask, measure
from eval.context_checks import context_problems
from eval.datasets import Reference, read_dataset
from eval.errors import DatasetError
from eval.report import Report
from indexes.records import EncodedQuestion
from ragopt.config import load_settings
from ragopt.domain import Context, Passage, Question
from ragopt.tokens import count_tokens
from ragopt.wiring import open_library

TOPICS = {
    "tides": [
        "Tides rise and fall twice a day in most harbours.",
        "The moon pulls the water towards itself.",
        "Spring tides come when sun and moon stand in line.",
    ],
    "bread": [
        "Sourdough rises because wild yeast makes gas.",
        "A baker feeds the starter flour and water every day.",
        "Rye dough is sticky and needs a tin.",
    ],
    "bees": [
        "A worker bee lives about six weeks in summer.",
        "The queen lays up to two thousand eggs a day.",
        "Bees tell each other of flowers by dancing.",
    ],
}
QUESTIONS = {
    "When do spring tides come?": ("tides", 2),
    "Why does sourdough rise?": ("bread", 0),
    "How many eggs does the queen lay a day?": ("bees", 1),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a data folder with three documents and a question to each."""
    path = tmp_path / "topics"
    path.mkdir()
    texts = {name: " ".join(sentences) for name, sentences in TOPICS.items()}
    queries: list[dict[str, object]] = []
    spans: list[dict[str, object]] = []
    for question, (name, at) in QUESTIONS.items():
        start = texts[name].index(TOPICS[name][at])
        end = start + len(TOPICS[name][at])
        queries.append({"id": question, "text": question, "corpus_id": name})
        spans.append({"query_id": question, "doc_id": name, "start": start, "end": end})
    corpus: list[dict[str, object]] = [{"id": name, "title": name, "text": text} for name, text in texts.items()]
    for name, lines in {"corpus": corpus, "queries": queries, "spans": spans}.items():
        (path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_the_answers_of_a_small_corpus_are_in_the_context(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints one object with every pinned name; with room for everything recall is 1."""
    assert main(["context", "--data", str(folder), "--budgets", "20,400", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert {name: report[name] for name in ("job", "set", "n", "seed")} == {
        "job": "context",
        "set": "topics",
        "n": 3,
        "seed": 0,
    }
    names = {f"{name}@{budget}" for name in ("recall", "precision", "iou", "tokens") for budget in (20, 400)}
    assert set(report["metrics"]) == names
    assert report["metrics"]["recall@400"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert 0 < report["metrics"]["tokens@20"]["value"] <= 20
    assert set(report["segments"]) == set(TOPICS)
    assert report["config"]["top_k"] > 0


def test_a_limit_takes_the_first_questions(folder: Path) -> None:
    """Two of three questions are asked, and the report says so."""
    report = asyncio.run(measure(read_dataset(folder), ContextJob(budgets=(50,), limit=2)))
    assert report.n == 2
    assert report.failures == ()


def test_a_document_that_is_not_ingested_ends_the_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty document is not ingested: one line names it, and the exit code is 1."""
    with (folder / "corpus.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"id": "void", "text": " "}\n')
    assert main(["context", "--data", str(folder), "--budgets", "50"]) == 1
    assert "'void'" in capsys.readouterr().err


def test_a_question_that_fails_scores_zero_and_is_a_failure(folder: Path, tmp_path: Path) -> None:
    """A collection that was never filled is a row that scores 0 and says what happened, never a missing row."""
    query = read_dataset(folder).queries[0]
    question = Question(text=query.text, tenant="eval", collection="topics")

    async def asked() -> Outcome:
        async with open_library(load_settings(data_dir=tmp_path / "data")) as (_, pipeline):
            return await ask(pipeline, question, query=query, reference=[Reference("tides", 0, 10)], texts={})

    outcome = asyncio.run(asked())
    assert (outcome.overlap.recall(), outcome.tokens) == (0.0, 0)
    assert len(outcome.problems) == 1
    assert outcome.problems[0].startswith(f"question {query.id!r} at 800 tokens: there is no collection 'topics'")


def test_a_crash_is_a_failure_too_but_never_an_assertion(folder: Path, tmp_path: Path) -> None:
    """What nobody raised on purpose scores 0 and is told with its class; an assertion ends the run."""
    query = read_dataset(folder).queries[0]
    question = Question(text=query.text, tenant="eval", collection="topics")

    async def asked(failure: Exception) -> Outcome:
        async def broken(_text: str) -> EncodedQuestion:
            raise failure

        async with open_library(load_settings(data_dir=tmp_path / "data")) as (_, pipeline):
            crashing = replace(pipeline, embed=broken)
            return await ask(crashing, question, query=query, reference=[Reference("tides", 0, 10)], texts={})

    outcome = asyncio.run(asked(KeyError("gone")))
    assert (outcome.overlap.recall(), outcome.tokens) == (0.0, 0)
    assert outcome.problems == (f"question {query.id!r} at 800 tokens: KeyError: 'gone'",)
    with pytest.raises(AssertionError, match="measured wrongly"):
        asyncio.run(asked(AssertionError("measured wrongly")))


def test_failures_end_with_exit_code_one(capsys: pytest.CaptureFixture[str]) -> None:
    """A report with failures is printed all the same, with examples on standard error."""
    report = Report("context", "tea", 1, 0, {}, {}, failures=("one", "two", "three", "four"))
    assert show([report], as_lines=True) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["failures"] == ["one", "two", "three", "four"]
    assert printed.err == "eval: tea: 4 failures, for example: one; two; three\n"


def test_a_set_without_spans_is_refused(folder: Path) -> None:
    """Without reference spans there is nothing to measure, and the message names the set."""
    (folder / "spans.jsonl").unlink()
    with pytest.raises(DatasetError, match="topics: no question has reference spans"):
        asyncio.run(measure(read_dataset(folder), ContextJob()))


TEXT = "Tea is hot. Ice is cold. Milk is neither."
PASSAGE = Passage(
    n=1,
    document_id="d",
    version=1,
    chunk_id="c",
    title="",
    spans=((0, 11), (25, 41)),
    text="Tea is hot. … Milk is neither.",
    tokens=count_tokens("Tea is hot. … Milk is neither."),
    score=1.0,
    units=((0, 11), (25, 41)),
)


def context_of(*passages: Passage, budget: int = 400) -> Context:
    """Return a context that counts its passages rightly."""
    tokens = count_tokens("\n\n".join(passage.text for passage in passages)) if passages else 0
    return Context("q", "q", token_budget=budget, tokens=tokens, passages=passages, generation=1, stopped_by="budget")


def test_a_right_context_has_no_problems() -> None:
    """Neither a context of one passage nor an empty one breaks anything."""
    assert list(context_problems(context_of(PASSAGE), {"d": TEXT})) == []
    assert list(context_problems(context_of(), {"d": TEXT})) == []


@pytest.mark.parametrize(
    ("context", "said"),
    [
        (context_of(PASSAGE, budget=3), "over the budget of 3"),
        (replace(context_of(PASSAGE), tokens=1), "says 1 tokens"),
        (context_of(replace(PASSAGE, n=2)), "carries the number 2"),
        (context_of(replace(PASSAGE, document_id="gone")), "'gone' is not stored"),
        (context_of(replace(PASSAGE, spans=((0, 11), (24, 41)))), "is not what document 'd' has"),
        (context_of(replace(PASSAGE, spans=((25, 41), (0, 11)))), "not ascending"),
        (context_of(replace(PASSAGE, spans=((0, 99),))), "not ascending spans of a text of 41"),
        (context_of(replace(PASSAGE, spans=())), "not ascending"),
    ],
)
def test_each_breach_is_said(context: Context, said: str) -> None:
    """A context over budget, miscounted, misnumbered or not made of its documents is a problem with a sentence."""
    problems = list(context_problems(context, {"d": TEXT}))
    assert len(problems) == 1
    assert said in problems[0]
