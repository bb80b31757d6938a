"""Late interaction over all hits, then a cross-encoder over the best of them, as many as a deadline allows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, TypeAlias

from indexes.errors import ModelUnavailable
from indexes.ingest import indexed_text
from ragopt.domain import QueryKnobs
from ragopt.errors import ProviderError
from ragopt.ports import CountTokens
from ragopt.results import RankedHit, Retrieved
from ragopt.stages.rerank.late_interaction import compared, standardised
from ragopt.telemetry import Trace

Stopped: TypeAlias = Literal["all", "settled", "deadline", "failed"]

# Both constants were chosen with a judge simulated on the 373 questions of chroma_chunking: the log odds of a hit's
# share of the reference, and noise. 0 loses up to 34 points of recall where the judge is noisy, 1 up to 0.3 where it
# is exact; 0.5 loses at most 0.1 there.
LATE_SHARE = 0.5
# So many judged hits in a row that change nothing of what fills the budget: the rest is not asked for. Of 50 an exact
# judge sees 30 at 400 tokens and 42 at 800, which costs 1.3 and 0.2 points of recall; with 8 in a row 23 and 35, which
# costs 1.8 and 0.5.
SETTLED_AFTER = 12
# Of the latest batch in the estimate of the next: a busy machine is believed quickly, and so is a free one.
LATEST_SHARE = 0.5
# A batch that was not back in time took longer than it was waited for; how much is not known.
OVERDUE = 2.0


class Judge(Protocol):
    """A cross-encoder, wherever it runs. `tag` names it; `batch_pairs` is the most it takes at once."""

    tag: str
    batch_pairs: int

    async def scores(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """Return one finite score per text, in order, higher is better.

        Raises: `ProviderError`, `ModelUnavailable`. May be cancelled at any time.
        """

    async def close(self) -> None:
        """Free what it holds."""


@dataclass(slots=True)
class Pace:
    """How long a judge takes for a character, queues included, learned from its batches. None before the first."""

    s_per_char: float | None = None

    def fitting(self, texts: Sequence[str], *, left_s: float) -> int:
        """Return how many of the texts, from the first on, are judged within `left_s`; all while nothing is known."""
        if self.s_per_char is None:
            return len(texts)
        chars, fitting = 0, 0
        for text in texts:
            chars += len(text)
            if chars * self.s_per_char > left_s:
                break
            fitting += 1
        return fitting

    def saw(self, texts: Sequence[str], *, seconds: float) -> None:
        """Learn from a batch."""
        latest = seconds / max(1, sum(len(text) for text in texts))
        before = latest if self.s_per_char is None else self.s_per_char
        self.s_per_char = LATEST_SHARE * latest + (1 - LATEST_SHARE) * before


@dataclass(slots=True)
class Judgement:
    """What was judged of a question's hits so far: scores and o200k_base tokens, in the order of late interaction."""

    scores: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    stopped: Stopped = "all"


class CrossEncoderReranker:
    """Late interaction, then a judge over the best `rerank_depth` hits within `rerank_deadline_ms`.

    The judge takes the hits in the order of late interaction, batch by batch, while the time that
    earlier batches took says that the next one fits, and until the budget is settled (see `settled`).
    What is not back at the deadline is not waited for. A judge that fails, or judges nothing in time,
    leaves the order of late interaction to the hits it has not judged, and the trace says so.
    """

    def __init__(
        self, judge: Judge, *, count_tokens: CountTokens, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._judge = judge
        self._count_tokens = count_tokens
        self._clock = clock
        self._pace = Pace()

    async def __call__(
        self, standalone: str, retrieved: Retrieved, *, knobs: QueryKnobs, trace: Trace
    ) -> Sequence[RankedHit]:
        """Return every hit once, best first: those that were judged, then the others, see `weighed` and `exchanged`."""
        ends = self._clock() + knobs.rerank_deadline_ms / 1000
        ranked = await compared(retrieved)
        candidates = ranked[: knobs.rerank_depth]
        judgement = Judgement()
        try:
            await self._fill(judgement, standalone, candidates, ends=ends, budget_tokens=knobs.context_tokens)
        except TimeoutError:
            judgement.stopped = "deadline"
        except (ProviderError, ModelUnavailable) as error:
            judgement.stopped = "failed"
            trace.fell_back("rerank", error.detail)
        judged = len(judgement.scores)
        if judgement.stopped == "deadline" and not judged:
            trace.fell_back("rerank", f"nothing was judged within {knobs.rerank_deadline_ms} ms")
        trace.note(rerank_judged=judged, rerank_cut=len(candidates) - judged, rerank_stopped=judgement.stopped)
        return exchanged(ranked, weighed(ranked, judgement.scores))

    async def _fill(
        self, judgement: Judgement, standalone: str, candidates: Sequence[RankedHit], *, ends: float, budget_tokens: int
    ) -> None:
        """Judge candidates into `judgement`, and set why it stopped. Raises: `TimeoutError` and what the judge does."""
        texts = [pair_text(item) for item in candidates]
        while len(judgement.scores) < len(texts):
            at, left_s = len(judgement.scores), ends - self._clock()
            waiting = texts[at : at + self._judge.batch_pairs]
            # The first is always tried: an estimate that nothing ever corrects would end all judging.
            size = max(self._pace.fitting(waiting, left_s=left_s), 0 if at else 1)
            if left_s <= 0 or not size:
                judgement.stopped = "deadline"
                return
            judgement.scores += await self._timed(standalone, waiting[:size], left_s=left_s)
            judgement.tokens += [self._count_tokens(item.hit.chunk.text) for item in candidates[at : at + size]]
            if settled(weighed(candidates, judgement.scores), judgement.tokens, budget_tokens=budget_tokens):
                judgement.stopped = "settled"
                return

    async def _timed(self, standalone: str, texts: Sequence[str], *, left_s: float) -> Sequence[float]:
        """Return the scores of one batch, and learn its pace. Raises: `TimeoutError` after `left_s`."""
        started = self._clock()
        try:
            async with asyncio.timeout(left_s):
                scores = await self._judge.scores(standalone, texts)
        except TimeoutError:
            self._pace.saw(texts, seconds=OVERDUE * (self._clock() - started))
            raise
        self._pace.saw(texts, seconds=self._clock() - started)
        return scores


def pair_text(item: RankedHit) -> str:
    """Return what is judged of a hit: its title and its text, without invisible characters."""
    chunk = item.hit.chunk
    return indexed_text(chunk.text, title=chunk.title, heading="")


def weighed(ranked: Sequence[RankedHit], scores: Sequence[float]) -> list[float]:
    """Return what the first `len(scores)` hits are ordered by: z(judge) + 0.5 z(late interaction), over them alone.

    Two opinions that err in different places: a judge that is sure outweighs late interaction, one
    that cannot tell leaves it in place. Standardised, because every cross-encoder has its own scale.
    """
    late = standardised([item.score for item in ranked[: len(scores)]])
    return [float(score) for score in standardised(scores) + LATE_SHARE * late]


def settled(scores: Sequence[float], tokens: Sequence[int], *, budget_tokens: int) -> bool:
    """Return whether what fills the budget is taken as found; both lists are in the order of late interaction.

    That is so when the hits of the highest scores fill it, and none of the last 12 that were judged is
    among them: the rest, which late interaction puts lower still, is taken as unable to get in. A rule
    of patience, not a proof: `python -m eval rerank` prints what it costs.
    """
    filled, latest = 0, -1
    for at in sorted(range(len(scores)), key=lambda at: -scores[at]):
        filled += tokens[at]
        latest = max(latest, at)
        if filled >= budget_tokens:
            return len(scores) - 1 - latest >= SETTLED_AFTER
    return False


def exchanged(ranked: Sequence[RankedHit], scores: Sequence[float]) -> list[RankedHit]:
    """Return the hits with the first `len(scores)` of them ordered by those scores, of equal ones the earlier first.

    The judged hits exchange their late-interaction scores among each other: the best judged gets the
    highest. So judged hits stay ahead of the others, which late interaction put lower, scores fall
    along the list, and stay on one scale, whatever a cross-encoder's own is.
    """
    order = sorted(range(len(scores)), key=lambda at: -scores[at])
    judged = [replace(ranked[at], score=ranked[place].score) for place, at in enumerate(order)]
    return [*judged, *ranked[len(scores) :]]
