"""Trace: what one request did, stage by stage. Passed as an argument, never a global."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StageSpan:
    """One run of a stage; seconds since the trace was opened."""

    stage: str
    start_s: float
    end_s: float


@dataclass(slots=True)
class Trace:
    """Times, facts and fallbacks of one request. Stage names equal file names in `stages/`.

    ends: when the request must be over, on the event loop's clock; never, unless a caller set it.
    """

    request_id: str
    opened: float = field(default_factory=time.perf_counter)
    spans: list[StageSpan] = field(default_factory=list)
    facts: dict[str, str | int | float | bool] = field(default_factory=dict)
    fallbacks: dict[str, str] = field(default_factory=dict)
    ends: float = math.inf

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Record the time of the block under `name`, also when it raises."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.spans.append(StageSpan(name, start - self.opened, time.perf_counter() - self.opened))

    def note(self, **facts: str | int | float | bool) -> None:
        """Keep facts about the request: counts, decisions, digests."""
        self.facts.update(facts)

    def fell_back(self, stage: str, reason: str) -> None:
        """Record that an optional stage failed and the request went on without it."""
        self.fallbacks[stage] = reason

    def timings_ms(self) -> dict[str, float]:
        """Return milliseconds per stage, and `overlap`, `other` and `total`.

        Each stage is the sum of its runs. `overlap` is what ran side by side, counted once for
        every stage beyond the first; `other` is time in no stage. So the stages - overlap + other
        = total, up to rounding.
        """
        total = time.perf_counter() - self.opened
        stages: dict[str, float] = {}
        for span in self.spans:
            stages[span.stage] = stages.get(span.stage, 0.0) + span.end_s - span.start_s
        covered = covered_s(self.spans)
        rows = {**stages, "overlap": sum(stages.values()) - covered, "other": total - covered, "total": total}
        return {name: round(1000 * seconds, 3) for name, seconds in rows.items()}


def covered_s(spans: list[StageSpan]) -> float:
    """Return the length of the union of the spans in seconds; 0 for none."""
    covered, reached = 0.0, 0.0
    for span in sorted(spans, key=lambda s: s.start_s):
        covered += max(0.0, span.end_s - max(reached, span.start_s))
        reached = max(reached, span.end_s)
    return covered
