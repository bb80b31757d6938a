"""Trace: what one request did, stage by stage. Passed as an argument, never a global."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from ragopt.domain import Answer, Outcome, Usage


@dataclass(frozen=True, slots=True)
class StageSpan:
    """One run of a stage; seconds since the trace was opened."""

    stage: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One attempt at a model call; seconds since the trace was opened.

    model: the configured name; requested: the provider's. start_s: when the provider was asked, or when it was
    decided not to. first_s: of its first text, None where none came. usage: None where it cost nothing. error: the
    code of the failure, "" for none.
    """

    model: str
    provider: str
    requested: str
    outcome: Outcome
    start_s: float
    first_s: float | None
    end_s: float
    usage: Usage | None
    error: str = ""


@dataclass(slots=True)
class Trace:
    """Times, facts and fallbacks of one request. Stage names equal file names in `stages/`.

    ends: when the request must be over, on the event loop's clock; never, unless a caller set it. opened_at: Unix
    seconds. calls: of models, in the order of their ends. answer: what was answered, with the labels of the question.
    """

    request_id: str
    opened: float = field(default_factory=time.perf_counter)
    spans: list[StageSpan] = field(default_factory=list)
    facts: dict[str, str | int | float | bool] = field(default_factory=dict)
    fallbacks: dict[str, str] = field(default_factory=dict)
    ends: float = math.inf
    opened_at: float = field(default_factory=time.time)
    calls: list[ModelCall] = field(default_factory=list)
    answer: Answer | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

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

    def answered(self, answer: Answer, labels: Mapping[str, str]) -> None:
        """Keep the answer, for what is counted of it."""
        self.answer, self.labels = answer, labels

    def first_text_s(self) -> tuple[float, float] | None:
        """Return our share and the provider's of the time to the first text; None where no model wrote one.

        The provider's: earlier calls whole, and the one that answered up to its first text.
        """
        released = self.facts.get("first_text_ms")
        if not isinstance(released, float) or not self.calls or self.calls[-1].first_s is None:
            return None
        provider = sum(call.end_s - call.start_s for call in self.calls[:-1])
        provider += self.calls[-1].first_s - self.calls[-1].start_s
        return max(0.0, released / 1000 - provider), provider

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


@dataclass(frozen=True, slots=True)
class RequestSeen:
    """One request that is over, as metrics, spans and the log line tell of it.

    route: the path's template, `other` where none matched. outcome: `ok`, or the code of its problem. seconds: until
    its last byte was out. traceparent: the caller's, as W3C writes it, "" for none. tenant: "" before the key passed.
    """

    method: str
    route: str
    status: int
    outcome: str
    seconds: float
    trace: Trace
    tenant: str = ""
    key_id: str = ""
    traceparent: str = ""


def covered_s(spans: list[StageSpan]) -> float:
    """Return the length of the union of the spans in seconds; 0 for none."""
    covered, reached = 0.0, 0.0
    for span in sorted(spans, key=lambda s: s.start_s):
        covered += max(0.0, span.end_s - max(reached, span.start_s))
        reached = max(reached, span.end_s)
    return covered
