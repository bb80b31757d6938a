"""What a deployment must hold, from what one machine was measured to do."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from eval.__main__ import main
from eval.capacity import Aim, Figures, needs, stages, whole
from tests.house.source import ROOT
from tests.pages import blocks

FIGURES = Figures()
AIM = Aim(1_000_000, 100)


def needed(part: str, aim: Aim) -> str:
    """Return what one part needs."""
    return next(need.needs for need in needs(aim, FIGURES) if need.part == part)


def test_the_guide_shows_what_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    """The tables of docs/scaling.md are those of its command, for 100 million chunks and 1,000 answers a second."""
    assert main(["capacity", "--chunks", "100000000", "--per-second", "1000"]) == 0
    printed = capsys.readouterr().out
    assert printed in [block.body for block in blocks(ROOT / "docs" / "scaling.md", "text")]


def test_the_figures_are_those_of_the_performance_page() -> None:
    """Each stands on docs/performance.md as it is used here."""
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    for chunks, ms in FIGURES.search_ms.items():
        assert any(line.startswith(f"| {chunks:,} |") and f"| {ms} |" in line for line in page.splitlines())
    assert f"] | {FIGURES.answer_ms:g} | {FIGURES.loop_ms:g} |" in page
    for said in ("5.7 kB", "| 6.5 |", "87 %", "| 570 [", "| 1.06 ["):
        assert said in page


def test_twice_as_much_needs_twice_as_much() -> None:
    """Processors follow answers, disk follows chunks and copies, and rounding is always up."""
    assert needed("service, processors", AIM) == "7 cores"
    assert needed("service, processors", replace(AIM, answers_per_s=200)) == "14 cores"
    assert needed("Qdrant, disk", AIM) == "13 GB"
    assert needed("Qdrant, disk", replace(AIM, copies=4)) == "26 GB"
    assert (whole(1, 600, 0.6), whole(1, 601, 0.6)) == (1, 2)


def test_cached_answers_need_no_search_and_no_model() -> None:
    """The service and Redis work for them all the same."""
    half = replace(AIM, cached=0.5)
    assert needed("Qdrant, search", half) != needed("Qdrant, search", AIM)
    assert needed("models of your own", half) != needed("models of your own", AIM)
    assert needed("Redis, processor", half) == needed("Redis, processor", AIM)
    assert needed("models of your own", replace(AIM, cached=1.0)) == "0 servers"


def test_a_search_costs_more_in_a_larger_index() -> None:
    """The line through what was measured rises with ln(chunks) and is near each of the figures."""
    assert FIGURES.search_ms_at(1_000) < FIGURES.search_ms_at(100_000) < FIGURES.search_ms_at(10_000_000)
    for chunks, ms in FIGURES.search_ms.items():
        assert FIGURES.search_ms_at(chunks) == pytest.approx(ms, rel=0.15)


def test_each_stage_says_what_bounds_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Two cores run out of processors, sixteen out of loops, of one process or of eight; the sums are JSON too."""
    laptop, server, beside = stages(AIM, FIGURES)
    assert [laptop.bound, server.bound, beside.bound] == ["processors", "event loop", "event loop"]
    assert laptop.chunks < server.chunks <= beside.chunks
    assert laptop.answers_per_s < server.answers_per_s < beside.answers_per_s
    assert main(["capacity", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stages"][0]["name"] == laptop.name
    assert main(["capacity", "--busy", "0"]) == 1
