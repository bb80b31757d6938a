"""The file of trials: what was finished is found again, whatever killed the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.errors import EvaluationError
from eval.tune.trials import Trial, TrialFile, measured
from tests.eval.tune.rows import candidate

RUN = {"set": "drinks", "seed": 0}
ONE = Trial(candidate(top_k=20, dense_weight=0.5), 0, (1.0, 0.5), (10, 12), (100, 90), (1.5, 2.5))
TWO = Trial(candidate(top_k=20, dense_weight=0.5), 2, (0.0,), (9,), (80,), (3.0,), problems=("q3: it — failed\u2028",))


def test_what_was_added_is_found_by_the_next_run(tmp_path: Path) -> None:
    """Trials come back equal, by candidate and first question; others are not there."""
    path = tmp_path / "trials.jsonl"
    TrialFile(path, RUN).add([ONE, TWO])
    again = TrialFile(path, RUN)
    assert (again.find(ONE.candidate, 0), again.find(TWO.candidate, 2)) == (ONE, TWO)
    assert again.find(candidate(top_k=21), 0) is None


def test_a_half_written_line_is_cut_off(tmp_path: Path) -> None:
    """A kill in the middle of a line loses that trial alone, and the file can be added to again."""
    path = tmp_path / "trials.jsonl"
    TrialFile(path, RUN).add([ONE, TWO])
    path.write_bytes(path.read_bytes()[:-7])
    again = TrialFile(path, RUN)
    assert again.find(ONE.candidate, 0) == ONE
    assert again.find(TWO.candidate, 2) is None
    again.add([TWO])
    assert TrialFile(path, RUN).find(TWO.candidate, 2) == TWO


def test_trials_of_another_run_are_not_taken(tmp_path: Path) -> None:
    """Other questions or another seed: the message names the file and nothing is overwritten."""
    path = tmp_path / "trials.jsonl"
    TrialFile(path, RUN).add([ONE])
    before = path.read_bytes()
    with pytest.raises(EvaluationError, match=r"trials\.jsonl holds the trials of other"):
        TrialFile(path, RUN | {"seed": 1})
    assert path.read_bytes() == before


@pytest.mark.parametrize("line", ["[]", "{}", '{"candidate": {"a": 1}, "start": 0}', "not json"])
def test_a_line_that_is_no_trial_is_named(tmp_path: Path, line: str) -> None:
    """File and line are in the message."""
    path = tmp_path / "trials.jsonl"
    TrialFile(path, RUN)
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(EvaluationError, match=r"trials\.jsonl:2: not a trial"):
        TrialFile(path, RUN)


def test_trials_are_joined_in_the_order_of_their_questions() -> None:
    """Three questions from two trials, whichever was added first."""
    joined = measured([TWO, ONE])
    assert joined.quality.tolist() == [1.0, 0.5, 0.0]
    assert joined.tokens.tolist() == [10, 12, 9]
    assert (joined.mean_quality(), joined.mean_tokens()) == (0.5, 31 / 3)
    assert joined.only([2, 0]).quality.tolist() == [0.0, 1.0]
