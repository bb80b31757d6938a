"""The gate: a small set measured, saved and measured again, and baselines that no longer fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest

from eval.__main__ import main
from eval.errors import SavedError
from eval.gate import baselines, changed, is_worse, unpaired
from eval.intervals import Interval
from tests.eval.folders import ANSWERS, written_set
from tests.eval.results import report_from

Fields: TypeAlias = dict[str, object]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Return a set's folder and the line of its contexts at 40 tokens."""
    root = tmp_path_factory.mktemp("gate")
    folder, saved = written_set(root / "topics"), root / "saved.jsonl"
    assert main(["context", "--data", str(folder), "--budgets", "40", "--save", str(saved)]) == 0
    return folder, saved.read_text(encoding="utf-8")


def baseline(tmp_path: Path, line: str, change: Callable[[Fields], object] = lambda _: None) -> str:
    """Return the path of a file with a line after a change to its fields."""
    fields = json.loads(line)
    change(fields)
    path = tmp_path / "baseline.jsonl"
    path.write_text(json.dumps(fields), encoding="utf-8")
    return str(path)


def test_what_has_not_changed_passes(
    measured: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Measured again where it was, with the same settings, every difference is 0 and the exit code too."""
    assert main(["gate", "--baseline", baseline(tmp_path, measured[1]), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["job"], result["set"], result["worse"]) == ("context-gate", "topics", [])
    assert {(item["value"], item["low"], item["high"], item["p"]) for item in result["metrics"].values()} == {
        (0, 0, 0, 1)
    }
    assert set(result["metrics"]) == {"recall@40", "precision@40", "iou@40", "tokens@40"}


def test_what_is_worse_is_named_and_ends_with_exit_code_one(
    measured: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Against a baseline that was better on every question recall is worse; fewer tokens than then are not."""

    def better(fields: Fields) -> None:
        for name, value in (("recall@40", 2.0), ("tokens@40", 99.0)):
            fields["cases"]["values"][name] = [value] * 3  # type: ignore[index]
            fields["metrics"][name] = dict.fromkeys(("value", "low", "high"), value)  # type: ignore[index]

    assert main(["gate", "--baseline", baseline(tmp_path, measured[1], better)]) == 1
    printed = capsys.readouterr()
    assert "context on topics: worse than the baseline: recall@40\n" in printed.err
    assert "now - baseline: n=3" in printed.out


def test_the_settings_of_now_are_measured(
    measured: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A setting that is named now is measured against the baseline's own, and both are shown."""
    main(["gate", "--baseline", baseline(tmp_path, measured[1]), "--set", "top_k=3", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert (result["config"]["top_k"], result["against"]["top_k"]) == (3, 50)


def test_without_values_per_question_the_gate_is_not_paired(
    measured: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line with the pinned keys alone is judged by both intervals, once its folder is named."""

    def pinned_only(fields: Fields) -> None:
        for name in ("cases", "origin", "segments"):
            del fields[name]

    path = baseline(tmp_path, measured[1], pinned_only)
    assert main(["gate", "--baseline", path]) == 1
    assert "Name its folder with --data" in capsys.readouterr().err
    assert main(["gate", "--baseline", path, "--data", str(measured[0])]) == 0
    assert "not paired" in capsys.readouterr().out


def test_a_changed_set_is_refused(
    measured: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same folder name with another question in it is not what was measured: one line says so."""
    other = written_set(tmp_path / "topics", {**ANSWERS, "q4": ("What needs a tin?", "bread", 2)})
    assert main(["gate", "--baseline", baseline(tmp_path, measured[1]), "--data", str(other)]) == 1
    assert "documents, questions or judgements have changed" in capsys.readouterr().err


def test_a_missing_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A baseline that is not there ends with its path and exit code 1."""
    assert main(["gate", "--baseline", str(tmp_path / "gone.jsonl")]) == 1
    assert "gone.jsonl: No such file" in capsys.readouterr().err


def test_a_metric_that_is_gone_is_named() -> None:
    """A metric of the baseline that is no longer measured is an error, not a pass."""
    with pytest.raises(SavedError, match="retrieval on tea: the metric old of the baseline is gone"):
        changed("old", report_from({"new": [1.0]}), report_from({"old": [1.0]}))


def test_a_baseline_holds_each_measurement_once() -> None:
    """The same job and set twice, a job that cannot be measured again, or nothing at all are refused."""
    report = report_from({"m": [1.0]})
    assert baselines([report, replace(report, set="coffee")]) == [report, replace(report, set="coffee")]
    for results, said in (
        ([report, report], "retrieval on tea is there twice"),
        ([replace(report, job="crash")], "crash on tea: `gate` measures context and retrieval again"),
        ([], "differences only"),
    ):
        with pytest.raises(SavedError, match=said):
            baselines(results)


def test_pairs_see_what_two_samples_do_not() -> None:
    """A small loss on every question is worse in pairs, and within chance where only the means are known."""
    was = [0.1 * at for at in range(10)]
    saved, now = report_from({"m": was}), report_from({"m": [value - 0.02 for value in was]})
    assert is_worse("m", changed("m", now, saved))
    assert not is_worse("m", changed("m", now, replace(saved, cases=None)))


def test_more_is_worse_of_what_is_better_low() -> None:
    """More tokens than the baseline are worse, fewer are not; for recall it is the other way round."""
    more = unpaired(Interval(2, 2, 2), Interval(1, 1, 1))
    assert is_worse("tokens@400", more)
    assert not is_worse("recall@400", more)
    fewer = unpaired(Interval(1, 1, 1), Interval(2, 2, 2))
    assert not is_worse("tokens@400", fewer)
    assert is_worse("recall@400", fewer)


def test_the_interval_of_two_samples_is_that_of_the_normal_case() -> None:
    """Two symmetric intervals of half widths 3 and 4 give a difference with half width 5."""
    item = unpaired(Interval(10, 7, 13), Interval(2, -2, 6))
    assert (item.value, item.low, item.high, item.p) == (8, 3, 13, None)
