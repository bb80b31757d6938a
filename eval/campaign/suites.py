"""Experiments that are tests: pytest runs them with the cases of the campaign, and what they counted is added up."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

from eval.bench.service import source_root
from eval.campaign.experiment import Size
from eval.errors import BenchError, MissingExtra
from eval.intervals import exact
from eval.report import Report

SHOWN_CHARS = 400
# Of pytest: everything passed, or some tests failed. Source: pytest.ExitCode
ENDED = (0, 1)


def suite(name: str, *places: str, marked: str = "") -> Callable[[Size], Report]:
    """Return an experiment that runs these tests, as pytest names them; only those with the marker if one is named."""

    def measure(size: Size) -> Report:
        with tempfile.TemporaryDirectory(prefix="ragopt-suite-") as folder:
            results = Path(folder) / "results.xml"
            run_tests(places, results, size=size, marked=marked)
            return report_of(name, results, seed=size.seed)

    return measure


def run_tests(places: Sequence[str], results: Path, *, size: Size, marked: str) -> None:
    """Run the tests and write their results as JUnit XML. Raises: `BenchError` if they cannot be run."""
    root = source_root()
    if not all((root / place.partition("::")[0]).exists() for place in places):
        raise BenchError(f"{root} has no tests: the campaign runs in a checkout of the project")
    cases = ["CAMPAIGN=1", f"CAMPAIGN_SHARE={size.share}"]
    # The newer dialect of JUnit's XML has no place for what a test records.
    options = ["-q", "-p", "no:cacheprovider", "-o", "junit_family=xunit1", f"--junit-xml={results}"]
    pytest = [sys.executable, "-m", "pytest", *options, *places]
    # Through env(1): only the settings read and copy this process's own environment.
    ended = subprocess.run(  # noqa: S603
        ["/usr/bin/env", *cases, *pytest, *(["-m", marked] if marked else [])],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if "No module named pytest" in ended.stderr:
        raise MissingExtra('the tests need the extra dev: pip install -c constraints.txt -e ".[dev]"')
    if ended.returncode not in ENDED or not results.is_file():
        raise BenchError(f"pytest ended with {ended.returncode}: {(ended.stdout + ended.stderr)[-SHOWN_CHARS:]}")


def report_of(name: str, results: Path, *, seed: int) -> Report:
    """Return what the tests came to: how many ran and failed, and the sums of the numbers that they recorded."""
    tests, failed, skipped = 0, 0, 0
    counted: Counter[str] = Counter()
    failures: list[str] = []
    for case in Xml.parse(results).getroot().iter("testcase"):  # noqa: S314 - pytest has just written it
        tests += 1
        skipped += case.find("skipped") is not None
        wrong = [found for kind in ("failure", "error") for found in case.findall(kind)]
        failed += bool(wrong)
        failures += [f"{case.get('name')}: {(found.get('message') or '')[:SHOWN_CHARS]}" for found in wrong]
        for told in case.iter("property"):
            counted[str(told.get("name"))] += int(told.get("value") or 0)
    counts = {"tests": tests - skipped, "failed": failed, **counted}
    metrics = {key: exact(value) for key, value in counts.items()}
    return Report(name, "tests", tests - skipped, seed, {"skipped": skipped}, metrics, failures=tuple(failures))
