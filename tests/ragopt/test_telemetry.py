"""The trace: stages, overlaps and totals add up."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragopt.telemetry import ModelCall, StageSpan, Trace, covered_s

SPANS = st.lists(
    st.tuples(st.floats(0, 10), st.floats(0, 5)).map(lambda pair: StageSpan("s", pair[0], sum(pair))), max_size=8
)


def test_stages_minus_overlap_plus_other_is_the_total() -> None:
    """Two stages side by side inside a third still add up."""

    async def run() -> dict[str, float]:
        trace = Trace("r")

        async def part(name: str) -> None:
            with trace.stage(name):
                await asyncio.sleep(0.01)

        await asyncio.sleep(0.005)
        with trace.stage("outer"):
            await asyncio.gather(part("one"), part("two"))
        return trace.timings_ms()

    timings = asyncio.run(run())
    stages = sum(ms for name, ms in timings.items() if name not in ("overlap", "other", "total"))
    assert stages - timings["overlap"] + timings["other"] == pytest.approx(timings["total"], abs=0.01)
    assert timings["overlap"] > 15
    assert timings["other"] > 3


def test_a_stage_that_raises_is_still_timed() -> None:
    """Failures show where the time went."""
    trace = Trace("r")

    def fail() -> None:
        with trace.stage("retrieve"):
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert "retrieve" in trace.timings_ms()


@given(SPANS)
def test_the_union_is_between_the_longest_and_the_sum(spans: list[StageSpan]) -> None:
    """Covered time counts nothing twice and misses nothing."""
    lengths = [span.end_s - span.start_s for span in spans]
    assert max(lengths, default=0) - 1e-9 <= covered_s(spans) <= sum(lengths) + 1e-9


def call(start_s: float, first_s: float | None, end_s: float) -> ModelCall:
    """Return an attempt at these times."""
    return ModelCall("m", "openai", "m", "ok", start_s, first_s, end_s, None)


def test_the_time_to_the_first_text_is_shared() -> None:
    """Earlier calls are the provider's whole, the last one up to its first text; the rest is ours."""
    trace = Trace("r", calls=[call(0.1, None, 0.3), call(0.4, 0.5, 0.9)])
    trace.note(first_text_ms=600.0)
    shares = trace.first_text_s()
    assert shares is not None
    assert shares == pytest.approx((0.3, 0.3))


def test_without_a_text_of_a_model_nothing_is_shared() -> None:
    """A cached answer, an abstention and a failed call have no such time."""
    assert Trace("r").first_text_s() is None
    silent = Trace("r", calls=[call(0.1, None, 0.3)])
    silent.note(first_text_ms=600.0)
    assert silent.first_text_s() is None
