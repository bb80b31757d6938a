"""A cross-encoder over the best hits: how many fit, when the budget is settled, what becomes of failures."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.errors import ModelUnavailable
from indexes.records import EncodedQuestion, Hit, StoredChunk
from ragopt.domain import QueryKnobs
from ragopt.errors import ProviderUnavailable
from ragopt.results import RankedHit, Retrieved
from ragopt.stages.rerank.judging import (
    SETTLED_AFTER,
    CrossEncoderReranker,
    Pace,
    exchanged,
    pair_text,
    settled,
    weighed,
)
from ragopt.stages.rerank.late_interaction import late_interaction
from ragopt.telemetry import Trace
from tests.cross_encoders import Clock, SimulatedJudge
from tests.fakes import ranked_hit

# A budget that is never full, and time that is never up.
UNBOUNDED = QueryKnobs(context_tokens=100_000, rerank_deadline_ms=60_000)


def found(count: int) -> Retrieved:
    """Return hits that late interaction ranks 0, 1, 2, …: each has one token vector, less and less like the question's.

    Their texts have one length, so that each takes a judge the same time.
    """
    question = EncodedQuestion(np.ones(8, np.float32), np.ones((1, 128), np.float32), np.ones(1, np.float32))
    hits = []
    for n in range(count):
        text = f"text {n:03d}"
        bits = np.packbits(np.arange(128) >= n)[None, :]
        chunk = StoredChunk(f"c{n}", "d", 1, "", n, n + 8, ((n, n + 8),), text)
        hits.append(Hit(chunk, bits, unit_tokens=(0, len(bits)), dense=None, bm25=None, fused=1.0))
    return Retrieved(question, tuple(hits), 1)


def reranked(
    judge: SimulatedJudge, retrieved: Retrieved, *, knobs: QueryKnobs = UNBOUNDED
) -> tuple[Sequence[RankedHit], Trace]:
    """Return what a fresh reranker makes of the hits, ten tokens each, and its trace."""
    reranker = CrossEncoderReranker(judge, count_tokens=lambda _: 10, clock=judge.clock)
    trace = Trace("r")
    return asyncio.run(reranker("question", retrieved, knobs=knobs, trace=trace)), trace


def places(ranked: Sequence[RankedHit]) -> list[int]:
    """Return the places that late interaction gave the hits, in their new order."""
    return [item.hit.chunk.start for item in ranked]


def last_is_best(question: str, text: str) -> float:
    """Return the number in the text: the reverse of late interaction."""
    return float(text.rsplit(maxsplit=1)[-1])


def first_is_best(question: str, text: str) -> float:
    """Return the order of late interaction."""
    return -last_is_best(question, text)


def test_the_judged_come_in_the_judges_order_and_the_others_after_them() -> None:
    """Of ten hits the four that may be judged are reversed; each place keeps its score, so scores fall."""
    retrieved = found(10)
    ranked, trace = reranked(
        SimulatedJudge(Clock(), score=last_is_best), retrieved, knobs=replace(UNBOUNDED, rerank_depth=4)
    )
    assert places(ranked) == [3, 2, 1, 0, 4, 5, 6, 7, 8, 9]
    assert [item.score for item in ranked] == [item.score for item in late_interaction(retrieved)]
    assert trace.facts == {"rerank_judged": 4, "rerank_cut": 0, "rerank_stopped": "all"}
    assert trace.fallbacks == {}


def test_equal_scores_keep_the_order_of_late_interaction() -> None:
    """A judge that cannot tell changes nothing."""
    ranked, _ = reranked(SimulatedJudge(Clock(), score=lambda *_: 1.0), found(6))
    assert places(ranked) == list(range(6))


def test_batches_shrink_to_what_is_left_of_the_deadline() -> None:
    """At 11 ms a text, 120 ms take two batches of four, then two more texts: ten are judged, 40 cut off."""
    judge = SimulatedJudge(Clock(), s_per_text=0.011, score=last_is_best)
    ranked, trace = reranked(judge, found(50), knobs=replace(UNBOUNDED, rerank_deadline_ms=120))
    assert [len(batch) for batch in judge.batches] == [4, 4, 2]
    assert trace.facts == {"rerank_judged": 10, "rerank_cut": 40, "rerank_stopped": "deadline"}
    assert places(ranked) == [*range(9, -1, -1), *range(10, 50)]
    assert trace.fallbacks == {}


def test_the_next_question_knows_the_pace() -> None:
    """A judge that takes 50 ms a text is given two texts of the second question, not a batch that cannot be back."""
    judge = SimulatedJudge(Clock(), s_per_text=0.05)
    reranker = CrossEncoderReranker(judge, count_tokens=lambda _: 10, clock=judge.clock)
    knobs = replace(UNBOUNDED, rerank_deadline_ms=120)
    for _ in range(2):
        asyncio.run(reranker("question", found(10), knobs=knobs, trace=Trace("r")))
    assert [len(batch) for batch in judge.batches] == [4, 2]


def test_a_judge_that_was_slow_gets_another_chance() -> None:
    """However bad the estimate, one text of the next question is tried, so that a fast judge is noticed again."""
    judge = SimulatedJudge(Clock(), s_per_text=10)
    reranker = CrossEncoderReranker(judge, count_tokens=lambda _: 10, clock=judge.clock)
    knobs = replace(UNBOUNDED, rerank_deadline_ms=120)
    asyncio.run(reranker("question", found(4), knobs=knobs, trace=Trace("r")))
    judge.s_per_text = 0.0001
    for _ in range(20):
        trace = Trace("r")
        asyncio.run(reranker("question", found(12), knobs=knobs, trace=trace))
    assert len(judge.batches[1]) == 1
    assert trace.facts["rerank_stopped"] == "all"


@given(
    sizes=st.tuples(st.integers(0, 30), st.integers(1, 40), st.integers(1, 8)),
    deadline_ms=st.integers(1, 300),
    s_per_text=st.floats(0.0001, 0.2),
)
def test_every_hit_is_there_once_and_every_one_is_accounted_for(
    sizes: tuple[int, int, int], deadline_ms: int, s_per_text: float
) -> None:
    """Whatever the speed: a permutation, judged and cut add up, and only the first batch may pass the deadline."""
    count, depth, batch_pairs = sizes
    judge = SimulatedJudge(Clock(), s_per_text=s_per_text, batch_pairs=batch_pairs, score=last_is_best)
    knobs = replace(UNBOUNDED, rerank_depth=depth, rerank_deadline_ms=deadline_ms)
    ranked, trace = reranked(judge, found(count), knobs=knobs)
    assert sorted(places(ranked)) == list(range(count))
    judged, cut = trace.facts["rerank_judged"], trace.facts["rerank_cut"]
    assert (judged, int(judged) + int(cut)) == (sum(map(len, judge.batches)), min(count, depth))
    assert len(judge.batches) <= 1 or judge.clock.now <= deadline_ms / 1000 + 1e-9


def test_judging_ends_when_the_budget_is_settled() -> None:
    """Three hits of ten tokens fill 30; twelve more that change nothing of it end the judging, a batch of one each."""
    judge = SimulatedJudge(Clock(), score=first_is_best, batch_pairs=1)
    _, trace = reranked(judge, found(40), knobs=replace(UNBOUNDED, context_tokens=30))
    assert trace.facts == {
        "rerank_judged": 3 + SETTLED_AFTER,
        "rerank_cut": 37 - SETTLED_AFTER,
        "rerank_stopped": "settled",
    }


def test_a_budget_that_still_changes_is_not_settled() -> None:
    """A judge that prefers what late interaction put last is asked to the end."""
    _, trace = reranked(
        SimulatedJudge(Clock(), score=last_is_best), found(40), knobs=replace(UNBOUNDED, context_tokens=30)
    )
    assert (trace.facts["rerank_judged"], trace.facts["rerank_stopped"]) == (40, "all")


def test_a_budget_that_is_not_full_is_not_settled() -> None:
    """As long as there is room, whatever is judged next may be packed."""
    scores, tokens = [-float(n) for n in range(30)], [10] * 30
    full = 10 * (30 - SETTLED_AFTER)
    assert settled(scores, tokens, budget_tokens=full)
    assert not settled(scores, tokens, budget_tokens=full + 1)
    assert not settled(scores, tokens, budget_tokens=301)
    assert not settled([], [], budget_tokens=1)


def test_late_interaction_has_half_a_say() -> None:
    """What the judge tells apart by far it decides; what it hardly tells apart stays as late interaction had it."""
    before = [ranked_hit("text", score=score, n=n) for n, score in enumerate((0.9, 0.5, 0.4))]
    far, near = weighed(before, [0.0, 0.1, 9.0]), weighed(before, [5.0, 5.1, -9.0])
    assert max(far) == far[2]
    assert near[0] > near[1] > near[2]
    assert weighed(before, []) == []
    assert weighed(before, [1.0, 1.0]) == pytest.approx([0.5, -0.5])


@pytest.mark.parametrize("failure", [ProviderUnavailable("it is down"), ModelUnavailable("it is broken")])
def test_a_judge_that_fails_leaves_late_interaction(failure: Exception) -> None:
    """The order is late interaction's, and the trace says what happened."""
    ranked, trace = reranked(SimulatedJudge(Clock(), fails_after=0, failure=failure), found(5))
    assert places(ranked) == [0, 1, 2, 3, 4]
    assert trace.fallbacks == {"rerank": str(failure)}
    assert trace.facts == {"rerank_judged": 0, "rerank_cut": 5, "rerank_stopped": "failed"}


def test_what_was_judged_before_a_failure_counts() -> None:
    """The first batch keeps its order; the hits after it keep late interaction's."""
    judge = SimulatedJudge(Clock(), score=last_is_best, fails_after=1, failure=ProviderUnavailable("gone"))
    ranked, trace = reranked(judge, found(6))
    assert places(ranked) == [3, 2, 1, 0, 4, 5]
    assert trace.fallbacks == {"rerank": "gone"}
    assert trace.facts["rerank_judged"] == 4


def test_nobody_waits_for_a_judge_past_the_deadline() -> None:
    """A judge that never comes back costs the deadline, and the trace says that nothing was judged."""
    judge = SimulatedJudge(Clock(), fails_after=0)
    ranked, trace = reranked(judge, found(5), knobs=replace(UNBOUNDED, rerank_deadline_ms=20))
    assert places(ranked) == [0, 1, 2, 3, 4]
    assert trace.fallbacks == {"rerank": "nothing was judged within 20 ms"}
    assert trace.facts == {"rerank_judged": 0, "rerank_cut": 5, "rerank_stopped": "deadline"}


def test_a_batch_that_is_late_cuts_the_rest_off() -> None:
    """What was judged before it counts, and that is no fallback."""
    judge = SimulatedJudge(Clock(), score=last_is_best, s_per_text=0, fails_after=1)
    ranked, trace = reranked(judge, found(6), knobs=replace(UNBOUNDED, rerank_deadline_ms=20))
    assert places(ranked) == [3, 2, 1, 0, 4, 5]
    assert (trace.facts["rerank_stopped"], trace.fallbacks) == ("deadline", {})


def test_a_stranger_to_the_protocol_is_not_hidden() -> None:
    """Only what a judge may raise falls back: a mistake of ours is seen."""
    with pytest.raises(ZeroDivisionError):
        reranked(SimulatedJudge(Clock(), fails_after=0, failure=ZeroDivisionError()), found(2))


def test_without_hits_nothing_is_judged() -> None:
    """None of nothing is nothing."""
    judge = SimulatedJudge(Clock())
    ranked, trace = reranked(judge, found(0))
    assert (list(ranked), judge.batches, trace.fallbacks) == ([], [], {})
    assert trace.facts == {"rerank_judged": 0, "rerank_cut": 0, "rerank_stopped": "all"}


def test_a_pair_has_the_title_above_the_text() -> None:
    """What is judged is what was indexed: the title on a line of its own, no invisible characters."""
    assert pair_text(ranked_hit("A\u200b text.", n=3)) == "Title 3\nA text."


def test_the_pace_learns_from_each_batch() -> None:
    """Nothing known, everything fits; then half of what was known and half of the latest."""
    pace = Pace()
    assert pace.fitting(["aaaa", "bbbb"], left_s=0.001) == 2
    pace.saw(["aaaa"], seconds=0.4)
    assert pace.fitting(["aa", "bb", "cc"], left_s=0.41) == 2
    pace.saw(["aa"], seconds=0.6)
    assert pace.s_per_char == pytest.approx(0.2)
    assert pace.fitting([], left_s=1) == 0


@given(st.lists(st.floats(-20, 20), max_size=8), st.integers(0, 5))
def test_the_judged_exchange_their_scores(scores: list[float], unjudged: int) -> None:
    """The judge's order among the judged, late interaction's scores at every place, the others where they were."""
    before = [ranked_hit("text", score=10.0 - n, n=n) for n in range(len(scores) + unjudged)]
    after = exchanged(before, scores)
    assert [item.score for item in after] == [item.score for item in before]
    by_hit = dict(zip((item.hit.chunk.id for item in before), scores, strict=False))
    ordered = [by_hit[item.hit.chunk.id] for item in after[: len(scores)]]
    assert ordered == sorted(scores, reverse=True)
    assert after[len(scores) :] == before[len(scores) :]
