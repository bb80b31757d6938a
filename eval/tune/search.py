"""The search: successive halving of the candidates while the questions double.

All candidates are asked a quarter of the questions. At most half of them are asked half, and with them
the leaders with every choice of the late dimensions; at most half of these are asked all. The same seed
asks the same questions in the same order, so it ends with the same rows.

Source: Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization",
AISTATS 2016. Ranked by how far a candidate is below the best one at no more cost, and what is below it
beyond the paired interval goes as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from eval.datasets import Query
from eval.tune.asking import Ask
from eval.tune.choose import Rule, distinct, pareto_front, promoted
from eval.tune.meter import Meter
from eval.tune.space import Candidate, Space
from eval.tune.trials import Measured, Trial, TrialFile, measured

SHARES = (4, 2)
# Fewer questions than this tell nothing apart.
MIN_QUESTIONS = 20


@dataclass(frozen=True, slots=True)
class Found:
    """What a search ends with.

    rows: the candidates that were asked every question. dropped: the others, each over the questions
    it was asked. rungs: how many questions each round ended at, and how many candidates took part.
    """

    rows: tuple[Measured, ...]
    dropped: tuple[Measured, ...]
    rungs: tuple[tuple[int, int], ...]
    problems: tuple[str, ...]


class Search:
    """A search over a space: who asks, what is already known, and by which rule candidates are dropped."""

    def __init__(
        self, space: Space, queries: Sequence[Query], *, ask: Ask, trials: TrialFile, meter: Meter, rule: Rule
    ) -> None:
        self._space = space
        self._queries = queries
        self._ask = ask
        self._trials = trials
        self._meter = meter
        self._rule = rule
        self._indexed: set[Candidate] = set()

    async def run(self) -> Found:
        """Return what is left and what was dropped. Finished trials are taken from the file and not repeated."""
        edges = [0, *rung_ends(len(self._queries))]
        alive = self._space.candidates()
        seen: dict[Candidate, list[Trial]] = {}
        rungs: list[tuple[int, int]] = []
        for rung in range(1, len(edges)):
            seen |= await self._asked(alive, edges[: rung + 1])
            rungs.append((edges[rung], len(alive)))
            rows, is_last = [measured(seen[candidate]) for candidate in alive], rung == len(edges) - 1
            if not is_last:
                alive = [row.candidate for row in promoted(rows, rule=self._rule, spared=self._space.configured)]
            if rung == 1:
                leaders = [row.candidate for row in distinct(pareto_front(rows))]
                alive = list(dict.fromkeys([*alive, *self._space.expanded(leaders)]))
                seen |= await self._asked(alive, edges) if is_last else {}
        left = set(alive)
        return Found(
            rows=tuple(measured(seen[candidate]) for candidate in alive),
            dropped=tuple(measured(trials) for candidate, trials in seen.items() if candidate not in left),
            rungs=tuple(rungs),
            problems=tuple(problem for trials in seen.values() for trial in trials for problem in trial.problems),
        )

    async def _asked(self, alive: Sequence[Candidate], edges: Sequence[int]) -> dict[Candidate, list[Trial]]:
        """Return the trials of each candidate up to the last edge; asks what is not in the file yet."""
        batches = list(pairwise(edges))
        self._expect(alive, batches)
        for group in self._groups(alive):
            for start, end in batches:
                missing = [candidate for candidate in group if self._trials.find(candidate, start) is None]
                if missing:
                    self._indexed.add(missing[0].index())
                    self._trials.add(await self._ask(missing, self._queries[start:end], start=start))
        found = {candidate: [self._trials.find(candidate, start) for start, _ in batches] for candidate in alive}
        return {candidate: [trial for trial in trials if trial is not None] for candidate, trials in found.items()}

    def _groups(self, candidates: Sequence[Candidate]) -> list[list[Candidate]]:
        """Return the candidates that share their hits together, and those that share an index one after the other."""
        groups: dict[Candidate, dict[Candidate, list[Candidate]]] = {}
        for candidate in candidates:
            search = candidate.of(self._space.search_knobs())
            groups.setdefault(candidate.index(), {}).setdefault(search, []).append(candidate)
        return [group for by_search in groups.values() for group in by_search.values()]

    def _expect(self, alive: Sequence[Candidate], batches: Sequence[tuple[int, int]]) -> None:
        """Tell the meter what is left if nothing more is dropped."""
        rest = len(self._queries) - batches[-1][1]
        searches = packings = 0
        indexes: set[Candidate] = set()
        for group in self._groups(alive):
            searches, packings = searches + rest, packings + rest * len(group)
            for start, end in batches:
                missing = sum(self._trials.find(candidate, start) is None for candidate in group)
                packings += missing * (end - start)
                searches += (end - start) if missing else 0
                indexes |= {group[0].index()} if missing else set()
        self._meter.expect(indexes=len(indexes - self._indexed), searches=searches, packings=packings)


def rung_ends(questions: int) -> list[int]:
    """Return after how many questions candidates are dropped, ascending, and last how many there are."""
    early = [-(-questions // share) for share in SHARES]
    return [end for end in early if MIN_QUESTIONS <= end < questions] + [questions]
