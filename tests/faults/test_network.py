"""The ways to Redis, to Qdrant and to the model provider, broken under traffic for a moment each."""

from __future__ import annotations

from eval.campaign import network_provider, network_qdrant, network_redis
from eval.campaign.experiment import Size
from eval.report import Report

SMALL = Size(share=0.001, seed=3)


def counted(report: Report, faults: tuple[str, ...]) -> dict[str, float]:
    """Return what a report counted, once it is sure that no fault is among it."""
    assert report.failures == ()
    values = {name: interval.value for name, interval in report.metrics.items()}
    assert {name: values.pop(name) for name in faults} == dict.fromkeys(faults, 0)
    return values


def test_what_needs_no_redis_goes_on_without_it() -> None:
    """Questions and ingests are answered, the rest is refused with a type, and all is well again afterwards."""
    weathers = {name: network_redis.WEATHERS[name] for name in ("paused", "refused")}
    values = counted(network_redis.redis_network(SMALL, weathers=weathers), network_redis.FAULTS)
    assert values["requests"] > 2 * len(network_redis.PROMISES)
    assert values["refused_as_promised"] > 0


def test_a_provider_that_is_cut_off_is_never_taken_for_whole() -> None:
    """Answers are whole, the healthy model's, marked as partial, or an error with a type."""
    weathers = {name: network_provider.WEATHERS[name] for name in ("cut in the answer", "refused")}
    values = counted(network_provider.provider_network(SMALL, weathers=weathers), network_provider.FAULTS)
    assert values["questions"] == 16
    assert values["spare"] > 0


def test_without_qdrant_no_answer_is_made_up() -> None:
    """A question gets a grounded answer or an error that says so, and what was acknowledged stays."""
    weathers = {name: network_qdrant.WEATHERS[name] for name in ("refused", "cut later")}
    values = counted(network_qdrant.qdrant_network(SMALL, weathers=weathers), network_qdrant.FAULTS)
    assert values["answers_looked_at"] > 0
    assert values["refused_as_promised"] > 0
