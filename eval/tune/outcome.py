"""What a tuning run found: everything that its report, its plot and its knobs file say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from eval.tune.bound import BoundTuning
from eval.tune.choose import Profiles, Rule
from eval.tune.heldout import HeldOut, folds_of, held_out
from eval.tune.questions import Workload
from eval.tune.search import Found
from eval.tune.segments import SegmentChoice, segment_choices
from eval.tune.space import Candidate, Space
from eval.tune.tiers import TierTuning
from eval.tune.trials import Measured
from ragopt.config import Settings
from ragopt.domain import Usage
from ragopt.money.prices import Prices
from ragopt.settings.models import ModelSettings

TIER_STRENGTH = {"simple": 0, "medium": 1, "complex": 2}


@dataclass(frozen=True, slots=True)
class Price:
    """What a context costs with one configured model, at the price of fresh input tokens."""

    model: str
    settings: ModelSettings

    def usd_per_1000(self, tokens: float) -> Decimal | None:
        """Return the cost of 1,000 contexts of so many tokens each, None where the price is not known."""
        usage = Usage(input_tokens=round(tokens))
        name = self.settings.model or self.settings.name
        cost = Prices().cost_usd(self.settings.provider, name, usage, override=self.settings.price)
        return None if cost is None else 1000 * cost


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run. `configured` is what the settings say now, asked the same questions.

    tiers, bound: None where no answers were recorded and no pairs labelled.
    """

    workload: Workload
    settings: Settings
    space: Space
    rule: Rule
    found: Found
    profiles: Profiles
    held_out: Mapping[str, HeldOut]
    segments: Mapping[str, SegmentChoice]
    configured: Measured
    price: Price | None
    tiers: TierTuning | None = None
    bound: BoundTuning | None = None

    def questions(self) -> int:
        """Return how many questions were asked."""
        return len(self.workload.dataset.queries)

    def row_of(self, candidate: Candidate) -> Measured:
        """Return the row of a candidate that was asked every question. Raises: `StopIteration` if it was not."""
        return next(row for row in self.found.rows if row.candidate == candidate)


def outcome_of(workload: Workload, settings: Settings, *, space: Space, found: Found, rule: Rule) -> Outcome:
    """Return what follows from the rows of a search."""
    profiles = rule.profiles(found.rows)
    groups = [workload.relevant(query)[0] for query in workload.dataset.queries]
    return Outcome(
        workload=workload,
        settings=settings,
        space=space,
        rule=rule,
        found=found,
        profiles=profiles,
        held_out=held_out(found.rows, folds_of(groups, seed=rule.seed), rule=rule),
        segments=segment_choices(workload, found.rows, rule=rule, general=profiles),
        configured=next(row for row in found.rows if row.candidate == space.configured),
        price=price_of(settings),
    )


def price_of(settings: Settings) -> Price | None:
    """Return the price of the strongest configured model, the first of its tier; None if no model costs anything."""
    paid = [model for model in settings.models if model.provider != "extractive"]
    if not paid:
        return None
    strongest = max(paid, key=lambda model: TIER_STRENGTH[model.tier])
    return Price(strongest.name, strongest)
