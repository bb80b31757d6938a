"""`python -m eval bench`: times ingest, answers and starts on the machine it runs on."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from eval.bench_answer import bench_answer
from eval.bench_ingest import bench_ingest
from eval.bench_start import bench_start
from eval.bench_texts import BenchTexts
from eval.report import ConfigValue, Report

SUBJECTS = ("ingest", "answer", "start")
PACKAGES = ("openvino", "torch", "sentence-transformers", "qdrant-edge-py")
# What decides how fast a processor multiplies bfloat16; without any of them the model runs in float32.
CPU_FLAGS = ("amx_bf16", "avx512_bf16")


@dataclass(frozen=True, slots=True)
class BenchJob:
    """What to time. data: a folder whose corpus and questions to use, None for generated text. chunks: at least."""

    data: Path | None = None
    only: tuple[str, ...] = SUBJECTS
    chunks: int = 3_000
    seed: int = 0


def bench(job: BenchJob) -> list[Report]:
    """Return one report per subject, in order; each says on which machine. Raises: `BenchError`, `DatasetError`."""
    texts = BenchTexts.of(job.data, chunks=job.chunks, seed=job.seed)
    subjects: Mapping[str, Callable[[BenchTexts], Report]] = {
        "ingest": bench_ingest,
        "answer": bench_answer,
        "start": bench_start,
    }
    here = machine()
    reports = [subjects[name](texts) for name in job.only]
    return [replace(report, config={**report.config, **here}) for report in reports]


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
