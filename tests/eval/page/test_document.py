"""The page: complete, closed in itself, well formed, and the same for the same results."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from eval.__main__ import main
from eval.comparison import compare
from eval.intervals import Interval, exact
from eval.page.document import page
from eval.page.sections import labels
from eval.report import Origin, Report, as_json
from eval.retrieval import SYSTEMS
from tests.eval.results import report_from
from tests.house.source import ROOT

HOSTILE = '<script>alert("x")</script>'
COMMAND = "python -m eval context --data 'a & b'"


def scores(seed: int, shift: float = 0.0) -> list[float]:
    """Return twenty scores in [0, 1]."""
    return np.clip(np.random.default_rng(seed).uniform(0.2, 0.9, 20) + shift, 0, 1).tolist()


def contexts(shift: float = 0.0, top_k: int = 50) -> Report:
    """Return a report of contexts at three budgets with the vendor's default beside it, in two segments."""
    columns = {f"recall@{budget}": scores(1, shift + budget / 9_000) for budget in (200, 400, 1_600)}
    columns |= {f"tokens@{budget}": [0.95 * budget] * 20 for budget in (200, 400, 1_600)}
    columns |= {"recall@baseline": scores(2), "tokens@baseline": [3_987.0] * 20}
    origin = Origin("/sets/tea", "0123456789abcdef", None, COMMAND)
    halves = ["land", "sea"] * 10
    report = report_from(columns, job="context", segments=halves, config={"top_k": top_k}, origin=origin)
    found = {"equal_recall.budget": exact(315), "equal_recall.token_ratio": Interval(12.7, 10.2, 14.1)}
    return replace(report, metrics={**report.metrics, **found})


def rankings() -> Report:
    """Return a report of rankings on a set whose name would be markup."""
    columns = {f"ndcg@10.{system}": scores(at) for at, system in enumerate(SYSTEMS)}
    return replace(report_from(columns), set=HOSTILE, failures=("question 'q1': no <index>",))


RESULTS = (
    contexts(),
    contexts(shift=-0.1, top_k=10),
    rankings(),
    compare(contexts(), contexts(shift=-0.1, top_k=10)),
    replace(report_from({"ready_s.warm": [2.0, 2.5]}), job="bench-start"),
)
PAGE = page(RESULTS)


class Outline(HTMLParser):
    """Which elements a page has, and whether each ends where it must."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element and what it refers to."""
        self.names.append(tag)
        self.links += [name for name, _ in attrs if name in {"src", "href", "srcset", "action", "xlink:href"}]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost element, which must be of this name."""
        assert self.open.pop() == tag


def test_the_page_needs_nothing_but_itself() -> None:
    """No script, no link, nothing loaded from anywhere; light and dark, and as wide as the screen."""
    outline = Outline()
    outline.feed(PAGE)
    assert outline.open == []
    assert {"script", "link", "img", "iframe", "object"} & set(outline.names) == set()
    assert outline.links == []
    assert not re.search(r"url\(|@import|https?:", PAGE)
    assert "prefers-color-scheme: dark" in PAGE
    assert "width=device-width" in PAGE


def drawings() -> list[ElementTree.Element]:
    """Return the drawings of the page, in order."""
    return [ElementTree.fromstring(text) for text in re.findall(r"<svg.*?</svg>", PAGE, re.DOTALL)]  # noqa: S314 - ours


def test_every_drawing_is_well_formed() -> None:
    """A curve, bars, and a plot of differences for recall and one for tokens, all with a description."""
    assert [drawing.get("aria-label") for drawing in drawings()] == [
        "recall in percent against tokens sent",
        f"nDCG@10 on {HOSTILE}",
        "differences with 95 % intervals",
        "differences with 95 % intervals",
    ]
    assert "nan" not in PAGE


def test_a_curve_has_a_dot_per_budget_and_the_vendors_default() -> None:
    """Two measurements of three budgets are six dots in two colours; each baseline has a diamond and its ratio."""
    curve = drawings()[0]
    classes = [element.get("class") for element in curve.iter()]
    assert [classes.count(name) for name in ("dot", "diamond", "s0", "s1")] == [6, 2, 1, 1]
    assert "12.7 × fewer tokens" in "".join(curve.itertext())


def test_names_are_text() -> None:
    """A set whose name is markup and a command with an ampersand are shown, not run."""
    assert HOSTILE not in PAGE
    assert "&lt;script&gt;" in PAGE
    assert "a &amp; b" in PAGE
    assert "no &lt;index&gt;" in PAGE


def test_everything_that_was_measured_is_on_the_page() -> None:
    """Every metric, segment, configuration and command has its place."""
    text = re.sub(r"<[^>]+>", " ", PAGE)
    for expected in ("land, n = 10", "ready_s.warm", "equal_recall.token_ratio", "top_k=10", "0123456789abcdef"):
        assert expected in text
    assert PAGE.count("python -m eval context") == 3


def test_the_same_results_give_the_same_page() -> None:
    """Nothing on the page comes from the clock or the machine."""
    assert page(RESULTS) == PAGE


def test_measurements_of_one_set_are_told_apart() -> None:
    """By the settings that differ; by a number where none does; alone among its kind a measurement needs no label."""
    assert labels([contexts(top_k=5), contexts(top_k=6), rankings()]) == ["top_k=5", "top_k=6", "ragopt"]
    assert labels([contexts(), contexts()]) == ["measurement 1", "measurement 2"]


def test_the_command_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From files to one file, whose path is printed."""
    saved, out = tmp_path / "saved.jsonl", tmp_path / "page.html"
    saved.write_text(as_json(rankings()) + "\n", encoding="utf-8")
    assert main(["report", str(saved), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    assert out.read_text(encoding="utf-8") == page([rankings()])
    assert {path.name for path in tmp_path.iterdir()} == {"saved.jsonl", "page.html"}


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is not there ends with its path and exit code 1."""
    saved = tmp_path / "saved.jsonl"
    saved.write_text(as_json(rankings()) + "\n", encoding="utf-8")
    assert main(["report", str(saved), "--out", str(tmp_path / "gone" / "page.html")]) == 1
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize(("piped", "code"), [(as_json(rankings()), 0), ("", 1)])
def test_results_may_be_piped_in(tmp_path: Path, piped: str, code: int) -> None:
    """Without files standard input is read; nothing there is one line that says what to do."""
    command = [sys.executable, "-m", "eval", "report", "--out", str(tmp_path / "page.html")]
    ended = subprocess.run(command, input=piped, capture_output=True, text=True, check=False, cwd=ROOT)
    assert ended.returncode == code
    assert (tmp_path / "page.html").exists() == (code == 0)
    assert ("no results on standard input" in ended.stderr) == (code == 1)
