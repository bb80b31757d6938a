"""What of a claim its evidence has, as numbers: words, pairs of words, slots, negation. Pure, no model."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from itertools import pairwise

from ragopt.evidence import topic_words
from ragopt.slots import Slot, is_negated, missing, slots_of

# In the order of `features_of`; the calibration weighs them by name.
FEATURES = (
    "covered",
    "stems",
    "pairs",
    "covered_anywhere",
    "lacks_number_here",
    "lacks_name_here",
    "lacks_number",
    "lacks_name",
    "negated",
    "length",
)
MAX_LACKING = 3
STEM_CHARS = 5


def features_of(claim: str, evidence: Sequence[str], *, everything: str) -> tuple[float, ...]:
    """Return the numbers named in `FEATURES` for a claim beside its pieces of evidence, the likeliest first.

    covered, stems, pairs: the most of the claim's topic words, their first five letters and neighbouring pairs that
    one piece has, in [0, 1]; covered_anywhere: of its words in everything. lacks_…_here: the fewest numbers and dates,
    or names, that one piece lacks; lacks_…: that everything lacks, at most three. negated: 1 where the claim denies
    and the first piece does not, or the other way round. length: log(1 + topic words).

    everything: all sentences of the cited passages and their titles: a number that stands nowhere in them is no slip
    of the search. Without evidence the shares are 0 and what is lacked is what everything lacks.
    """
    slots = slots_of(claim)
    lacks_anywhere = missing(slots, everything)
    lacks_here = [missing(slots, text) for text in evidence]
    claimed, anywhere = topic_words(claim), topic_words(everything)
    here = [topic_words(text) for text in evidence]
    denies = [is_negated(slots) != is_negated(slots_of(text)) for text in evidence[:1]]
    return (
        max((share(set(claimed), set(found)) for found in here), default=0.0),
        max((share(stems(claimed), stems(found)) for found in here), default=0.0),
        max((share(set(pairwise(claimed)), set(pairwise(found))) for found in here), default=0.0),
        share(set(claimed), set(anywhere)),
        min((counted(lacks, names=False) for lacks in lacks_here), default=counted(lacks_anywhere, names=False)),
        min((counted(lacks, names=True) for lacks in lacks_here), default=counted(lacks_anywhere, names=True)),
        counted(lacks_anywhere, names=False),
        counted(lacks_anywhere, names=True),
        float(any(denies)),
        math.log1p(len(set(claimed))),
    )


def stems(found: Sequence[str]) -> set[str]:
    """Return the first five letters of each word."""
    return {word[:STEM_CHARS] for word in found}


def share(wanted: Set[object], there: Set[object]) -> float:
    """Return the share of what is wanted that is there, in [0, 1]; 1 where nothing is wanted."""
    return len(wanted & there) / len(wanted) if wanted else 1.0


def counted(slots: Sequence[Slot], *, names: bool) -> float:
    """Return how many of the slots are names, or how many are numbers and dates; at most three."""
    return float(min(MAX_LACKING, sum((slot.kind == "name") == names for slot in slots)))
