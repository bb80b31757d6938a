"""The line chart."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from eval.plot import Chart, Curve, Scale

SVG = "{http://www.w3.org/2000/svg}"


def drawn(chart: Chart) -> ET.Element:
    """Return the root of the chart's document."""
    return ET.fromstring(chart.svg())  # noqa: S314 - made by the code under test


def test_every_point_is_drawn_where_its_values_say() -> None:
    """Larger sizes lie further right, larger times higher; equal ratios of sizes are equal distances."""
    curve = Curve("p95 & more", [(1_000, 1.0), (10_000, 4.0), (100_000, 9.0)])
    root = drawn(Chart("growth <1>", "chunks", "ms", [curve, Curve("p50", [(1_000, 0.5)])], limit=15.0))
    circles = [(float(item.attrib["cx"]), float(item.attrib["cy"])) for item in root.iter(f"{SVG}circle")]
    assert len(circles) == 4
    xs, ys = [x for x, _ in circles[:3]], [y for _, y in circles[:3]]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)
    assert ys == sorted(ys, reverse=True)
    words = {item.text for item in root.iter(f"{SVG}text")}
    assert {"growth <1>", "p95 & more", "p50", "1,000", "100,000", "target 15"} <= words


def test_one_size_alone_can_be_drawn_and_none_cannot() -> None:
    """A single point lies inside the picture; without a point there is nothing to draw."""
    root = drawn(Chart("one", "x", "y", [Curve("a", [(100, 0.0)])]))
    (circle,) = root.iter(f"{SVG}circle")
    assert 0 < float(circle.attrib["cx"]) < 720
    with pytest.raises(ValueError, match="needs a point"):
        Chart("none", "x", "y", [Curve("a", [])]).svg()


@pytest.mark.parametrize("highest", [0.003, 0.7, 1.0, 9.0, 42.0, 1_234.0])
def test_ticks_are_few_round_and_below_the_top(highest: float) -> None:
    """Whatever the largest value, there are three to seven heights, the first 0."""
    scale = Scale.of([(1.0, highest)], limit=None)
    ticks = scale.y_ticks()
    assert ticks[0] == 0
    assert 3 <= len(ticks) <= 7
    assert ticks[-1] <= scale.y_top
