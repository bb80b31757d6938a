"""The whole command on a tiny corpus with the real model: files, resuming after a kill, mistakes."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from eval.__main__ import main
from eval.errors import EvaluationError
from eval.tune.command import TuneJob, run_of, tune
from eval.tune.questions import Wanted
from eval.tune.trials import TrialFile
from ragopt.config import load_settings
from tests.cross_encoders import cached_by_hub
from tests.environment import environment
from tests.eval.tune.rows import TABLE, space, workload
from tests.house.source import ROOT
from tests.ragopt.cli.running import environment as child_environment

WAIT_S = 60
NAMES = ("harbour", "bakery", "hive", "glacier", "library", "orchard", "tram", "clinic")
CHILD = """
import asyncio, sys
from pathlib import Path
from eval.tune.command import TuneJob, tune
from eval.tune.questions import Wanted
from tests.eval.tune.rows import TABLE
corpus, questions, out = map(Path, sys.argv[1:])
asyncio.run(tune(TuneJob(Wanted(corpus=(corpus,), questions=questions), out, table=TABLE[1:])))
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with `docs/`, eight short documents, and `questions.jsonl`, two questions to each."""
    (tmp_path / "docs").mkdir()
    lines = []
    for name in NAMES:
        facts = [f"Rule {at} of the {name} is kept in drawer {at * 7 + len(name)} by the warden." for at in range(2)]
        (tmp_path / "docs" / f"{name}.md").write_text(f"# The {name}\n\n" + " ".join(facts) + "\n", encoding="utf-8")
        lines += [
            {
                "question": f"Where is rule {at} of the {name}?",
                "quote": fact,
                "segment": "late" if name > "g" else "early",
            }
            for at, fact in enumerate(facts)
        ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "questions.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


def tuned(place: Path, out: str) -> str:
    """Return the knobs file of a run over the small table, chunks as configured."""
    job = TuneJob(Wanted(corpus=(place / "docs",), questions=place / "questions.jsonl"), place / out, table=TABLE[1:])
    with environment():
        asyncio.run(tune(job))
    return (place / out / "knobs.toml").read_text(encoding="utf-8")


def test_a_killed_run_goes_on_and_ends_as_if_nothing_had_happened(place: Path) -> None:
    """Kill -9 once trials are written: they are kept to the byte, and the choice is that of an undisturbed run."""
    trials = place / "out" / "trials.jsonl"
    arguments = [str(place / name) for name in ("docs", "questions.jsonl", "out")]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments], cwd=ROOT, env=child_environment(), stderr=subprocess.DEVNULL
    )
    waits_until = time.monotonic() + WAIT_S
    while child.poll() is None and time.monotonic() < waits_until:
        if trials.is_file() and trials.read_bytes().count(b"\n") > 1:
            child.send_signal(signal.SIGKILL)
            break
        time.sleep(0.002)
    child.wait()
    before = trials.read_bytes()
    before = before[: before.rfind(b"\n") + 1]
    resumed = tuned(place, "out")
    assert before.count(b"\n") > 1
    assert trials.read_bytes().startswith(before)
    assert resumed == tuned(place, "other")
    assert sorted(path.name for path in (place / "out").iterdir()) == [
        "knobs.toml",
        "pareto.svg",
        "report.md",
        "trials.jsonl",
    ]
    assert (place / "other" / "report.md").read_text(encoding="utf-8").startswith("# Tuning on docs\n\n16 questions")
    with environment(RAGOPT_KNOBS_FILE=str(place / "out" / "knobs.toml"), RAGOPT_PROFILE="cost"):
        settings = load_settings()
    written = tomllib.loads(resumed)
    assert settings.chunk_tokens == written["index"]["chunk_tokens"]
    assert settings.context_tokens == written["profiles"]["cost"]["context_tokens"]


def test_the_command_prints_one_object_and_derives_questions(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a file of questions: four profiles over the whole table, and the report says that nobody asked."""
    out = str(place / "derived")
    with environment():
        assert (
            main(["tune", "--corpus", str(place / "docs"), "--out", out, "--limit", "3", "--json", "--seed", "4"]) == 0
        )
    report = json.loads(capsys.readouterr().out)
    assert (report["job"], report["set"], report["n"], report["seed"]) == ("tune", "docs", 3, 4)
    assert report["config"]["derived"] is True
    assert {f"quality.{name}" for name in ("quality", "balanced", "cost", "latency")} <= set(report["metrics"])
    assert "Nobody asked" in (place / "derived" / "report.md").read_text(encoding="utf-8")


def test_mistakes_are_one_line_and_exit_code_one(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Questions without a corpus, a quote that is not there, an output folder that is a file."""
    docs, questions, out = (str(place / name) for name in ("docs", "questions.jsonl", "out"))
    with environment():
        assert main(["tune", "--data", docs, "--questions", questions, "--out", out]) == 1
        assert "--questions" in capsys.readouterr().err
        (place / "bad.jsonl").write_text('{"question": "q", "quote": "nowhere"}\n', encoding="utf-8")
        assert main(["tune", "--corpus", docs, "--questions", str(place / "bad.jsonl"), "--out", out]) == 1
        assert "bad.jsonl:1: the quote 'nowhere'" in capsys.readouterr().err
        assert main(["tune", "--corpus", docs, "--questions", questions, "--out", questions]) == 1
        assert "--out" in capsys.readouterr().err
    for wrong in (["--out", out], ["--corpus", docs, "--data", docs, "--out", out], ["--corpus", docs]):
        with pytest.raises(SystemExit) as ended:
            main(["tune", *wrong])
        assert ended.value.code == 2
    with pytest.raises(SystemExit):
        main(["tune", "--corpus", docs, "--out", out, "--tolerance", "-1"])


def test_trials_of_other_questions_are_not_mixed_in(place: Path) -> None:
    """The same folder with another seed is refused before anything is asked."""
    out = place / "out"
    out.mkdir()
    (out / "trials.jsonl").write_text('{"set": "other"}\n', encoding="utf-8")
    with pytest.raises(EvaluationError, match="choose another --out"):
        tuned(place, "out")
    assert (out / "trials.jsonl").read_text(encoding="utf-8") == '{"set": "other"}\n'


def test_trials_with_another_cross_encoder_are_not_mixed_in(tmp_path: Path, cross_encoder: Path) -> None:
    """One that came into the hub's cache since is another one, though no setting has changed."""

    def opened() -> TrialFile:
        with environment(HF_HUB_CACHE=str(tmp_path / "hub")):
            run = run_of(workload(2), load_settings(), space=space(), seed=0)
        return TrialFile(tmp_path / "trials.jsonl", run)

    opened()
    opened()
    cached_by_hub(tmp_path / "hub", cross_encoder)
    with pytest.raises(EvaluationError, match="choose another --out"):
        opened()
