"""What a deployment must hold: arithmetic from what one machine was measured to do. Pure.

Every figure is of docs/performance.md, with the command that measures it, but `chunks_a_core_s`: that is half of the
whole ingest on two cores in README's table. A projection is no measurement.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

GIB, GB, KB = 1024**3, 1e9, 1e3
# What the system itself keeps.
SYSTEM_GIB = 1.0


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured on 2 cores; times in processor milliseconds.

    search_ms: of one search by chunks in the index. memory_kb, disk_kb: that a chunk adds; mapped: the share of that
    memory that is mapped files, which the system may take back. service_mib: of a process without an index.
    chunks_a_core_s: of a whole ingest. redis_ms, redis_kb: of an answer.
    """

    answer_ms: float = 41.0
    loop_ms: float = 24.2
    search_ms: Mapping[int, float] = field(
        default_factory=lambda: {1_004: 5.0, 3_005: 6.0, 10_003: 7.2, 30_003: 7.5, 100_007: 8.9}
    )
    memory_kb: float = 5.7
    mapped: float = 0.87
    disk_kb: float = 6.5
    service_mib: float = 570.0
    chunks_a_core_s: float = 78.0
    redis_ms: float = 1.06
    redis_kb: float = 11.2

    def search_ms_at(self, chunks: float) -> float:
        """Return what a search costs in an index of this size: the measured ones, on a straight line in ln(chunks)."""
        sizes = np.log(np.array(list(self.search_ms), float))
        slope, base = np.polyfit(sizes, np.array(list(self.search_ms.values())), 1)
        return float(base + slope * math.log(max(chunks, 1.0)))


@dataclass(frozen=True, slots=True)
class ModelServer:
    """What one server of a language model does; an example, not measured here: put in what yours does."""

    input_tokens_per_s: float = 8_000.0
    output_tokens_per_s: float = 1_000.0


@dataclass(frozen=True, slots=True)
class Aim:
    """What is to be held. answers_per_s: at the busiest. busy: how busy processors and loops may be then.

    shard_chunks: in one shard of Qdrant; copies: of each shard. cached: share of the answers that the response cache
    gives, which need no search and no model. node_cores, node_gib: of one machine. input_tokens, output_tokens: of a
    model call.
    """

    chunks: int
    answers_per_s: float
    busy: float = 0.6
    shard_chunks: int = 10_000_000
    copies: int = 2
    cached: float = 0.0
    node_cores: int = 16
    node_gib: float = 64.0
    input_tokens: int = 1_100
    output_tokens: int = 120
    server: ModelServer = ModelServer()


@dataclass(frozen=True, slots=True)
class Need:
    """What one part needs: the sum as it is written, and its result with its unit."""

    part: str
    how: str
    needs: str


@dataclass(frozen=True, slots=True)
class Stage:
    """What one way to run it holds at most: chunks by memory, answers a second by processor or loop."""

    name: str
    chunks: float
    answers_per_s: float
    bound: str


def needs(aim: Aim, figures: Figures) -> list[Need]:
    """Return what the aim needs, part by part."""
    return [*service_needs(aim, figures), *index_needs(aim, figures), *other_needs(aim, figures)]


def service_needs(aim: Aim, figures: Figures) -> list[Need]:
    """Return what the processes of the service need."""
    rate, busy = aim.answers_per_s, f"{aim.busy * 100:.0f} % busy"
    processes = whole(rate, figures.loop_ms, aim.busy)
    processors = whole(rate, figures.answer_ms, aim.busy)
    gib = processes * figures.service_mib / 1024
    return [
        Need("service, processors", f"{rate:,.0f}/s x {figures.answer_ms:g} ms / {busy}", f"{processors:,} cores"),
        Need("service, event loops", f"{rate:,.0f}/s x {figures.loop_ms:g} ms / {busy}", f"{processes:,} processes"),
        Need("service, memory", f"{processes:,} x {figures.service_mib:g} MiB", f"{gib:,.0f} GiB"),
    ]


def index_needs(aim: Aim, figures: Figures) -> list[Need]:
    """Return what Qdrant needs: every search asks every shard."""
    fresh, busy = aim.answers_per_s * (1 - aim.cached), f"{aim.busy * 100:.0f} % busy"
    shards = max(1, math.ceil(aim.chunks / aim.shard_chunks))
    search_ms = figures.search_ms_at(aim.chunks / shards)
    processors = whole(fresh, shards * search_ms, aim.busy)
    memory_gb, disk_gb = (aim.chunks * kb * KB * aim.copies / GB for kb in (figures.memory_kb, figures.disk_kb))
    held_gb, copies = memory_gb * (1 - figures.mapped), f"{aim.copies} copies"
    mapped = f"{figures.mapped * 100:.0f} % mapped"
    searching = f"{fresh:,.0f}/s x {shards} shards x {search_ms:.1f} ms / {busy}"
    return [
        Need("Qdrant, search", searching, f"{processors:,} cores"),
        Need(
            "Qdrant, memory",
            f"{aim.chunks:,} x {figures.memory_kb:g} kB x {copies}, {mapped}",
            f"{held_gb:,.0f} to {memory_gb:,.0f} GB",
        ),
        Need("Qdrant, disk", f"{aim.chunks:,} x {figures.disk_kb:g} kB x {copies}", f"{disk_gb:,.0f} GB"),
    ]


def other_needs(aim: Aim, figures: Figures) -> list[Need]:
    """Return what Redis, models of one's own and the first ingest need."""
    rate, fresh, busy = aim.answers_per_s, aim.answers_per_s * (1 - aim.cached), f"{aim.busy * 100:.0f} % busy"
    primaries = whole(rate, figures.redis_ms, aim.busy)
    read_s = aim.input_tokens / aim.server.input_tokens_per_s
    model_ms = 1_000 * (read_s + aim.output_tokens / aim.server.output_tokens_per_s)
    servers = whole(fresh, model_ms, aim.busy)
    core_hours = aim.chunks / figures.chunks_a_core_s / 3_600
    counting = f"{rate:,.0f}/s x {figures.redis_ms:g} ms / {busy}, one thread"
    writing = f"{fresh:,.0f}/s x {model_ms:,.0f} ms (an example) / {busy}"
    embedding = f"{aim.chunks:,} / {figures.chunks_a_core_s:g} a core and second"
    return [
        Need("Redis, processor", counting, f"{primaries:,} primaries"),
        Need("models of your own", writing, f"{servers:,} servers"),
        Need("ingest, once", embedding, f"{core_hours:,.0f} core-hours"),
    ]


def stages(aim: Aim, figures: Figures) -> list[Stage]:
    """Return what each way to run it holds: one small machine, one large one, and services beside a Qdrant of its size.

    The chunks are those whose index is in memory as a whole; the searches are in an index of that size.
    """
    cores, gib, many = aim.node_cores, aim.node_gib, max(1, aim.node_cores // 2)
    large = held(gib - SYSTEM_GIB - figures.service_mib / 1024, figures)
    beside = held(gib - SYSTEM_GIB, figures)
    small = held(8 - SYSTEM_GIB - figures.service_mib / 1024, figures)
    search = figures.search_ms_at
    return [
        stage("laptop, 2 cores, 8 GiB", small, search(small), aim=aim, shape=(2, 1), figures=figures),
        stage(f"server, {cores} cores, {gib:g} GiB", large, search(large), aim=aim, shape=(cores, 1), figures=figures),
        stage(f"{many} processes, Qdrant beside", beside, 0.0, aim=aim, shape=(cores, many), figures=figures),
    ]


def stage(name: str, chunks: float, search_ms: float, *, aim: Aim, shape: tuple[int, int], figures: Figures) -> Stage:
    """Return what a machine holds; shape: its cores and service processes. search_ms: of what it searches itself."""
    cores, processes = shape
    by_cores = 1_000 * aim.busy * cores / (figures.answer_ms + search_ms)
    by_loops = 1_000 * aim.busy * processes / figures.loop_ms
    return Stage(name, chunks, min(by_cores, by_loops), "event loop" if by_loops < by_cores else "processors")


def held(gib: float, figures: Figures) -> float:
    """Return how many chunks fit into so much memory as a whole."""
    return max(0.0, gib) * GIB / (figures.memory_kb * KB)


def whole(rate: float, ms: float, busy: float) -> int:
    """Return how many processors or loops so many pieces of work a second take, each of so many milliseconds."""
    return math.ceil(rate * ms / 1_000 / busy - 1e-9)


def capacity_text(aim: Aim, figures: Figures) -> str:
    """Return both tables as text."""
    ways = [(stage.name, f"{stage.chunks / 1e6:,.1f} M", f"{stage.answers_per_s:,.0f}", stage.bound)
            for stage in stages(aim, figures)]  # fmt: skip
    parts = [(need.part, need.how, need.needs) for need in needs(aim, figures)]
    title = f"{aim.chunks:,} chunks, {aim.answers_per_s:,.0f} answers a second, {aim.cached * 100:.0f} % from the cache"
    return "\n".join(
        [
            *columns([("one machine holds", "chunks in memory", "answers/s", "bound by"), *ways]),
            "",
            title,
            *columns([("part", "arithmetic", "needs"), *parts]),
        ]
    )


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of equal length as lines in columns, all to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
