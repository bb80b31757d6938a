"""The service killed with -9 while it ingests."""

from __future__ import annotations

from eval.crash import CrashJob, crash


def test_nothing_acknowledged_is_lost_and_nothing_half_is_seen() -> None:
    """Over a few kills at random moments: missing, half, mixed and duplicate are all 0."""
    report = crash(CrashJob(kills=3, documents=40, seed=7))
    assert report.failures == ()
    values = {name: interval.value for name, interval in report.metrics.items()}
    assert values.pop("rounds_with_acknowledgements") >= 1
    assert values == {"missing": 0, "half": 0, "mixed": 0, "duplicates": 0}
