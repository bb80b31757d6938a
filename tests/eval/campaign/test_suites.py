"""What pytest's results become in the table, and how a slope is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.campaign.experiment import Size
from eval.campaign.soak import BLOCKS, slope
from eval.campaign.suites import report_of, suite
from eval.errors import BenchError

RESULTS = """<testsuites><testsuite>
<testcase name="whole"><properties><property name="requests" value="20"/></properties></testcase>
<testcase name="more"><properties><property name="requests" value="3"/></properties></testcase>
<testcase name="broken"><failure message="assert 1 == 2"/></testcase>
<testcase name="left out"><skipped message="elsewhere"/></testcase>
</testsuite></testsuites>"""


def test_what_tests_recorded_is_added_up(tmp_path: Path) -> None:
    """The counts of all tests are one row; each test that failed is an example."""
    (tmp_path / "results.xml").write_text(RESULTS, encoding="utf-8")
    report = report_of("fuzz", tmp_path / "results.xml", seed=3)
    values = {name: interval.value for name, interval in report.metrics.items()}
    assert values == {"tests": 3, "failed": 1, "requests": 23}
    assert report.failures == ("broken: assert 1 == 2",)


def test_a_suite_runs_its_tests() -> None:
    """The tests run in a process of their own, and what they recorded comes back."""
    report = suite("guards", "tests/faults/test_guards.py::test_without_a_filter_the_check_fails")(Size())
    values = {name: interval.value for name, interval in report.metrics.items()}
    assert (values, report.failures) == ({"tests": 4, "failed": 0, "flipped": 4}, ())


def test_tests_that_are_not_there_are_an_error() -> None:
    """Outside a checkout the campaign says what it needs."""
    with pytest.raises(BenchError, match="a checkout of the project"):
        suite("none", "tests/none.py")(Size())


def test_a_slope_is_the_line_s_own() -> None:
    """Values on a line give its slope and no doubt; level values with noise give an interval around 0."""
    times = [n / 100 for n in range(100)]
    rising = slope(times, [3 + 2 * at for at in times])
    assert (rising.value, rising.low, rising.high) == pytest.approx((2, 2, 2))
    level = slope(times, [5 + (-1) ** n + (n * 7 % 11) / 10 for n in range(100)])
    assert level.low < 0 < level.high
    with pytest.raises(BenchError, match="too few"):
        slope(times[: BLOCKS - 1], [0.0] * (BLOCKS - 1))
