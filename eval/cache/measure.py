"""`python -m eval cache`: duplicates served at a share of wrong answers, by the verifier and by the best cosine.

Beside it what a level that is calibrated on 300 labelled pairs of the set serves of the others, and how much is wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from eval.cache.curve import Same, Scores, calibrated, interval_of, resamples, served_at
from eval.cache.sets import QuestionPair, QuestionSet, Vectors, intent_pairs, measured_utterances, read_question_set
from eval.cache.splits import key_of
from eval.cache.training_pairs import is_learned, is_new_intent, pairs_for_testing
from eval.errors import DatasetError
from eval.intervals import Interval, exact
from eval.report import Metrics, Report, Segment, by_segment
from eval.routing.sets import Encode, shipped_vectors
from indexes.pair_model import read_card
from ragopt.config import cache_dir
from ragopt.stages.cache.protocol import SameQuestion
from ragopt.stages.cache.verifier import SHIPPED, Verifier

BOUNDS = (0.05, 0.10)
SHOWN = (*BOUNDS, 0.20)
PAIRS_PER_TEXT = 1
MIN_SEGMENT = 100
SCORED_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class CacheJob:
    """What to measure: the first `limit` pairs, None for all; `model`: the folder of the verifier."""

    limit: int | None = None
    seed: int = 0
    model: Path = SHIPPED


@dataclass(frozen=True, slots=True)
class Judge:
    """What is measured: its name, and digests of the sets that it learned from."""

    verifier: SameQuestion
    tag: str
    trained_on: frozenset[str]


@dataclass(frozen=True, slots=True)
class Scored:
    """The pairs of a set with both scores, float64 [n] each."""

    pairs: Sequence[QuestionPair]
    ragopt: Scores
    cosine: Scores

    @property
    def same(self) -> Same:
        """Return which pairs ask the same, bool [n]."""
        return np.array([pair.same for pair in self.pairs], np.bool_)


def run(folders: Sequence[Path], job: CacheJob) -> list[Report]:
    """Return one report per folder. Raises: `DatasetError`, `ModelUnavailable`."""
    verifier = Verifier.load(job.model, cache_folder=cache_dir())
    judge = Judge(verifier, verifier.tag, frozenset(read_card(job.model).trained_on.values()))
    return [asyncio.run(measure(folder, job, judge=judge)) for folder in folders]


async def measure(folder: Path, job: CacheJob, *, judge: Judge, encode: Encode = shipped_vectors) -> Report:
    """Return the report of one folder. Raises: `DatasetError`."""
    question_set = read_question_set(folder)
    pairs = await pairs_of(question_set, encode, trained_on=judge.trained_on, seed=job.seed)
    scored = await scores_of(pairs[: job.limit], judge.verifier, encode)
    if not scored.same.any() or scored.same.all():
        raise DatasetError(f"{question_set.name}: pairs that are the same and pairs that are not are needed")
    return Report(
        job="cache",
        set=question_set.name,
        n=len(scored.pairs),
        seed=job.seed,
        config={
            "verifier": judge.tag,
            "duplicates": int(scored.same.sum()),
            "pairs": "given" if question_set.pairs else "built of intents",
            "seen": "questions never trained on" if question_set.digest in judge.trained_on else "set never trained on",
        },
        metrics={**metrics_of(scored, seed=job.seed), **bound_metrics(scored, seed=job.seed)},
        segments=segments_of(scored, seed=job.seed),
    )


async def pairs_of(
    question_set: QuestionSet, encode: Encode, *, trained_on: frozenset[str], seed: int
) -> list[QuestionPair]:
    """Return the pairs of a set that the verifier has not seen; of a set of intents without pairs they are built."""
    seen = question_set.digest in trained_on
    if question_set.pairs and not question_set.utterances:
        return pairs_for_testing(question_set) if seen else list(question_set.pairs)
    pairs = list(question_set.pairs)
    if not pairs:
        utterances = measured_utterances(question_set.utterances)
        vectors = await encode([item.text for item in utterances])
        pairs = intent_pairs(utterances, vectors.astype(np.float32), per_text=PAIRS_PER_TEXT, seed=seed)
    return by_new_intents(pairs, question_set) if seen else pairs


def by_new_intents(pairs: Sequence[QuestionPair], question_set: QuestionSet) -> list[QuestionPair]:
    """Return the pairs without a question that was trained on, parted by whether the intents of both are new."""
    learned = {key_of(item.text) for item in question_set.utterances if is_learned(item)}
    fresh = {key_of(item.text) for item in question_set.utterances if is_new_intent(item.intent)}
    keyed = [(pair, {key_of(pair.a), key_of(pair.b)}) for pair in pairs]
    return [
        replace(pair, segment="new intents" if keys <= fresh else "trained intents")
        for pair, keys in keyed
        if not keys & learned
    ]


async def scores_of(pairs: Sequence[QuestionPair], judge: SameQuestion, encode: Encode) -> Scored:
    """Return the pairs with the verifier's score and the cosine of their embeddings, with progress bars."""
    texts = sorted({text for pair in pairs for text in (pair.a, pair.b)})
    place = {text: at for at, text in enumerate(texts)}
    vectors: Vectors = (await encode(texts)).astype(np.float32)
    cosine = [float(vectors[place[pair.a]] @ vectors[place[pair.b]]) for pair in pairs]
    scores: list[float] = []
    for pair in tqdm(pairs, desc="verify", unit="pair", mininterval=2):
        scores += await judge.scores(pair.a, [pair.b])
    return Scored(pairs, np.array(scores, np.float64), np.array(cosine, np.float64))


def metrics_of(scored: Scored, *, seed: int) -> dict[str, Interval]:
    """Return the share of duplicates served at each share of wrong ones, and how many times the cosine's it is.

    Where the cosine serves none, it counts as one.
    """
    found: dict[str, Interval] = {}
    systems = {"ragopt": scored.ragopt, "cosine": scored.cosine}
    counts = resamples(len(scored.pairs), seed=seed)
    one = 1 / scored.same.sum()
    for bound in SHOWN:
        values = {name: float(served_at(scores, scored.same, max_wrong=bound)[0]) for name, scores in systems.items()}
        drawn = {
            name: np.concatenate([served_at(scores, scored.same, max_wrong=bound, counts=rows) for rows in counts])
            for name, scores in systems.items()
        }
        for name in systems:
            found[f"duplicates_served@wrong<={bound:.2f}.{name}"] = interval_of(values[name], drawn[name])
        ratio = values["ragopt"] / max(values["cosine"], one)
        found[f"ratio@wrong<={bound:.2f}"] = interval_of(ratio, drawn["ragopt"] / np.maximum(drawn["cosine"], one))
    return found


def bound_metrics(scored: Scored, *, seed: int) -> dict[str, Interval]:
    """Return what calibrated levels served: `high` of `wrong_served` is what 19 of the 20 splits' limits are within."""
    found: dict[str, Interval] = {}
    for bound in BOUNDS:
        result = calibrated(scored.ragopt, scored.same, max_wrong=bound, seed=seed)
        within = sorted(result.limits)[-2]
        mean = float(np.mean(result.wrong))
        found[f"wrong_served@bound={bound:.2f}"] = Interval(mean, min(mean, min(result.wrong)), max(mean, within))
        found[f"splits_within@bound={bound:.2f}"] = exact(sum(limit <= bound for limit in result.limits))
        served = np.array(result.served)
        found[f"calibrated_served@bound={bound:.2f}"] = Interval(
            float(served.mean()), float(served.min()), float(served.max())
        )
    return found


def segments_of(scored: Scored, *, seed: int) -> dict[str, Segment]:
    """Return the shares served of each part of the set with enough pairs of both kinds, by name."""
    parts = by_segment(range(len(scored.pairs)), [pair.segment for pair in scored.pairs])
    found: dict[str, Segment] = {}
    for name, places in parts.items():
        part = Scored([scored.pairs[at] for at in places], scored.ragopt[places], scored.cosine[places])
        if len(places) >= MIN_SEGMENT and part.same.any() and not part.same.all():
            metrics: Metrics = metrics_of(part, seed=seed)
            found[name] = Segment(len(places), metrics)
    return found
