"""Random ingests, updates, deletions and questions over real engines: nothing stale is served, little is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from eval.cache.freshness import FreshnessJob, freshness
from indexes.ingest import TextEncoder
from tests.environment import campaign_examples
from tests.fakes import WordEncoder


@contextmanager
def words() -> Iterator[TextEncoder]:
    yield WordEncoder()


@pytest.mark.campaign
def test_nothing_stale_is_served_and_little_is_killed_without_need() -> None:
    """Of what emptying the cache with every change would kill, at most a fifth is killed without need."""
    report = freshness(FreshnessJob(operations=campaign_examples(2_000, times=5), seed=11), encoders=words)
    values = {name: interval.value for name, interval in report.metrics.items()}
    assert report.failures == ()
    assert values["stale_served"] == 0
    assert values["hits"] > values["asked"] / 10
    assert values["killed_by_a_flush"] > values["asked"] / 10
    assert values["needless_share_of_flush"] <= 0.2
