"""`python -m eval bench`: times what ragopt does on the machine it runs on, beside what others do."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

from eval.bench.answer import bench_answer
from eval.bench.cache import bench_cache
from eval.bench.concurrency import bench_concurrency
from eval.bench.ingest import bench_ingest
from eval.bench.memory import bench_memory
from eval.bench.overhead import bench_overhead
from eval.bench.rerank import bench_rerank
from eval.bench.retrieval import bench_retrieval
from eval.bench.scale import bench_scale, chart_of
from eval.bench.start import bench_start
from eval.bench.state import bench_state
from eval.bench.texts import BenchTexts
from eval.bench.ttft import bench_ttft
from eval.errors import BenchError
from eval.report import ConfigValue, Report

# Without a name all of them run but `scale`, which takes minutes.
SUBJECTS = (
    "ingest",
    "answer",
    "start",
    "retrieval",
    "rerank",
    "cache",
    "concurrency",
    "memory",
    "overhead",
    "ttft",
    "state",
    "scale",
)
BY_DEFAULT = SUBJECTS[:-1]
CHUNKS, SCALE_CHUNKS = 3_000, 100_000
PACKAGES = ("openvino", "torch", "sentence-transformers", "qdrant-edge-py")
# What decides how fast a processor multiplies bfloat16; without any of them the model runs in float32.
CPU_FLAGS = ("amx_bf16", "avx512_bf16")


@dataclass(frozen=True, slots=True)
class BenchJob:
    """What to time.

    data: a folder whose corpus and questions to use, None for generated text. chunks: at least; None
    for 3,000, and 100,000 for `scale`. plot: where to draw the growth that `scale` measures.
    """

    data: Path | None = None
    only: tuple[str, ...] = BY_DEFAULT
    chunks: int | None = None
    plot: Path | None = None
    seed: int = 0


def bench(job: BenchJob) -> list[Report]:
    """Return one report per subject, in order; each says on which machine. Raises: `BenchError`, `DatasetError`."""
    if job.plot is not None and "scale" not in job.only:
        raise BenchError("--plot draws what `--only scale` measures")
    if job.plot is not None and not job.plot.parent.is_dir():
        raise BenchError(f"--plot {job.plot}: there is no folder {job.plot.parent}")
    texts = BenchTexts.of(job.data, chunks=job.chunks or CHUNKS, seed=job.seed)
    subjects: Mapping[str, Callable[[BenchTexts], Report]] = {
        "ingest": bench_ingest,
        "answer": bench_answer,
        "cache": bench_cache,
        "start": bench_start,
        "retrieval": bench_retrieval,
        "rerank": bench_rerank,
        "concurrency": bench_concurrency,
        "memory": bench_memory,
        "overhead": bench_overhead,
        "ttft": bench_ttft,
        "state": bench_state,
        "scale": partial(bench_scale, chunks=job.chunks or SCALE_CHUNKS),
    }
    here = machine()
    measured = {name: subjects[name](texts) for name in job.only}
    if job.plot is not None:
        draw(measured["scale"], job.plot)
    return [replace(report, config={**report.config, **here}) for report in measured.values()]


def draw(report: Report, target: Path) -> None:
    """Write the growth that `scale` measured as SVG. Raises: `BenchError` if the file cannot be written."""
    try:
        target.write_text(chart_of(report).svg(), encoding="utf-8")
    except OSError as error:
        raise BenchError(f"--plot {target}: {error.strerror}") from error


def machine() -> dict[str, ConfigValue]:
    """Return the processor, its cores, Python and the packages that decide the speed."""
    facts: dict[str, ConfigValue] = {"cpu": platform.machine(), "cores": os.cpu_count()}
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = dict(line.split(":", 1) for line in cpuinfo.read_text(encoding="utf-8").splitlines() if ":" in line)
        fields = {name.strip(): value.strip() for name, value in lines.items()}
        facts["cpu"] = fields.get("model name", facts["cpu"])
        facts["bf16"] = " ".join(flag for flag in CPU_FLAGS if flag in fields.get("flags", "").split()) or "no"
    facts["python"] = platform.python_version()
    return facts | {name: version(name) for name in PACKAGES}
