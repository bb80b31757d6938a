"""Two configurations side by side: made-up scores, and a small set through the real pipeline twice."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from eval.__main__ import main
from eval.comparison import compare, comparison_json, comparison_table
from eval.corpus import TENANT, ingested
from eval.datasets import read_dataset
from eval.errors import EvaluationError
from tests.eval.folders import written_set
from tests.eval.results import report_from


def test_a_difference_has_both_means_an_interval_and_a_p_value() -> None:
    """First minus second on the same questions: 0.2 more on each of twelve is certain, and so is its p-value."""
    second = [0.05 * at for at in range(12)]
    found = compare(report_from({"m": [value + 0.2 for value in second]}), report_from({"m": second})).metrics["m"]
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.2, 0.2))
    assert (found.first, found.second) == pytest.approx((0.475, 0.275))
    assert found.p == pytest.approx(2 / 2**12)


def test_a_failed_question_counts_as_nothing() -> None:
    """A question that failed in the first scores 0 there and stays in the pairs."""
    found = compare(report_from({"m": [1.0, 0.0]}), report_from({"m": [1.0, 1.0]})).metrics["m"]
    assert found.value == -0.5


def test_segments_are_compared_too() -> None:
    """Each part of a set has differences of its own cases alone."""
    sea_and_land = ("sea", "land", "sea")
    first = report_from({"m": [1.0, 0.0, 1.0]}, segments=sea_and_land)
    second = report_from({"m": [0.0, 0.0, 0.0]}, segments=sea_and_land)
    parts = compare(first, second).segments
    assert {name: (part.n, part.metrics["m"].value) for name, part in parts.items()} == {
        "land": (1, 0.0),
        "sea": (2, 1.0),
    }


def test_what_cannot_be_better_is_not_compared() -> None:
    """Differences between systems and the vendor's row are in no comparison, nor is what one side lacks."""
    first = report_from({"m": [1.0], "ndcg@10.full-rrf": [0.1], "recall@baseline": [0.5], "only": [1.0]})
    second = report_from({"m": [1.0], "ndcg@10.full-rrf": [0.1], "recall@baseline": [0.5]})
    assert list(compare(first, second).metrics) == ["m"]


def test_other_questions_are_not_pairs() -> None:
    """Reports of other questions, or without values per question, are refused."""
    report = report_from({"m": [1.0, 0.0]})
    with pytest.raises(EvaluationError, match="not of the same questions"):
        compare(report, report_from({"m": [1.0]}))
    with pytest.raises(EvaluationError, match="no values per question"):
        compare(report, replace(report, cases=None))


def test_a_comparison_reads_as_a_table() -> None:
    """The table names what differs in the settings and marks what is no chance."""
    first = report_from({"m": [1.0] * 8}, config={"top_k": 10, "seed": 1})
    second = report_from({"m": [0.5] * 8}, config={"top_k": 20, "seed": 1})
    lines = comparison_table(compare(first, second)).splitlines()
    assert lines[0] == "retrieval on tea, first - second: n=8, seed=0"
    assert [line.split() for line in lines[1:3]] == [["first", "top_k=10"], ["second", "top_k=20"]]
    assert lines[4].split() == ["m", "1.000", "0.500", "0.500", "[", "0.500,", "0.500]", "0.0078", "*"]
    assert comparison_table(compare(first, first)).splitlines()[1] == "  the settings are the same"


def test_the_json_of_a_comparison_keeps_the_pinned_shape() -> None:
    """The pinned keys are there; `job` says it is a difference, and each metric has value, low and high."""
    report = report_from({"m": [1.0, 0.0]})
    fields = json.loads(comparison_json(compare(report, report)))
    assert list(fields)[:5] == ["job", "set", "n", "seed", "config"]
    assert fields["job"] == "retrieval-difference"
    assert fields["metrics"]["m"] == {"value": 0.0, "low": 0.0, "high": 0.0, "p": 1.0, "first": 0.5, "second": 0.5}


def test_two_configurations_are_measured_on_the_same_questions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One object per configuration and one of the differences, on the terminal and in the file alike."""
    folder, saved = written_set(tmp_path / "topics"), tmp_path / "saved.jsonl"
    arguments = ["context", "--data", str(folder), "--budgets", "40", "--set", "top_k=1", "--json"]
    assert main([*arguments, "--against", "top_k=9,chunk_tokens=20", "--save", str(saved)]) == 0
    printed = capsys.readouterr().out
    assert saved.read_text(encoding="utf-8") == printed
    first, second, both = (json.loads(line) for line in printed.splitlines())
    assert [(item["config"]["top_k"], item["config"]["chunk_tokens"]) for item in (first, second)] == [
        (1, 100),
        (9, 20),
    ]
    assert both["job"] == "context-difference"
    assert both["against"] == second["config"]
    recalls = [item["metrics"]["recall@40"]["value"] for item in (first, second)]
    assert both["metrics"]["recall@40"]["value"] == pytest.approx(recalls[0] - recalls[1])
    assert set(both["segments"]) == {"tides", "bread", "bees"}
    assert first["cases"]["ids"] == ["q1", "q2", "q3"]


def test_an_index_is_built_once_for_settings_that_share_it(tmp_path: Path) -> None:
    """The second configuration finds every document unchanged: the collection's generation does not move."""
    dataset = read_dataset(written_set(tmp_path / "topics"))

    async def generation_with(top_k: str) -> int:
        async with ingested(dataset, overrides={"top_k": top_k}, root=tmp_path) as corpus:
            return await corpus.library.generation(TENANT, dataset.name)

    assert asyncio.run(generation_with("5")) == asyncio.run(generation_with("50"))
    assert len(list(tmp_path.glob("topics-*"))) == 1


@pytest.mark.parametrize("wrong", ["nonsense=1", "top_k=none"])
def test_a_wrong_setting_is_one_line_and_exit_code_one(
    tmp_path: Path, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is measured when either side names a setting that is wrong."""
    folder = written_set(tmp_path / "topics")
    assert main(["retrieval", "--data", str(folder), "--set", wrong]) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith(f"eval: {wrong.partition('=')[0]}")
    assert "\n" not in error


def test_the_budget_of_a_context_is_not_a_setting_to_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`context` measures at its budgets, so that naming `context_tokens` is refused rather than ignored."""
    folder = written_set(tmp_path / "topics")
    assert main(["context", "--data", str(folder), "--set", "context_tokens=9"]) == 1
    assert "--budgets" in capsys.readouterr().err


def test_a_file_that_cannot_be_saved_is_said_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder that is not there, or a folder in the file's place, ends the run with one line and no result."""
    folder = written_set(tmp_path / "topics")
    for path in (tmp_path / "gone" / "saved.jsonl", tmp_path):
        assert main(["retrieval", "--data", str(folder), "--save", str(path)]) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.startswith(f"eval: {path}: ")
