"""The gap to each target, and which techniques still pay."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragopt.domain import TECHNIQUES
from ragopt.money.ledger import LATENCY_STEP, AnswerRow, Payer, RatingRow, latency_bound_ms
from ragopt.money.stats import percentile_ms, stats_of
from ragopt.money.targets import gaps, paying
from ragopt.settings.money import TargetSettings
from ragopt.state.ledger import DaySums, added

TODAY = date(2026, 11, 20)
ROW = AnswerRow("ans_1", 0.0, Payer("acme", "k1", {}, "default"), "small", None)


def day_of(*rows: AnswerRow | RatingRow, back: int = 0) -> DaySums:
    """Return the sums of a day on which these rows were written."""
    sums: dict[str, dict[str, dict[str, int]]] = {}
    for dimension, name, measure, amount in added([addend for row in rows for addend in row.addends()]):
        measures = sums.setdefault(dimension, {}).setdefault(name, {})
        measures[measure] = measures.get(measure, 0) + amount
    return DaySums(TODAY - timedelta(days=back), sums)


def saving(**nano: int) -> DaySums:
    """Return the sums of a day with ten answers on which techniques saved this much."""
    return DaySums(
        TODAY, {"total": {"": {"answers": 10}}, "technique": {name: {"saved": n} for name, n in nano.items()}}
    )


def test_what_is_reached_is_counted_from_the_answers() -> None:
    """Claims, abstentions, times and ratings of a day come out as the shares that targets are about."""
    rows = [replace(ROW, claims=4, supported=3, latency_ms=100.0)] * 9 + [
        replace(ROW, abstained=True, latency_ms=900.0)
    ]
    ratings = [RatingRow(f"ans_{n}", 0.0, "acme", liked=n > 0) for n in range(4)]
    quality = stats_of([day_of(*rows, *ratings)]).quality
    assert (quality.abstained, quality.claims, quality.supported) == (1, 36, 27)
    assert (quality.rated, quality.liked, quality.timed) == (4, 3, 10)
    assert quality.p50_ms is not None
    assert quality.p95_ms is not None
    assert 100 <= quality.p50_ms <= 111
    assert 900 <= quality.p95_ms <= 991


def test_the_largest_gap_comes_first_and_what_cannot_be_judged_last() -> None:
    """Twice as many unsupported claims as allowed outrank answers that are a tenth too slow."""
    rows = [replace(ROW, claims=10, supported=9, latency_ms=1_000.0)] * 20
    targets = TargetSettings(supported_share=0.95, latency_p95_ms=950, answered_share=0.9, liked_share=0.8)
    found = gaps(stats_of([day_of(*rows)]), targets)
    assert [gap.name for gap in found] == ["supported_share", "latency_p95_ms", "answered_share", "liked_share"]
    assert found[0].gap == pytest.approx(1.0)
    assert [gap.met for gap in found] == [False, False, True, None]


def test_targets_over_few_answers_are_not_judged() -> None:
    """Nineteen answers say nothing where twenty are asked for, and without any there is no gap at all."""
    targets = TargetSettings(answered_share=0.9, cost_per_answer_usd=Decimal("0.01"))
    for rows in ([ROW] * 19, []):
        assert [gap.gap for gap in gaps(stats_of([day_of(*rows)]), targets)] == [None, None]


def test_without_targets_there_are_no_gaps() -> None:
    """What nobody aims at is not judged."""
    assert gaps(stats_of([day_of(*[ROW] * 50)]), TargetSettings()) == []


def test_techniques_that_do_not_pay_are_told_apart() -> None:
    """One pays, one has stopped, one costs, and those that do nothing say so."""
    days = [saving(context=10**9, routing=10**9, retries=-(10**8)), saving(context=10**9)]
    verdicts = {pay.name: pay.verdict for pay in paying(days)}
    assert [pay.name for pay in paying(days)][:2] == ["context", "routing"]
    assert verdicts.keys() == set(TECHNIQUES)
    assert [verdicts[name] for name in ("context", "routing", "retries")] == ["pays", "stopped", "costs"]
    assert verdicts["history"] == "nothing"
    assert paying(days)[0].later_usd == 100


@given(st.lists(st.floats(min_value=0.01, max_value=600_000), min_size=1, max_size=50))
def test_a_percentile_is_at_most_a_step_too_long(times: list[float]) -> None:
    """It is never below the true one, and at most a tenth and a millisecond above it."""
    steps: dict[int, int] = {}
    for time in times:
        steps[latency_bound_ms(time)] = steps.get(latency_bound_ms(time), 0) + 1
    true = sorted(times)[-(-19 * len(times) // 20) - 1]
    found = percentile_ms(sorted(steps.items()), 0.95)
    assert found is not None
    assert true <= found * (1 + 1e-9)
    assert found <= max(true, 1.0) * LATENCY_STEP + 1
