"""`python -m eval rewrite`: how near a rewritten follow-up comes to what a person made of it.

Where a set has documents and judgements, by what is found; everywhere, by the words it shares with the person's, by
how many self-contained turns it changed, and by its milliseconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from eval.configuration import index_config
from eval.corpus import TENANT, Corpus, ingested
from eval.datasets import read_dataset
from eval.errors import DatasetError
from eval.intervals import Interval, Statistic, bootstrap, percentile_of
from eval.metrics import ndcg_at
from eval.report import ConfigValue, Report, Segment, by_segment
from eval.retrieval import NDCG_DEPTH, TOP_K, rankings_of
from eval.rewrite.fit import unseen_models
from eval.rewrite.sets import RewriteCase, RewriteSet, read_rewrite_set
from ragopt.domain import Question
from ragopt.evidence import words
from ragopt.ports import Rewrite
from ragopt.results import Standalone
from ragopt.stages.rewrite import RuleRewriter, shipped_model
from ragopt.stages.rewrite.selector import trained_sets
from ragopt.telemetry import Trace

SYSTEMS = ("last_turn", "ragopt", "human")
RANKINGS = ("bm25", "dense", "rrf")


@dataclass(frozen=True, slots=True)
class RewriteJob:
    """What to measure: the first `limit` turns, None for all.

    fit_with: folders of further training sets. With any, the turns of a set are rewritten by models that were fitted
    to these and to the set's other conversations; without, by the model that ships.
    """

    limit: int | None = None
    seed: int = 0
    fit_with: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A turn, what became of it, and in how many milliseconds."""

    case: RewriteCase
    standalone: Standalone
    ms: float


async def measure(folder: Path, job: RewriteJob) -> Report:
    """Return the report of one folder. Raises: `DatasetError`, `EvaluationError`."""
    whole = read_rewrite_set(folder)
    rewriters = rewriters_for(whole, job)
    turns = [await rewritten(case, rewriters[case.conversation]) for case in whole.cases[: job.limit]]
    metrics = turn_metrics(turns, seed=job.seed)
    config: dict[str, ConfigValue] = {"model": described(whole, job), "self_contained": "first, or equal to the human"}
    if (folder / "qrels.tsv").is_file():
        found, index = await searched(folder, {turn.case.id: turn for turn in turns})
        metrics = {**search_metrics(found, seed=job.seed), **metrics}
        config |= {**index, "judged_turns": len(found["human"]["full"])}
    parts = by_segment(turns, [turn.case.segment for turn in turns])
    return Report(
        job="rewrite",
        set=whole.name,
        n=len(turns),
        seed=job.seed,
        config=config,
        metrics=metrics,
        segments={name: Segment(len(part), turn_metrics(part, seed=job.seed)) for name, part in parts.items()},
    )


def rewriters_for(whole: RewriteSet, job: RewriteJob) -> Mapping[str, Rewrite]:
    """Return what rewrites the turns of each conversation."""
    shipped = shipped_model()
    if not job.fit_with:
        return dict.fromkeys((case.conversation for case in whole.cases), RuleRewriter(shipped))
    others = [read_rewrite_set(folder) for folder in job.fit_with]
    models = unseen_models(
        whole, [item for item in others if item.digest != whole.digest], rarity=shipped.rarity, seed=job.seed
    )
    return {conversation: RuleRewriter(model) for conversation, model in models.items()}


def described(whole: RewriteSet, job: RewriteJob) -> str:
    """Return which model rewrites, and whether it saw these turns."""
    if job.fit_with:
        return "fitted to other conversations"
    seen = whole.digest in trained_sets().values()
    return "ships, trained on this set" if seen else "ships, has not seen this set"


async def rewritten(case: RewriteCase, rewrite: Rewrite) -> Rewritten:
    """Return what becomes of one turn."""
    question, trace = Question(case.query, TENANT, history=case.history), Trace(case.id)
    start = time.perf_counter()
    standalone = await rewrite(question, trace=trace, may_call=False)
    return Rewritten(case, standalone, 1000 * (time.perf_counter() - start))


def turn_metrics(turns: Sequence[Rewritten], *, seed: int) -> dict[str, Interval]:
    """Return shared words on later turns, what was changed of either kind, and milliseconds of later turns."""
    later = [turn for turn in turns if turn.case.history]
    found: dict[str, Interval] = {}
    for system in ("last_turn", "ragopt") if later else ():
        pairs = [(set(words(text_of(turn, system))), set(words(turn.case.human))) for turn in later]
        found[f"term_recall.{system}"] = bootstrap([recall(ours, human) for ours, human in pairs], seed=seed)
        found[f"term_f1.{system}"] = bootstrap([f1(ours, human) for ours, human in pairs], seed=seed)
    for name, wanted in (("changed_self_contained", True), ("changed_others", False)):
        changed = [float(turn.standalone.changed) for turn in turns if turn.case.self_contained is wanted]
        found |= {name: bootstrap(changed, seed=seed)} if changed else {}
    for percent in (50, 95) if later else ():
        times = [turn.ms for turn in later]
        found[f"rewrite_ms.p{percent}"] = bootstrap(times, seed=seed, statistic=percentile_of(percent))
    return found


def text_of(turn: Rewritten, system: str) -> str:
    """Return the question as a system has it."""
    return {"last_turn": turn.case.query, "ragopt": turn.standalone.text, "human": turn.case.human}[system]


def recall(ours: set[str], human: set[str]) -> float:
    """Return the share of the human rewrite's words that ours has; 1 for a rewrite without topic words."""
    return len(ours & human) / len(human) if human else 1.0


def f1(ours: set[str], human: set[str]) -> float:
    """Return the harmonic mean of recall and precision of words; 1 where neither has any."""
    return 2 * len(ours & human) / (len(ours) + len(human)) if ours or human else 1.0


async def searched(
    folder: Path, turns: Mapping[str, Rewritten]
) -> tuple[dict[str, dict[str, list[float]]], dict[str, ConfigValue]]:
    """Return nDCG@10 of each judged turn by system and ranking, and what shaped the index. Raises: as `measure`."""
    dataset = read_dataset(folder)
    graded = {key: grades for key, grades in dataset.qrels.items() if max(grades.values()) > 0 and key in turns}
    if not graded:
        raise DatasetError(f"{dataset.name}: no turn has a relevant document")
    found: dict[str, dict[str, list[float]]] = {system: {} for system in SYSTEMS}
    async with ingested(dataset) as corpus:
        for key, system in tqdm(list(product(graded, SYSTEMS)), desc=f"ask {dataset.name}"):
            rankings = await ranked(corpus, dataset.name, turns[key], system)
            for ranking, documents in rankings.items():
                found[system].setdefault(ranking, []).append(ndcg_at(documents, graded[key], k=NDCG_DEPTH))
    return found, {**index_config(corpus.settings), "top_k": TOP_K}


async def ranked(corpus: Corpus, collection: str, turn: Rewritten, system: str) -> Mapping[str, Sequence[str]]:
    """Return the documents by ranking; a person's rewrite is asked as if it were the question."""
    standalone = text_of(turn, system)
    asked = turn.case.human if system == "human" else turn.case.query
    pipeline, trace = corpus.pipeline, Trace(turn.case.id)
    knobs = corpus.settings.model_copy(update={"top_k": TOP_K}).knobs()
    question = Question(asked, TENANT, collection=collection, history=turn.case.history, knobs=knobs)
    encoded = await pipeline.embed(standalone)
    retrieved = await pipeline.retrieve(standalone, question, encoded=encoded, trace=trace)
    return rankings_of(retrieved.hits, await pipeline.rerank(standalone, retrieved, knobs=knobs, trace=trace))


def search_metrics(found: Mapping[str, Mapping[str, Sequence[float]]], *, seed: int) -> dict[str, Interval]:
    """Return `ndcg@10.S` of the whole search, what ragopt gains, the share of the gap closed, and each ranking."""
    full = {system: np.array(found[system]["full"]) for system in SYSTEMS}
    metrics = {f"ndcg@{NDCG_DEPTH}.{system}": bootstrap(full[system].tolist(), seed=seed) for system in SYSTEMS}
    for system in ("ragopt", "human"):
        gained = (full[system] - full["last_turn"]).tolist()
        metrics[f"ndcg@{NDCG_DEPTH}.{system}-last_turn"] = bootstrap(gained, seed=seed)
    metrics |= gap_closed("gap_closed", full, seed=seed)
    for ranking in RANKINGS:
        of_ranking = {system: np.array(found[system][ranking]) for system in SYSTEMS}
        for system in SYSTEMS:
            metrics[f"ndcg@{NDCG_DEPTH}.{system}.{ranking}"] = bootstrap(of_ranking[system].tolist(), seed=seed)
        metrics |= gap_closed(f"gap_closed.{ranking}", of_ranking, seed=seed)
    return metrics


def gap_closed(name: str, scores: Mapping[str, NDArray[np.float64]], *, seed: int) -> dict[str, Interval]:
    """Return the share of what the human rewrites gain that ours gain; nothing where they gain nothing.

    Turns are drawn as triples. Where the gain is small against its spread, the interval is wide.
    """
    ours, gap = scores["ragopt"] - scores["last_turn"], scores["human"] - scores["last_turn"]
    if gap.mean() <= 0:
        return {}
    places = [float(at) for at in range(len(gap))]
    return {name: bootstrap(places, seed=seed, statistic=ratio_of(ours, gap))}


def ratio_of(ours: NDArray[np.float64], gap: NDArray[np.float64]) -> Statistic:
    """Return the statistic that is sum(ours) / sum(gap) over rows of places; a sum of 0 counts as tiny."""

    def of_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        places = rows.astype(np.int64)
        sums = gap[places].sum(axis=1)
        return np.asarray(ours[places].sum(axis=1) / np.where(sums == 0, 1e-9, sums), np.float64)

    return of_rows


def run(folders: Sequence[Path], job: RewriteJob) -> list[Report]:
    """Return the report of each folder. Raises: `DatasetError`, `EvaluationError`."""
    return [asyncio.run(measure(folder, job)) for folder in folders]
