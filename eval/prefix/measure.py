"""`python -m eval prefix`: what of the input a provider reads from its cache, and what the input costs with it.

Conversations are replayed against the documented cache rules of both providers, with a stable part of 300, 1,200 and
3,000 tokens and 800 tokens of passages that are new with every question. `cost@S.<dialect>.ragopt` is the cost of all
input as a share of what the same prompts cost without caching, `read@S.<dialect>.ragopt` the share of input tokens that
were read from the cache. `naive` puts the passages behind the rules and leaves caching to the provider's default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from eval.errors import DatasetError
from eval.intervals import LEVEL, RESAMPLES, Interval, exact
from eval.prefix.replay import Replayed, Sent, replayed, target_of, totals
from eval.prefix.sets import ReplaySet, read_replay_set
from eval.report import Report

STABLE_TOKENS = (300, 1_200, 3_000)
MODELS = (("openai", "gpt-6.1-sol"), ("anthropic", "claude-opus-5-5"))
LAYOUTS = ("ragopt", "naive")


@dataclass(frozen=True, slots=True)
class PrefixJob:
    """What to replay: the first `limit` conversations, None for all, against these models."""

    limit: int | None = None
    seed: int = 0
    models: tuple[tuple[str, str], ...] = MODELS


def measure(folder: Path, job: PrefixJob) -> Report:
    """Return the report of one folder. Raises: `DatasetError`."""
    whole = read_replay_set(folder)
    dataset = ReplaySet(whole.name, whole.conversations[: job.limit])
    if not dataset.conversations:
        raise DatasetError(f"{folder}: no conversation")
    metrics: dict[str, Interval] = {}
    failures: list[str] = []
    breaks = 0
    for dialect, model in job.models:
        for tokens in STABLE_TOKENS:
            for layout in LAYOUTS:
                target = target_of(dialect, model)
                found = replayed(dataset, target, stable_tokens=tokens, layout=layout, seed=job.seed)
                metrics |= metrics_of(found, f"{tokens}.{dialect}.{layout}", seed=job.seed)
                breaks += len(found.unexplained)
                failures += failures_of(found, f"{tokens}.{dialect}") if layout == "ragopt" else []
    return Report(
        job="prefix",
        set=dataset.name,
        n=sum(len(told) for told in dataset.conversations),
        seed=job.seed,
        config={"conversations": len(dataset.conversations), **dict(job.models)},
        metrics={**metrics, "unexplained_breaks": exact(breaks)},
        failures=tuple(failures),
    )


def metrics_of(found: Replayed, name: str, *, seed: int) -> dict[str, Interval]:
    """Return the shares of the cost and of what was read, with intervals over conversations."""
    parts = by_conversation(found.sent)
    costs = [(sum(item.cost_usd for item in part), sum(item.uncached_usd for item in part)) for part in parts]
    usages = [totals(part) for part in parts]
    read = [(float(usage.cached_input_tokens), float(usage.total_input_tokens)) for usage in usages]
    return {f"cost@{name}": ratio(costs, seed=seed), f"read@{name}": ratio(read, seed=seed)}


def by_conversation(sent: Sequence[Sent]) -> list[list[Sent]]:
    """Return the calls of each conversation, in order."""
    return [list(part) for _, part in groupby(sent, key=lambda item: item.conversation)]


def ratio(pairs: Sequence[tuple[float, float]], *, seed: int) -> Interval:
    """Return the ratio of two sums with its 95 % interval: pairs are resampled together."""
    sample = np.asarray(pairs, np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(sample), (RESAMPLES, len(sample)))
    above, below = sample[drawn, 0].sum(axis=1), sample[drawn, 1].sum(axis=1)
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(above / below, [tail, 100 - tail])
    return Interval(float(sample[:, 0].sum() / sample[:, 1].sum()), float(low), float(high))


def failures_of(found: Replayed, name: str) -> list[str]:
    """Return what must not happen: beginnings that changed unexplained, and input that costs more than uncached."""
    cost, plain = sum(item.cost_usd for item in found.sent), sum(item.uncached_usd for item in found.sent)
    dearer = [f"{name}: the input costs {cost / plain:.4f} times what it costs uncached"] if cost > plain else []
    return [*found.unexplained, *dearer]
