"""What the weeks cost the baseline and us, step by step along the path. Pure.

Each step is priced against the one before, so the parts sum to the whole: fewer passages, a shorter history, our rules,
a routed model, answers read from the response cache, what the provider's cache held, and retries within a budget.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from eval.drift.lineup import Rate
from eval.drift.scenario import ANSWER_TOKENS, SYSTEM_TOKENS, WEEKLY_USERS, Ask, histories
from ragopt.domain import Tier
from ragopt.providers.usage import TOKENS_PER_MESSAGE

STEPS = ("context", "history", "prompt", "routing", "response_cache", "prompt_cache", "retries")
# Of the first calls, retries included: what our budget for them allows at most.
RETRY_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the serving pipeline and the baseline made of one real question. tier: where our router starts it.

    ours, theirs: tokens of the passages. quality_ours, quality_theirs: the share of the gold text in them times the
    recorded chance that the model which is asked answers rightly.
    """

    tokens: int
    tier: Tier
    ours: int
    theirs: int
    quality_ours: float
    quality_theirs: float


@dataclass(frozen=True, slots=True)
class Sizes:
    """What stands in every prompt of ours beside the application's own: tokens of our rules, and of the history."""

    rules: int
    history_budget: int


@dataclass(frozen=True, slots=True)
class Weeks:
    """Costs in USD: float64 [8, 7], the baseline and then after each step, by week."""

    costs: NDArray[np.float64]

    @property
    def baseline(self) -> float:
        """Return what the baseline cost in all."""
        return float(self.costs[0].sum())

    @property
    def ours(self) -> float:
        """Return what we cost in all."""
        return float(self.costs[-1].sum())

    @property
    def saved(self) -> float:
        """Return the share of the baseline that was saved."""
        return 1 - self.ours / self.baseline

    def parts(self) -> dict[str, float]:
        """Return the share of the baseline that each step saved, in the order of the path; they sum to `saved`."""
        totals = self.costs.sum(axis=1)
        return {name: (was - now) / totals[0] for name, (was, now) in zip(STEPS, pairwise(totals), strict=True)}


def replayed(asked: Sequence[Ask], recorded: Sequence[Recorded], rates: Mapping[Tier, Rate], *, sizes: Sizes) -> Weeks:
    """Return what every request cost, summed by week."""
    costs = np.zeros((1 + len(STEPS), len(WEEKLY_USERS)))
    before = histories(asked, [item.tokens for item in recorded], message_tokens=TOKENS_PER_MESSAGE)
    caches: dict[Tier, Beginnings] = {tier: Beginnings(rate) for tier, rate in rates.items()}
    for item, history in zip(asked, before, strict=True):
        of = recorded[item.question]
        costs[:, item.week - 1] += steps_of(item, of, history=history, rates=rates, sizes=sizes, cache=caches[of.tier])
    return Weeks(costs)


def steps_of(
    item: Ask,
    of: Recorded,
    *,
    history: int,
    rates: Mapping[Tier, Rate],
    sizes: Sizes,
    cache: Beginnings,
) -> NDArray[np.float64]:
    """Return the cost of one request by the baseline and after each step, float64 [8]."""
    strong, routed = rates["complex"], rates[of.tier]
    asked = of.tokens + TOKENS_PER_MESSAGE
    kept = min(history, sizes.history_budget)
    stable = SYSTEM_TOKENS + sizes.rules
    inputs = (
        SYSTEM_TOKENS + of.theirs + history + asked,
        SYSTEM_TOKENS + of.ours + history + asked,
        SYSTEM_TOKENS + of.ours + kept + asked,
        stable + of.ours + kept + asked,
    )
    calls = item.calls
    costs = [calls * strong.cost(sent=sent, output=ANSWER_TOKENS) for sent in inputs]
    costs.append(calls * routed.cost(sent=inputs[-1], output=ANSWER_TOKENS))
    if item.repeated:
        return np.array([*costs, 0.0, 0.0, 0.0])
    read, written = cache.visit(item, stable=stable, whole=stable + kept)
    cached = routed.cost(sent=inputs[-1], cached=read, written=written, output=ANSWER_TOKENS)
    ours = 1 + RETRY_SHARE if calls > 1 else 1
    return np.array([*costs, costs[-1], calls * cached, ours * cached])


class Beginnings:
    """What of the beginnings of prompts a model's provider keeps: the stable part, and that of each thread."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._stable_until_s = -math.inf
        self._threads: dict[int, tuple[float, int]] = {}

    def visit(self, item: Ask, *, stable: int, whole: int) -> tuple[int, int]:
        """Return how many tokens of the prompt's beginning are read and how many written, and keep it.

        stable: of rules and application; whole: with summary and history. Below the provider's minimum nothing is kept.
        """
        rate = self._rate
        if not rate.lifetime_s or whole < rate.min_cache_tokens:
            return 0, 0
        until_s, length = self._threads.get(item.thread, (-math.inf, 0))
        read = min(length, whole) if item.at_s <= until_s else 0
        if read < stable and stable >= rate.min_cache_tokens and item.at_s <= self._stable_until_s:
            read = stable
        lives_until_s = item.at_s + rate.lifetime_s
        self._stable_until_s = lives_until_s
        self._threads[item.thread] = lives_until_s, whole
        return read, whole - read
