"""Service and Redis killed with -9 in the middle of their work."""

from __future__ import annotations

from eval.campaign.experiment import Size
from eval.campaign.kills import FAULTS, kills
from eval.crash import CrashJob, crash


def test_nothing_acknowledged_is_lost_and_nothing_half_is_seen() -> None:
    """Over a few kills at random moments: missing, half, mixed and duplicate are all 0."""
    report = crash(CrashJob(kills=2, documents=24, seed=25))
    assert report.failures == ()
    values = {name: interval.value for name, interval in report.metrics.items()}
    assert values.pop("rounds_with_acknowledgements") >= 1
    assert values == {"missing": 0, "half": 0, "mixed": 0, "duplicates": 0}


def test_kills_of_service_and_redis_lose_and_mix_nothing() -> None:
    """Service, Redis and both killed under writers and readers: every promise is kept, no answer is torn or stale."""
    report = kills(Size(share=0.01, seed=5))
    assert report.failures == ()
    values = {name: interval.value for name, interval in report.metrics.items()}
    assert values["kills"] == sum(values[f"kills_of_{victim}"] for victim in ("service", "redis", "both")) == 3
    assert values["acknowledged"] > 1
    assert {name: values[name] for name in FAULTS} == dict.fromkeys(FAULTS, 0)
