"""Made-up candidates and rows: what a search would have measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from eval.datasets import Dataset, Query, Reference
from eval.tune.questions import Workload
from eval.tune.space import Candidate, Dimension, KnobValue, Space, candidate_of, values
from eval.tune.trials import Measured, Trial
from indexes.records import Document

TABLE = (
    Dimension("chunk size", "index", values("chunk_tokens", 60, 100)),
    Dimension("candidates", "search", values("top_k", 20, 50)),
    Dimension("token budget", "pack", values("context_tokens", 200, 400, 800)),
)


def candidate(**knobs: KnobValue) -> Candidate:
    """Return a candidate of these knobs, over 100-token chunks unless told."""
    return Candidate(tuple(({"chunk_tokens": 100} | knobs).items()))


def row(
    quality: Sequence[float], tokens: float, *, vectors: float = 1000, chunk_tokens: int = 100, top_k: int = 50
) -> Measured:
    """Return a row of these qualities, of so many tokens and compared vectors for every question."""
    n = len(quality)
    return Measured(
        candidate(chunk_tokens=chunk_tokens, top_k=top_k, context_tokens=round(tokens)),
        np.asarray(quality, np.float64),
        np.full(n, float(tokens)),
        np.full(n, float(vectors)),
        np.full(n, 10.0),
    )


def space(*dimensions: Dimension, chunk_tokens: int = 100, top_k: int = 50, context_tokens: int = 800) -> Space:
    """Return a space of these dimensions, `TABLE` unless told, with this as configured."""
    now: dict[str, KnobValue] = {"chunk_tokens": chunk_tokens, "top_k": top_k, "context_tokens": context_tokens}
    chosen = dimensions or TABLE
    return Space(
        chosen, candidate_of({knob: now.get(knob, item.choices[0][knob]) for knob in item.knobs()} for item in chosen)
    )


def workload(questions: int, *, segments: Sequence[str] = ("",), derived: bool = False) -> Workload:
    """Return two documents and questions about them by turns, each answered by the first word of one."""
    documents = (Document("tea", "Tea is hot."), Document("ice", "Ice is cold."))
    queries = tuple(Query(f"q{at}", f"question {at}", segments[at % len(segments)]) for at in range(questions))
    references = {query.id: (Reference(documents[at % 2].id, 0, 3),) for at, query in enumerate(queries)}
    return Workload(Dataset("drinks", documents, queries, {}, references), derived=derived)


class MadeUpAsk:
    """Answers as if 60-token chunks found less and every budget up to 400 tokens more; satisfies `Ask`.

    Remembers what it was asked, as (candidate, start, questions). enough: other budgets that hold all, by segment.
    """

    def __init__(self, *, dies_after: int | None = None, enough: Mapping[str, int] | None = None) -> None:
        self.asked: list[tuple[Candidate, int, int]] = []
        self._dies_after = dies_after
        self._budgets = enough or {}

    async def __call__(self, candidates: Sequence[Candidate], queries: Sequence[Query], *, start: int) -> list[Trial]:
        """Return one trial for each candidate, or die."""
        if self._dies_after is not None and len(self.asked) >= self._dies_after:
            raise KeyboardInterrupt
        self.asked += [(item, start, len(queries)) for item in candidates]
        return [self._trial(item, queries, start=start) for item in candidates]

    def _trial(self, item: Candidate, queries: Sequence[Query], *, start: int) -> Trial:
        budget = item.number("context_tokens")
        lost = 0.4 * (item.number("chunk_tokens") == 60)
        places = [int(query.id[1:]) for query in queries]
        n = len(queries)
        return Trial(
            item,
            start,
            quality=tuple(
                1.0 - lost - 0.05 * (place % 3) - 0.3 * (budget < self._enough(query))
                for place, query in zip(places, queries, strict=True)
            ),
            tokens=(round(budget) - 5,) * n,
            vectors=(round(100 * item.number("top_k")),) * n,
            ms=(5.0,) * n,
        )

    def _enough(self, query: Query) -> int:
        return self._budgets.get(query.segment, 400)
