"""The search over made-up answers: what is asked, what is dropped, and what a kill costs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from eval.tune.choose import Rule
from eval.tune.meter import Meter
from eval.tune.search import Found, Search, rung_ends
from eval.tune.space import Dimension, Space, values
from eval.tune.trials import TrialFile
from tests.eval.tune.rows import TABLE, MadeUpAsk, space, workload


def searched(folder: Path, ask: MadeUpAsk, *, questions: int = 80, over: Space | None = None) -> Found:
    """Return what a search over made-up answers finds, its trials in `folder`."""
    queries = workload(questions).dataset.queries
    trials = TrialFile(folder / "trials.jsonl", {"questions": questions})
    with Meter(corpus_chars=1000) as meter:
        search = Search(over or space(), queries, ask=ask, trials=trials, meter=meter, rule=Rule())
        return asyncio.run(search.run())


def test_candidates_that_are_clearly_worse_are_asked_a_quarter_only(tmp_path: Path) -> None:
    """60-token chunks lose at every budget: they see 20 of 80 questions; each round at most halves what is left."""
    ask = MadeUpAsk()
    found = searched(tmp_path, ask)
    assert [end for end, _ in found.rungs] == [20, 40, 80]
    assert {len(item.quality) for item in found.rows} == {80}
    assert [candidates for _, candidates in found.rungs] == [12, 6, 3]
    early = [item.candidate for item in found.dropped if len(item.quality) == 20]
    assert len(early) == 6
    assert {item.number("chunk_tokens") for item in early} == {60}
    assert {item.candidate.number("chunk_tokens") for item in found.rows} == {100}
    assert sum(count for item, _, count in ask.asked if item.number("chunk_tokens") == 60) == 6 * 20


def test_each_question_is_asked_of_a_candidate_once(tmp_path: Path) -> None:
    """The later rounds ask only what the earlier ones did not."""
    ask = MadeUpAsk()
    found = searched(tmp_path, ask)
    for item in found.rows:
        batches = sorted((start, count) for asked, start, count in ask.asked if asked == item.candidate)
        assert batches == [(0, 20), (20, 20), (40, 40)]


def test_the_configured_candidate_is_never_dropped(tmp_path: Path) -> None:
    """Even where it is clearly beaten, the report can compare with it over all questions."""
    found = searched(tmp_path, MadeUpAsk(), over=space(chunk_tokens=60))
    assert space(chunk_tokens=60).configured in [item.candidate for item in found.rows]


def test_few_questions_are_all_asked_at_once() -> None:
    """No round has fewer than 20 questions, and the last one has them all."""
    assert rung_ends(15) == [15]
    assert rung_ends(50) == [25, 50]
    assert rung_ends(200) == [50, 100, 200]
    assert rung_ends(373) == [94, 187, 373]


def test_late_dimensions_are_tried_on_the_leaders_after_the_first_round(tmp_path: Path) -> None:
    """A late choice is asked of what leads the first round, from its first question on, and of nothing else."""
    late = Dimension("depth", "search", values("top_k", 10, 50), late=True)
    ask = MadeUpAsk()
    found = searched(tmp_path, ask, over=space(TABLE[0], late, TABLE[2], top_k=10))
    deep = {item for item, _, _ in ask.asked if item.number("top_k") == 50}
    assert {(item.number("chunk_tokens"), item.number("context_tokens")) for item in deep} == {(100, 200), (100, 400)}
    assert all((item, 0, 20) in ask.asked for item in deep)
    assert {len(item.quality) for item in found.rows} == {80}


def test_late_dimensions_of_few_questions_are_tried_on_the_leaders_too(tmp_path: Path) -> None:
    """With one round, what leads it is asked all questions with every late choice, and nothing else is."""
    late = Dimension("depth", "search", values("top_k", 10, 50), late=True)
    found = searched(tmp_path, MadeUpAsk(), questions=10, over=space(late, TABLE[2], top_k=10))
    budgets = [item.candidate.number("context_tokens") for item in found.rows if item.candidate.number("top_k") == 50]
    assert sorted(budgets) == [200, 400]
    assert (len(found.rows), found.dropped) == (5, ())


def test_a_killed_search_goes_on_where_it_was(tmp_path: Path) -> None:
    """What was finished before the kill is not asked again, and the end is the same as without it."""
    first, second, whole = MadeUpAsk(dies_after=7), MadeUpAsk(), MadeUpAsk()
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path, first)
    resumed = searched(tmp_path, second)
    other = tmp_path / "other"
    other.mkdir()
    undisturbed = searched(other, whole)
    assert len(first.asked) > 0
    assert not set(first.asked) & set(second.asked)
    assert set(first.asked) | set(second.asked) == set(whole.asked)
    assert [item.candidate for item in resumed.rows] == [item.candidate for item in undisturbed.rows]


def test_a_finished_search_asks_nothing(tmp_path: Path) -> None:
    """A second call reads everything from the file."""
    searched(tmp_path, MadeUpAsk())
    again = MadeUpAsk()
    found = searched(tmp_path, again)
    assert again.asked == []
    assert len(found.rows) > 0
