"""The frame of the campaign: sizes, figures, files and the table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from eval.campaign.experiment import Experiment, Figure, Size, verdict, zero
from eval.campaign.registry import experiments
from eval.campaign.running import CampaignJob, campaign
from eval.campaign.table import table
from eval.errors import BenchError
from eval.intervals import exact
from eval.report import Report

FIGURES = (Figure("kills", least=200), *zero("lost"))


def report(*, kills: float = 200, lost: float = 0, failures: tuple[str, ...] = ()) -> Report:
    """Return what an experiment with these counts reports."""
    metrics = {"kills": exact(kills), "lost": exact(lost)}
    return Report("kills", "generated", 1, 0, {}, metrics, failures=failures)


def experiment(name: str = "kills", *, fails: bool = False) -> tuple[Experiment, list[Size]]:
    """Return an experiment that needs half an hour, and the sizes it is run at."""
    sizes: list[Size] = []

    def measure(size: Size) -> Report:
        sizes.append(size)
        if fails:
            raise OSError("no room")
        return report(kills=size.of(200))

    return Experiment(name, "kills things", 30, measure, FIGURES), sizes


@pytest.mark.parametrize(
    ("found", "judged"),
    [
        (report(), "passed"),
        (report(kills=199), "short"),
        (report(lost=1), "failed"),
        (report(kills=1, lost=1), "failed"),
        (report(failures=("something",)), "failed"),
    ],
)
def test_a_report_is_held_to_its_figures(found: Report, judged: str) -> None:
    """Any fault fails; less than what is asked, without a fault, is short."""
    assert verdict(found, FIGURES) == judged


def test_minutes_shorten_all_alike(tmp_path: Path) -> None:
    """A quarter of the time is a quarter of each size; more than enough time is the full size."""
    made, sizes = experiment()
    for minutes in (7.5, 90, None):
        (row,) = campaign([made], CampaignJob(tmp_path, minutes=minutes))
        assert row.verdict == ("short" if minutes == 7.5 else "passed")
    assert [size.share for size in sizes] == [0.25, 1.0, 1.0]


def test_one_that_breaks_off_fails_and_the_others_go_on(tmp_path: Path) -> None:
    """An error is the failure of its row alone."""
    broken, whole = experiment("broken", fails=True)[0], experiment("whole")[0]
    rows = list(campaign([broken, whole], CampaignJob(tmp_path)))
    assert [row.verdict for row in rows] == ["failed", "passed"]
    assert rows[0].report.failures == ("OSError: no room",)
    assert "no room" not in table(rows)
    assert "kills ≥ 200, lost = 0" in table(rows)


def test_what_was_run_is_kept(tmp_path: Path) -> None:
    """With `resume`, what a folder holds of the same size and seed is not run again; what failed is."""
    made, sizes = experiment()
    broken, tries = experiment("broken", fails=True)
    job = CampaignJob(tmp_path, resume=True)
    for later in (job, job, replace(job, seed=1), replace(job, seed=1, minutes=30)):
        rows = list(campaign([made, broken], later))
    assert (len(sizes), len(tries)) == (3, 4)
    list(campaign([made], replace(job, seed=1, minutes=15)))
    rows = list(campaign([made], replace(job, seed=1, minutes=15)))
    assert (rows[0].kept, len(sizes)) == (True, 3)


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    """The error names the experiments that there are."""
    with pytest.raises(BenchError, match="'cats' is no experiment; there are kills"):
        list(campaign([experiment()[0]], CampaignJob(tmp_path, only=("cats",))))


def test_every_experiment_has_a_name_of_its_own_and_figures() -> None:
    """Names are distinct and each row is held to something."""
    names = [made.name for made in experiments()]
    assert len(set(names)) == len(names)
    assert all(made.figures and made.minutes > 0 for made in experiments())
