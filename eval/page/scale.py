"""From numbers to places on a drawing, and the round numbers that label an axis."""

from __future__ import annotations

import math
from dataclasses import dataclass

ROUND = (1, 2, 5, 10)


@dataclass(frozen=True, slots=True)
class Scale:
    """A line of pixels from `start` to `end` for the numbers from `low` to `high`; `log`: equal ratios, equal lengths.

    low < high, and with `log` both positive.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Return the pixel of a number, held within the line."""
        low, high, here = (self._position(number) for number in (self.low, self.high, value))
        share = min(1.0, max(0.0, (here - low) / (high - low)))
        return self.start + share * (self.end - self.start)

    def _position(self, value: float) -> float:
        return math.log(max(value, self.low / 10)) if self.log else value


def step_for(width: float, ticks: int) -> float:
    """Return the round number, 1, 2 or 5 times a power of ten, that cuts `width` into about `ticks` parts."""
    rough = width / max(ticks, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    return power * min(ROUND, key=lambda factor: abs(math.log(factor * power / rough)))


def ticks_of(low: float, high: float, *, ticks: int = 5) -> list[float]:
    """Return the round numbers within [low, high], ascending, about `ticks` of them."""
    step = step_for(high - low, ticks)
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


def doublings(low: float, high: float) -> list[float]:
    """Return 100, 200, 400 … and their halves as far as they lie within [low, high], which are positive."""
    first = math.ceil(math.log2(low / 100) - 1e-9)
    return [100 * 2.0**number for number in range(first, math.floor(math.log2(high / 100) + 1e-9) + 1)]
