"""How long it takes until something works: the import, and the service from nothing to ready."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from eval.bench.service import running_service, source_root
from eval.bench.texts import BenchTexts
from eval.errors import BenchError
from eval.intervals import Interval, bootstrap, percentile_of
from eval.report import Report

IMPORTS = 5
STARTS = 3
MEDIAN = percentile_of(50)


def bench_start(texts: BenchTexts) -> Report:
    """Return the seconds of imports and starts, medians. Raises: `BenchError` if a start fails."""
    bare = [run_python("pass") for _ in range(IMPORTS)]
    ours = [run_python("import ragopt") for _ in range(IMPORTS)]
    wired = [run_python("import ragopt.wiring") for _ in range(IMPORTS)]
    floor = median(bare, texts.seed)
    metrics = {
        "interpreter_s": floor,
        "import_s.ragopt": less(median(ours, texts.seed), floor.value),
        "import_s.ragopt.wiring": less(median(wired, texts.seed), floor.value),
    }
    return Report("bench.start", texts.name, STARTS, texts.seed, {"imports": IMPORTS}, metrics | starts(texts.seed))


def starts(seed: int) -> dict[str, Interval]:
    """Return the seconds from spawn to ready, per kind of start.

    first: no converted model yet, no data. again: both there. new_data: model there, no data.
    """
    rounds = [one_of_each_start() for _ in range(STARTS)]
    return {f"ready_s.{kind}": median([seconds[kind] for seconds in rounds], seed) for kind in rounds[0]}


def one_of_each_start() -> dict[str, float]:
    """Return the seconds of one start of each kind, in folders of their own."""
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="ragopt-bench-") as name:
        folder = Path(name)
        for kind, data_dir in (("first", "data"), ("again", "data"), ("new_data", "other")):
            with running_service(folder, data_dir=folder / data_dir, cache_home=folder / "cache") as service:
                seconds[kind] = service.ready_s
    return seconds


def run_python(code: str) -> float:
    """Return the seconds a fresh interpreter takes for `code`. Raises: `BenchError` with its last line if it fails."""
    started = time.perf_counter()
    run = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], cwd=source_root(), capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if run.returncode:
        raise BenchError(f"`{code}` failed: {(run.stderr.strip().splitlines() or ['no message'])[-1]}")
    return seconds


def median(values: list[float], seed: int) -> Interval:
    """Return the median with its interval."""
    return bootstrap(values, seed=seed, statistic=MEDIAN)


def less(interval: Interval, floor: float) -> Interval:
    """Return the interval with `floor` taken off each of its numbers."""
    return Interval(interval.value - floor, interval.low - floor, interval.high - floor)
