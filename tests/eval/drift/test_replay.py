"""What the weeks cost, step by step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eval.drift.lineup import LINEUPS, Rate, rates_of
from eval.drift.replay import STEPS, Beginnings, Recorded, Sizes, replayed, steps_of
from eval.drift.scenario import ANSWER_TOKENS, SYSTEM_TOKENS, Ask, asks
from ragopt.domain import Tier
from ragopt.providers.usage import TOKENS_PER_MESSAGE

RECORDED = [Recorded(12, tier, 700, 4_000, 0.8, 0.8) for tier in ("simple", "simple", "medium", "complex")]
SIZES = Sizes(rules=190, history_budget=1_500)


FIRST = Ask(week=1, thread=0, turn=0, at_s=0.0, question=0, repeated=False, calls=1)
# A dollar an input token, cached at a tenth, written at one and a quarter.
RATE = Rate("m", input=1, cached=0.1, written=1.25, output=5, min_cache_tokens=1_024, lifetime_s=300)


@pytest.mark.parametrize("name", LINEUPS)
def test_parts_sum_to_the_whole(name: str) -> None:
    """What each step saved adds up to what was saved, and both sides cost something every week."""
    weeks = replayed(asks(4, repeated=0.3, seed=5), RECORDED, rates_of(LINEUPS[name]), sizes=SIZES)
    assert list(weeks.parts()) == list(STEPS)
    assert sum(weeks.parts().values()) == pytest.approx(weeks.saved)
    assert (weeks.costs[[0, -1]] > 0).all()
    assert 0 < weeks.saved < 1


def test_more_repeats_cost_us_less_and_the_baseline_the_same() -> None:
    """A repeated question costs the baseline what any question does."""
    few, many = (
        replayed(asks(4, repeated=share, seed=5), RECORDED, rates_of(LINEUPS["today"]), sizes=SIZES)
        for share in (0.1, 0.5)
    )
    assert many.baseline == pytest.approx(few.baseline, rel=0.02)
    assert many.ours < few.ours


def test_steps_of_one_request_are_the_calls_they_say() -> None:
    """Counted by hand: a first turn of a simple question, three calls in a week of retries, nothing cached yet."""
    rates: dict[Tier, Rate] = {"simple": RATE, "medium": RATE, "complex": replace(RATE, input=10, output=50)}
    item, of = replace(FIRST, calls=3), RECORDED[0]
    found = steps_of(item, of, history=2_000, rates=rates, sizes=SIZES, cache=Beginnings(rates["simple"]))
    asked = 12 + TOKENS_PER_MESSAGE
    baseline = 3 * (10 * (SYSTEM_TOKENS + 4_000 + 2_000 + asked) + 50 * ANSWER_TOKENS)
    ours = SYSTEM_TOKENS + 190 + 700 + 1_500 + asked
    written = SYSTEM_TOKENS + 190 + 1_500
    once = (ours - written) + 1.25 * written + 5 * ANSWER_TOKENS
    assert found[0] == pytest.approx(baseline)
    assert found[4] == found[5] == pytest.approx(3 * (ours + 5 * ANSWER_TOKENS))
    assert found[6:] == pytest.approx([3 * once, 1.1 * once])


def test_repeated_question_costs_nothing() -> None:
    """From the response cache on every step is free."""
    rates: dict[Tier, Rate] = {"simple": RATE, "medium": RATE, "complex": RATE}
    found = steps_of(
        replace(FIRST, repeated=True),
        RECORDED[0],
        history=0,
        rates=rates,
        sizes=SIZES,
        cache=Beginnings(rates["simple"]),
    )
    assert (found[:5] > 0).all()
    assert np.array_equal(found[5:], [0, 0, 0])


def test_provider_keeps_a_beginning_as_long_as_it_says() -> None:
    """The stable part is shared by threads, the rest is a thread's own; below the minimum nothing is kept."""
    cache = Beginnings(RATE)
    assert cache.visit(FIRST, stable=2_000, whole=2_000) == (0, 2_000)
    assert cache.visit(replace(FIRST, at_s=60.0, turn=1), stable=2_000, whole=2_400) == (2_000, 400)
    assert cache.visit(replace(FIRST, at_s=120.0, turn=2), stable=2_000, whole=2_900) == (2_400, 500)
    assert cache.visit(replace(FIRST, at_s=130.0, thread=1), stable=2_000, whole=2_000) == (2_000, 0)
    assert cache.visit(replace(FIRST, at_s=1_000.0, thread=2), stable=2_000, whole=2_000) == (0, 2_000)
    assert Beginnings(RATE).visit(FIRST, stable=300, whole=900) == (0, 0)
    assert Beginnings(replace(RATE, lifetime_s=0)).visit(FIRST, stable=2_000, whole=2_000) == (0, 0)
