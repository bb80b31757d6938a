"""Results as a job gives them, made up for a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eval.report import Cases, Origin, Report, rounded, segments_of


def report_from(
    values: Mapping[str, Sequence[float]],
    *,
    job: str = "retrieval",
    segments: Sequence[str] = (),
    config: Mapping[str, str | int] | None = None,
    origin: Origin | None = None,
) -> Report:
    """Return the report on a set `tea` whose questions q0, q1 … scored `values`, one column per metric."""
    n = len(next(iter(values.values())))
    cases = Cases(
        ids=tuple(f"q{at}" for at in range(n)),
        segments=tuple(segments) or ("",) * n,
        values={name: rounded(column) for name, column in values.items()},
    )
    return Report(
        job=job,
        set="tea",
        n=n,
        seed=0,
        config={"top_k": 50} if config is None else config,
        metrics=cases.metrics(seed=0),
        segments=segments_of(cases, seed=0),
        cases=cases,
        origin=origin,
    )
