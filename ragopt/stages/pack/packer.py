"""Ranked hits to numbered passages within a token budget: the sentences worth their tokens, and no more.

Every sentence has a value: its chunk's score, how well it matches by itself, and the question's words
in it. Sentences are taken by value, what repeats a taken one later than its value says, with the
neighbour that a reader needs. Taking ends at the budget, or earlier where the rest is much less
relevant than the best. So an easy question uses less than its budget, and a bigger budget never
holds less value.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from ragopt.domain import PASSAGE_SEPARATOR, Passage, QueryKnobs, Stop
from ragopt.results import Packed, RankedHit
from ragopt.stages.pack.passages import PassageBuilder
from ragopt.stages.pack.sequence import Group, groups_in_order
from ragopt.stages.pack.values import Unit, valued_units

CountTokens: TypeAlias = Callable[[str], int]
# A question and its ranked hits to what packing makes of them.
Weigh: TypeAlias = "Callable[[str, Sequence[RankedHit]], Weighed]"

# How many sentences beyond the first that does not fit are tried for the room that is left.
FILL_TRIES = 20


@dataclass(frozen=True, slots=True)
class Weighed:
    """The hits of a question, each text once, and what every sentence of them is worth: the same for all knobs."""

    hits: Sequence[RankedHit]
    units: Sequence[Unit]


def weighed(standalone: str, ranked: Sequence[RankedHit]) -> Weighed:
    """Return the hits as packing takes them."""
    hits = list(without_repeats(ranked))
    return Weighed(hits, valued_units(standalone, hits))


@dataclass(frozen=True, slots=True)
class Packer:
    """Packs with the tokenizer that budgets are counted in. weigh: `weighed`, or what remembers it."""

    count_tokens: CountTokens
    weigh: Weigh = weighed

    async def __call__(self, standalone: str, ranked: Sequence[RankedHit], *, knobs: QueryKnobs) -> Packed:
        """Return passages whose texts joined by blank lines are at most `knobs.context_tokens` tokens."""
        return await asyncio.to_thread(
            pack, standalone, ranked, knobs=knobs, count_tokens=self.count_tokens, weigh=self.weigh
        )


def pack(
    standalone: str,
    ranked: Sequence[RankedHit],
    *,
    knobs: QueryKnobs,
    count_tokens: CountTokens,
    weigh: Weigh = weighed,
) -> Packed:
    """Return the passages, numbered from 1, best first, and why no more were taken. None of them is empty."""
    if relevance(ranked) < knobs.min_relevance:
        return Packed((), "irrelevant")
    found = weigh(standalone, ranked)
    hits, units = found.hits, found.units
    if not units:
        return Packed((), "exhausted")
    builder = PassageBuilder(hits, count_tokens)
    groups = groups_in_order(units, hits, redundancy=knobs.redundancy, count_tokens=builder.count)
    floor = knobs.relevance_floor * max(unit.value for unit in units)
    taken, stop = fitting(groups, builder, budget_tokens=knobs.context_tokens, floor=floor)
    return Packed(exact(taken, builder, budget_tokens=knobs.context_tokens), stop)


def relevance(ranked: Sequence[RankedHit]) -> float:
    """Return how relevant the best hits are: the mean of the highest late interaction and the highest cosine.

    In [-1, 1]; late interaction alone where no hit has a cosine, 1 for no hits, which is not irrelevance.
    """
    if not ranked:
        return 1.0
    similarity = max(item.similarity for item in ranked)
    cosine = max((item.hit.dense for item in ranked if item.hit.dense is not None), default=similarity)
    return (similarity + cosine) / 2


def fitting(
    groups: Iterator[Group], builder: PassageBuilder, *, budget_tokens: int, floor: float
) -> tuple[list[Unit], Stop]:
    """Return the units of the longest run of groups that fits and is worth at least `floor` each, and what ended it.

    Where the budget ended it, one more unit that still fits is added: the best of the next few.
    """
    taken: list[Unit] = []
    tokens = 0
    for group in groups:
        if group.value < floor:
            return taken, "relevance"
        tokens += sum(builder.most_tokens(unit) for unit in group.units)
        if tokens > budget_tokens:
            tokens = builder.tokens([*taken, *group.units])
        if tokens <= budget_tokens:
            taken += group.units
            continue
        leads = [group.lead, *(later.lead for later in islice(groups, FILL_TRIES) if later.value >= floor)]
        fill = next((lead for lead in leads if builder.tokens([*taken, lead]) <= budget_tokens), None)
        return ([*taken, fill] if fill else taken), "budget"
    return taken, "exhausted"


def exact(taken: Sequence[Unit], builder: PassageBuilder, *, budget_tokens: int) -> tuple[Passage, ...]:
    """Return the passages of these units; while their joined text is over the budget, without the last unit.

    Counted passage by passage a text can differ from the whole by a token: "/" after a line end joins it.
    """
    passages = builder.passages(taken)
    while passages and builder.count(PASSAGE_SEPARATOR.join(item.text for item in passages)) > budget_tokens:
        taken = taken[:-1]
        passages = builder.passages(taken)
    return passages


def without_repeats(ranked: Sequence[RankedHit]) -> Iterator[RankedHit]:
    """Yield the hits in order, each text once: a repetition costs its tokens again and says nothing new."""
    seen: set[str] = set()
    for ranked_hit in ranked:
        text = " ".join(ranked_hit.hit.chunk.text.split())
        if text not in seen:
            seen.add(text)
            yield ranked_hit
