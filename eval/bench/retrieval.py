"""How long a search takes: ours and others', over the same chunks, vectors and questions, in turns."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np
from rank_bm25 import BM25Okapi
from tqdm import tqdm

from eval.bench.index import SCOPE, Encoders, RecordingEncoder, configured_encoder, indexed
from eval.bench.llama import bare_bm25s, llama_fusion
from eval.bench.texts import BenchTexts
from eval.errors import MissingExtra
from eval.intervals import Interval, bootstrap, paired_ratio, percentile_of
from eval.report import ConfigValue, Report
from indexes.ingest import TextEncoder
from indexes.library import Library
from indexes.records import EncodedQuestion
from ragopt.results import Retrieved
from ragopt.stages.rerank.late_interaction import late_interaction
from ragopt.telemetry import Trace

# A question and its vectors to the texts found, best first.
System: TypeAlias = Callable[[str, EncodedQuestion], Awaitable[list[str]]]

TOP_K = 50
WARM_UP = 5
QUESTIONS = 150
SHARED_DEPTH = 10
# Do not use the question's vectors: embedding belongs to none of their times.
TERMS_ONLY = ("rank_bm25", "bm25s")
OURS, THEIRS = "ragopt", "llama_index"


@dataclass(frozen=True, slots=True)
class OurSearch:
    """`Library.search`, and late interaction over what it found unless `reranks` is False."""

    library: Library
    reranks: bool = True

    async def __call__(self, text: str, question: EncodedQuestion) -> list[str]:
        """Return the texts of the hits, best first."""
        generation, hits = await self.library.search(
            SCOPE.tenant, SCOPE.collection, text, question=question, top_k=TOP_K, timer=Trace("bench").stage
        )
        if not self.reranks:
            return [hit.chunk.text for hit in hits]
        ranked = await asyncio.to_thread(late_interaction, Retrieved(question, tuple(hits), generation))
        return [item.hit.chunk.text for item in ranked]


@dataclass(frozen=True, slots=True)
class BareRankBm25:
    """rank_bm25 as its documentation shows it: words split at spaces, every text scored."""

    index: BM25Okapi
    texts: Sequence[str]

    async def __call__(self, text: str, question: EncodedQuestion) -> list[str]:  # noqa: ARG002 - terms are enough
        """Return the texts found, best first."""
        scores = self.index.get_scores(text.lower().split())
        return [self.texts[at] for at in np.argsort(scores)[::-1][:TOP_K]]


@dataclass(slots=True)
class Timings:
    """Milliseconds of one system, the same place for the same question, and the texts it found first."""

    embed: list[float] = field(default_factory=list)
    search: list[float] = field(default_factory=list)
    first: list[list[str]] = field(default_factory=list)


def bench_retrieval(
    texts: BenchTexts, *, encoders: Encoders = configured_encoder, questions: int = QUESTIONS
) -> Report:
    """Return milliseconds of each system, with and without embedding the question.

    What of the extra is not installed is left out, and the report's `left_out` says so. Raises: `BenchError`.
    """
    with encoders() as encoder, tempfile.TemporaryDirectory(prefix="ragopt-bench-") as folder:
        return asyncio.run(measured(texts, Path(folder), encoder, questions=questions))


async def measured(texts: BenchTexts, folder: Path, encoder: TextEncoder, *, questions: int) -> Report:
    """Return the report over an index in `folder`."""
    recorder = RecordingEncoder(encoder)
    async with indexed(texts, folder, recorder) as (library, chunks):
        systems: dict[str, System] = {OURS: OurSearch(library), f"{OURS}_no_rerank": OurSearch(library, reranks=False)}
        others, missing = other_systems(recorder)
        asked = list(islice(texts.questions(), WARM_UP + questions))
        timings = await in_turns(systems | others, asked, encoder, seed=texts.seed)
    config: dict[str, ConfigValue] = {"chunks": chunks, "texts": len(recorder.vectors), "top_k": TOP_K}
    config |= {"left_out": "; ".join(missing)} if missing else {}
    return Report("bench.retrieval", texts.name, questions, texts.seed, config, metrics_of(timings, seed=texts.seed))


def other_systems(recorder: RecordingEncoder) -> tuple[dict[str, System], list[str]]:
    """Return what is compared with, over the texts we indexed, and a line for each that is not installed."""
    texts = list(recorder.vectors)
    makers: Mapping[str, Callable[[], System]] = {
        THEIRS: lambda: llama_fusion(recorder.vectors, top_k=TOP_K),
        "rank_bm25": lambda: BareRankBm25(BM25Okapi([text.lower().split() for text in texts]), texts),
        "bm25s": lambda: bare_bm25s(texts, top_k=TOP_K),
    }
    systems: dict[str, System] = {}
    missing: list[str] = []
    for name, make in makers.items():
        try:
            systems[name] = make()
        except MissingExtra as error:
            missing.append(str(error))
    return systems, missing


async def in_turns(
    systems: Mapping[str, System], asked: Sequence[str], encoder: TextEncoder, *, seed: int
) -> dict[str, Timings]:
    """Return the times of each system: every question to all of them, in an order drawn anew for each.

    A fixed order would let one system always start from the caches that the same other one left.
    The first `WARM_UP` questions are not counted. The question is embedded anew for each system.
    """
    timings = {name: Timings() for name in systems}
    names = list(systems)
    rng = np.random.default_rng(seed)
    for n, text in enumerate(tqdm(asked, desc="ask", unit="question")):
        for name in (names[at] for at in rng.permutation(len(names))):
            started = time.perf_counter()
            question = await encoder.encode_question(text)
            embedded = time.perf_counter()
            found = await systems[name](text, question)
            ended = time.perf_counter()
            if n >= WARM_UP:
                timings[name].embed.append(1000 * (embedded - started))
                timings[name].search.append(1000 * (ended - embedded))
                timings[name].first.append(found[:SHARED_DEPTH])
    return timings


def metrics_of(timings: Mapping[str, Timings], *, seed: int) -> dict[str, Interval]:
    """Return `<system>.p50_ms` and `.p95_ms`, the same with `+embed`, and how the others compare with ours.

    times_ours.S: geometric mean over questions of S's time by ours, embedding excluded, reranking
    included. shared@10.S: of the first 10 texts of S, how many our fused search has in its first 10.
    """
    metrics: dict[str, Interval] = {}
    for name, times in timings.items():
        metrics |= percentiles(name, times.search, seed=seed)
        if name not in TERMS_ONLY:
            both = [a + b for a, b in zip(times.embed, times.search, strict=True)]
            metrics |= percentiles(f"{name}+embed", both, seed=seed)
    fused = timings[f"{OURS}_no_rerank"].first
    for name, times in timings.items():
        if not name.startswith(OURS):
            metrics[f"times_ours.{name}"] = paired_ratio(times.search, timings[OURS].search, seed=seed)
            shares = [shared(ours, theirs) for ours, theirs in zip(fused, times.first, strict=True)]
            metrics[f"shared@{SHARED_DEPTH}.{name}"] = bootstrap(shares, seed=seed)
    return metrics


def percentiles(name: str, milliseconds: Sequence[float], *, seed: int) -> dict[str, Interval]:
    """Return `<name>.p50_ms` and `<name>.p95_ms`."""
    return {
        f"{name}.p{percent}_ms": bootstrap(milliseconds, seed=seed, statistic=percentile_of(percent))
        for percent in (50, 95)
    }


def shared(chunks: Sequence[str], indexed_texts: Sequence[str]) -> float:
    """Return the share of the indexed texts that hold one of the chunks: title and headings stand above it there."""
    return sum(any(chunk in text for chunk in chunks) for text in indexed_texts) / max(1, len(indexed_texts))
