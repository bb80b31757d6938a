"""How often a cheap and a strong model were right on prompts as hard as a question: recorded outcomes, not a guess.

The general head of our difficulty scorer orders the recorded prompts and the questions alike; a question gets the
recorded share of right answers among the prompts of its tenth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.routing.sets import RoutingSet
from ragopt.domain import Tier
from ragopt.stages.route.difficulty import GeneralHead

TENTHS = 10
# Recorded prompts that are embedded to order them: more narrow nothing that is shown.
MOST_RECORDED = 4_000
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Correctness:
    """Shares of right answers by tenth of difficulty, float64 [10] each; edges: float64 [9], between the tenths."""

    edges: Scores
    weak: Scores
    strong: Scores

    def of(self, tier: Tier, difficulty: float) -> float:
        """Return the chance that a model of the tier is right; one in the middle is halfway between the two."""
        at = int(np.searchsorted(self.edges, difficulty))
        weak, strong = float(self.weak[at]), float(self.strong[at])
        return {"simple": weak, "medium": (weak + strong) / 2, "complex": strong}[tier]


def difficulties(head: GeneralHead, texts: Sequence[str], vectors: NDArray[np.float32]) -> Scores:
    """Return the general head's log-odds of each text, given their unit vectors [n, dim]."""
    return np.array([head.log_odds(text, vector) for text, vector in zip(texts, vectors, strict=True)])


def correctness_of(recorded: RoutingSet, scores: Scores) -> Correctness:
    """Return the shares by tenth of the recorded prompts' own difficulties, in their order."""
    edges = np.quantile(scores, np.linspace(0, 1, TENTHS + 1)[1:-1])
    tenth = np.searchsorted(edges, scores)
    share = [
        [float(outcome[tenth == at].mean()) for at in range(TENTHS)]
        for outcome in (recorded.outcomes.weak, recorded.outcomes.strong)
    ]
    return Correctness(edges, np.array(share[0]), np.array(share[1]))


def sample(recorded: RoutingSet, *, seed: int) -> RoutingSet:
    """Return at most 4,000 of the recorded prompts, drawn once."""
    if len(recorded.texts) <= MOST_RECORDED:
        return recorded
    drawn = np.sort(np.random.default_rng(seed).permutation(len(recorded.texts))[:MOST_RECORDED])
    outcomes = type(recorded.outcomes)(recorded.outcomes.weak[drawn], recorded.outcomes.strong[drawn])
    texts = tuple(recorded.texts[at] for at in drawn)
    domains = tuple(recorded.domains[at] for at in drawn)
    return RoutingSet(recorded.name, texts, domains, recorded.weak, recorded.strong, outcomes=outcomes, digest="")
