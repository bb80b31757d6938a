"""How long late interaction takes, by how many hits it judges."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from eval.bench.index import SCOPE, Encoders, configured_encoder, indexed
from eval.bench.texts import BenchTexts
from eval.intervals import Interval, bootstrap, percentile_of
from eval.report import ConfigValue, Report
from indexes.ingest import TextEncoder
from ragopt.results import Retrieved
from ragopt.stages.rerank.late_interaction import late_interaction
from ragopt.telemetry import Trace

HITS = (10, 50, 100, 200)
QUESTIONS = 150
WARM_UP = 5


def bench_rerank(texts: BenchTexts, *, encoders: Encoders = configured_encoder, questions: int = QUESTIONS) -> Report:
    """Return milliseconds of reranking the first 10, 50, 100 and 200 hits of each question. Raises: `BenchError`.

    Every hit carries its token bits, as the search returns them: reading them is not part of it.
    """
    with encoders() as encoder, tempfile.TemporaryDirectory(prefix="ragopt-bench-") as folder:
        retrieved, chunks = asyncio.run(searched(texts, Path(folder), encoder, questions=WARM_UP + questions))
    times = timed(retrieved)
    tokens = [float(sum(len(hit.tokens) for hit in one.hits[:50])) for one in retrieved[WARM_UP:]]
    metrics: dict[str, Interval] = {}
    for hits, milliseconds in times.items():
        for percent in (50, 95):
            metrics[f"p{percent}_ms@{hits}"] = bootstrap(
                milliseconds, seed=texts.seed, statistic=percentile_of(percent)
            )
    metrics["tokens@50"] = bootstrap(tokens, seed=texts.seed)
    config: dict[str, ConfigValue] = {"chunks": chunks, "fewest_hits": min(len(one.hits) for one in retrieved)}
    return Report("bench.rerank", texts.name, questions, texts.seed, config, metrics)


async def searched(
    texts: BenchTexts, folder: Path, encoder: TextEncoder, *, questions: int
) -> tuple[list[Retrieved], int]:
    """Return what each question finds in an index of its own, and the chunks in there."""
    found: list[Retrieved] = []
    async with indexed(texts, folder, encoder) as (library, chunks):
        for text in islice(texts.questions(), questions):
            question = await encoder.encode_question(text)
            generation, hits = await library.search(
                SCOPE.tenant, SCOPE.collection, text, question=question, top_k=max(HITS), timer=Trace("bench").stage
            )
            found.append(Retrieved(question, tuple(hits), generation))
    return found, chunks


def timed(retrieved: Sequence[Retrieved]) -> dict[int, list[float]]:
    """Return milliseconds by count of hits, each question with every count in turn; the warm-up is not in it."""
    times: dict[int, list[float]] = {hits: [] for hits in HITS}
    for n, one in enumerate(tqdm(retrieved, desc="rerank", unit="question")):
        for hits in HITS:
            part = Retrieved(one.question, one.hits[:hits], one.generation)
            started = time.perf_counter()
            late_interaction(part)
            if n >= WARM_UP:
                times[hits].append(1000 * (time.perf_counter() - started))
    return times
