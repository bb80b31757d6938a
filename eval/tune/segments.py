"""What a part of the questions would choose for itself, and where that is worth a setting of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.intervals import Interval, paired_difference
from eval.tune.choose import COST_SLACK, Profiles, Rule
from eval.tune.heldout import Unseen, folds_of, unseen
from eval.tune.questions import Workload
from eval.tune.space import KnobValue
from eval.tune.trials import Measured

# A segment with fewer questions than this gets no choice of its own.
MIN_SEGMENT = 20
# Folds of a segment. More of them choose by nearly the same questions, and all choose what those praise by chance. With
# 30 settings no better than everybody's and 40 questions, one passed for better in 4 % of 200 segments; with five folds
# in 12 %, by the very questions that chose it in 45 %.
HALVES = 2


@dataclass(frozen=True, slots=True)
class Own:
    """One profile in one segment: what its questions choose on everybody's index, beside what everybody gets.

    difference: in quality, chosen - general, held out: each question as chosen without its half. tokens: the mean of
    what was chosen, held out. better: whether both show the choice to be better than what everybody gets.
    """

    chosen: Measured
    general: Measured
    difference: Interval
    tokens: float
    better: bool

    def is_general(self) -> bool:
        """Return whether it chose what everybody gets."""
        return self.chosen.candidate == self.general.candidate

    def differs(self) -> bool:
        """Return whether the segment gets a setting of its own."""
        return self.better and not self.is_general()

    def used(self) -> Measured:
        """Return what the segment gets."""
        return self.chosen if self.differs() else self.general

    def knobs(self) -> dict[str, KnobValue]:
        """Return the query knobs in which what the segment gets differs from what everybody gets."""
        general = self.general.candidate.query_values()
        return {knob: value for knob, value in self.used().candidate.query_values().items() if value != general[knob]}


@dataclass(frozen=True, slots=True)
class SegmentChoice:
    """One part of the questions. profiles: by name. free: what `balanced` would be over any index, for this part."""

    n: int
    profiles: Mapping[str, Own]
    free: Measured


def segment_choices(
    workload: Workload, rows: Sequence[Measured], *, rule: Rule, general: Profiles
) -> dict[str, SegmentChoice]:
    """Return the choice of each segment with enough questions, by name; {} where there are not two segments."""
    places: dict[str, list[int]] = {}
    for place, query in enumerate(workload.dataset.queries):
        places.setdefault(query.segment or "other", []).append(place)
    if len(places) < 2:
        return {}
    groups = [workload.relevant(query)[0] for query in workload.dataset.queries]
    found: dict[str, SegmentChoice] = {}
    for name, its_own in sorted(places.items()):
        if len(its_own) >= MIN_SEGMENT:
            at = np.asarray(its_own, np.intp)
            folds = folds_of([groups[place] for place in its_own], seed=rule.seed, most=HALVES)
            found[name] = segment_choice([row.only(at) for row in rows], folds, rule=rule, general=only(general, at))
    return found


def only(profiles: Profiles, at: NDArray[np.intp]) -> dict[str, Measured]:
    """Return each profile over the questions at these places."""
    return {name: row.only(at) for name, row in profiles.named()}


def segment_choice(
    rows: Sequence[Measured],
    folds: Sequence[NDArray[np.intp]],
    *,
    rule: Rule,
    general: Mapping[str, Measured],
) -> SegmentChoice:
    """Return the choice of a segment: `rows`, `folds` and what everybody gets, all over its questions alone."""
    index = general["balanced"].candidate.index()
    usable = [row for row in rows if row.candidate.index() == index]
    blind = unseen(usable, folds, rule=rule)
    profiles = {
        name: own(name, chosen, general[name], blind=blind[name], rule=rule)
        for name, chosen in rule.profiles(usable).named()
    }
    return SegmentChoice(len(rows[0].quality), profiles, rule.profiles(rows).balanced)


def own(profile: str, chosen: Measured, general: Measured, *, blind: Unseen, rule: Rule) -> Own:
    """Return one profile of a segment, everybody's where its own is not shown to be better.

    It is better if it finds more beyond the interval or, for all but `quality`, costs less and by the whole interval
    loses no more than is tolerated. Both are told by questions that did not choose it.
    """
    difference = paired_difference(blind.quality.tolist(), general.quality.tolist(), seed=rule.seed)
    tokens = float(blind.tokens.mean())
    cheaper = profile != "quality" and tokens < general.mean_tokens() * (1 - COST_SLACK)
    better = difference.low > 0 or (cheaper and difference.low >= -rule.tolerance)
    return Own(chosen, general, difference, tokens, better=better)
