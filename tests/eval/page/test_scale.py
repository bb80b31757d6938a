"""Places and round numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.page.scale import Scale, doublings, step_for, ticks_of


def test_a_number_has_its_place_between_the_ends() -> None:
    """Half of the range is half of the line; with equal ratios the geometric middle is; beyond the ends is the end."""
    assert Scale(0, 10, 100, 200).at(5) == 150
    assert Scale(0, 10, 200, 100).at(2) == 180
    assert Scale(100, 400, 0, 10, log=True).at(200) == pytest.approx(5)
    assert [Scale(0, 10, 100, 200).at(value) for value in (-1, 11)] == [100, 200]
    assert Scale(100, 400, 0, 10, log=True).at(0) == 0


@given(st.floats(-1e4, 1e4), st.floats(0.01, 1e4), st.integers(2, 8))
def test_ticks_are_round_and_within(low: float, width: float, ticks: int) -> None:
    """Ticks ascend in equal steps of 1, 2 or 5 times a power of ten, and there are about as many as asked for."""
    found = ticks_of(low, low + width, ticks=ticks)
    step = step_for(width, ticks)
    assert f"{step:.0e}"[0] in "125"
    assert all(low - step / 1e6 <= tick <= low + width + step / 1e6 for tick in found)
    assert all(tick / step == pytest.approx(round(tick / step), abs=1e-6) for tick in found)
    assert ticks / 2 - 1 <= len(found) <= 2 * ticks + 1


def test_doublings_are_what_lies_within() -> None:
    """Doubles and halves of 100."""
    assert doublings(90, 1_700) == [100, 200, 400, 800, 1_600]
    assert doublings(25, 100) == [25, 50, 100]
