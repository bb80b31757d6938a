"""The front, what is dropped, and the profiles, on rows where the right choice is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.tune.choose import Profiles, Rule, distinct, pareto_front, promoted, standard_errors
from eval.tune.trials import Measured
from tests.eval.tune.rows import candidate, row

RULE = Rule(tolerance=0.02, seed=0)
N = 100
WAVE = [0.8 + 0.1 * (at % 3 - 1) for at in range(N)]


def shifted(by: float) -> list[float]:
    """Return the same qualities, each moved by as much: a difference that no interval hides."""
    return [value + by for value in WAVE]


def mixed(by: float) -> list[float]:
    """Return qualities that differ from the first by `by` in the mean and by much more in each case."""
    return [value + by + (0.5 if at % 2 else -0.5) for at, value in enumerate(WAVE)]


ROWS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(1, 2000)).map(lambda drawn: row([drawn[0]], drawn[1])),
    min_size=1,
    max_size=30,
)


@given(ROWS)
def test_nothing_beats_a_row_of_the_front_and_something_beats_all_others(rows: list[Measured]) -> None:
    """Every row is on the front, or a row of the front costs no more and is no worse."""
    front = pareto_front(rows)
    for kept in front:
        assert not any(
            other.mean_quality() >= kept.mean_quality()
            and other.mean_tokens() <= kept.mean_tokens()
            and (other.mean_quality(), other.mean_tokens()) != (kept.mean_quality(), kept.mean_tokens())
            for other in rows
        )
    for other in rows:
        assert any(k.mean_quality() >= other.mean_quality() and k.mean_tokens() <= other.mean_tokens() for k in front)


@given(ROWS)
def test_the_front_rises(rows: list[Measured]) -> None:
    """Along the front both cost and quality grow."""
    front = pareto_front(rows)
    assert all(a.mean_tokens() < b.mean_tokens() for a, b in zip(front, front[1:], strict=False))
    assert all(a.mean_quality() < b.mean_quality() for a, b in zip(front, front[1:], strict=False))


@given(ROWS)
def test_a_front_for_readers_leaves_out_only_what_a_better_row_at_the_same_cost_stands_for(
    rows: list[Measured],
) -> None:
    """For each row that is left out a kept one is better and costs at most a hundredth more."""
    front = pareto_front(rows)
    kept = distinct(front)
    assert kept[-1] is front[-1]
    for item in front:
        assert item in kept or any(
            other.mean_quality() > item.mean_quality() and other.mean_tokens() <= 1.01 * item.mean_tokens()
            for other in kept
        )


def test_balanced_is_the_cheapest_that_is_not_clearly_worse() -> None:
    """200 tokens lose for certain, 400 lose nothing that the interval can see, 800 are the best."""
    rows = [row(shifted(-0.05), 200), row(mixed(-0.01), 400), row(WAVE, 800)]
    chosen = RULE.profiles(rows)
    assert [item.mean_tokens() for item in (chosen.quality, chosen.balanced)] == [800, 400]


def test_cost_takes_the_tolerated_loss_and_no_more() -> None:
    """A certain loss of 1.5 points is within 2, one of 3 points is not."""
    rows = [row(shifted(-0.03), 100), row(shifted(-0.015), 200), row(shifted(-0.001), 400), row(WAVE, 800)]
    chosen = RULE.profiles(rows)
    assert [item.mean_tokens() for item in (chosen.balanced, chosen.cost)] == [800, 200]
    assert Rule(tolerance=0.04).profiles(rows).cost.mean_tokens() == 100
    assert Rule(tolerance=0).profiles(rows).cost.mean_tokens() == 800


def test_cost_is_never_dearer_than_balanced() -> None:
    """Where the interval is so wide that balanced loses more than is tolerated, cost is the same."""
    chosen = RULE.profiles([row(mixed(-0.04), 200), row(WAVE, 800)])
    assert chosen.balanced.mean_tokens() == chosen.cost.mean_tokens() == 200


def test_latency_compares_least_at_no_more_tokens() -> None:
    """The fastest that is not clearly worse than balanced; what is faster but dearer or worse is not it."""
    balanced = row(WAVE, 400, vectors=5000, top_k=50)
    faster = row(WAVE, 400, vectors=2000, top_k=20)
    worse = row(shifted(-0.05), 400, vectors=500, top_k=5)
    dearer = row(WAVE, 800, vectors=100, top_k=1)
    assert RULE.profiles([balanced, worse, dearer]).latency is balanced
    assert RULE.profiles([balanced, faster, worse, dearer]).latency is faster


def test_a_cross_encoder_is_more_work_than_any_number_of_vectors() -> None:
    """Pairs that a cross-encoder judges count before token vectors."""
    shallow = row(WAVE, 400, vectors=9000)
    shallow = Measured(candidate(rerank_depth=10), shallow.quality, shallow.tokens, shallow.vectors, shallow.ms)
    deep = row(WAVE, 400, vectors=10)
    deep = Measured(candidate(rerank_depth=50), deep.quality, deep.tokens, deep.vectors, deep.ms)
    assert RULE.fastest([deep, shallow], deep) is shallow


def test_profiles_share_one_index() -> None:
    """The best is over 60-token chunks, but a service has one index: that of the balanced choice."""
    rows = [
        row(mixed(0.01), 800, chunk_tokens=60),
        row(WAVE, 400, chunk_tokens=100),
        row(shifted(0.005), 900, chunk_tokens=100),
    ]
    chosen = RULE.profiles(rows)
    assert (chosen.best, chosen.balanced, chosen.quality) == (rows[0], rows[1], rows[2])
    assert {item.candidate.index() for _, item in chosen.named()} == {rows[1].candidate.index()}


@settings(max_examples=10)
@given(st.permutations(range(6)))
def test_the_choice_does_not_depend_on_the_order_of_the_rows(order: list[int]) -> None:
    """Any order, equal rows included, gives the same profiles."""
    rows = [row(shifted(0.01 * (at // 2)), 200 + at // 2, top_k=at) for at in range(6)]

    def labels(chosen: Profiles) -> list[str]:
        return [item.candidate.label() for _, item in chosen.named()]

    assert labels(RULE.profiles([rows[at] for at in order])) == labels(RULE.profiles(rows))


NOTHING = candidate(top_k=99)


def test_what_is_clearly_worse_at_no_less_cost_is_dropped() -> None:
    """Dominated rows go, save the spared one; a cheaper row and one that may be as good stay."""
    best, cheaper, unsure = row(WAVE, 400, top_k=1), row(shifted(-0.3), 200, top_k=2), row(mixed(-0.01), 400, top_k=3)
    beaten = [row(shifted(-0.02), 400, top_k=top_k) for top_k in (4, 5, 6)]
    rows = [best, cheaper, unsure, *beaten]
    assert promoted(rows, rule=RULE, spared=NOTHING) == [best, cheaper, unsure]
    assert promoted(rows[:4], rule=RULE, spared=NOTHING) == [best, cheaper]
    assert promoted([cheaper, *beaten, best], rule=RULE, spared=beaten[0].candidate) == [cheaper, beaten[0], best]


def test_means_of_one_budget_that_differ_by_less_than_a_hundredth_cost_the_same() -> None:
    """396 tokens instead of 399 do not save a row that is clearly worse."""
    best, beaten = row(WAVE, 399), row(shifted(-0.02), 396)
    assert promoted([best, beaten], rule=RULE, spared=NOTHING) == [best]


@given(ROWS)
def test_at_most_half_go_on_and_what_is_best_at_its_cost_among_them(rows: list[Measured]) -> None:
    """Never more than half go on; a front that is no more than half goes on whole."""
    different = list({item.candidate: item for item in rows}.values())
    room = (len(different) + 1) // 2
    kept = promoted(different, rule=RULE, spared=NOTHING)
    assert 1 <= len(kept) <= room
    front = distinct(pareto_front(different))
    assert len(front) > room or all(item in kept for item in front)


def test_distance_is_counted_in_standard_errors() -> None:
    """The mean of 1 and 3 is 2, their standard error 1 / √2; what never differs is 0 from itself."""
    assert standard_errors(np.array([1.0, 3.0])) == pytest.approx(2 * 2**0.5)
    assert standard_errors(np.zeros(3)) == 0
    assert standard_errors(np.full(3, 0.5)) == np.inf


def test_the_same_quality_is_never_worse() -> None:
    """A row against itself and its equal: no resampling decides it."""
    twin = row(WAVE, 300)
    assert not RULE.is_worse(twin, row(WAVE, 800))
    assert np.isclose(RULE.difference(twin, twin).high, 0)
