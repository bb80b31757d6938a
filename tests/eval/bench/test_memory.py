"""Memory of a process, and of a service over its life."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from eval.bench.memory import Footprint, report_of, watched
from eval.bench.texts import BenchTexts
from eval.errors import BenchError
from eval.resident import MIB, Resident, resident
from tests.eval.front_desk import FrontDesk

TEXTS = BenchTexts.of(None, chunks=20, seed=0)


def test_memory_that_is_touched_is_resident() -> None:
    """64 MiB of ones are at least 60 MiB of anonymous memory more; a process that is not there is an error."""
    before = resident()
    ones = np.ones(64 * MIB, np.uint8)
    after = resident()
    assert ones.sum() == 64 * MIB
    assert after.anonymous_bytes - before.anonymous_bytes > 60 * MIB
    assert before.mib() > before.anonymous_mib() > 0
    with pytest.raises(BenchError, match="/proc/999999999/status"):
        resident(999_999_999)


def test_a_service_is_watched_from_its_start_to_its_questions() -> None:
    """All documents are sent and all questions asked before the last look; the first look sees neither."""

    async def run() -> tuple[Footprint, int]:
        desk = FrontDesk()
        async with desk.serving() as service:
            return await watched(service, TEXTS), desk.answers

    footprint, answers = asyncio.run(run())
    assert (footprint.chunks, answers) == (20, 40)
    assert min(footprint.started.mib(), footprint.filled.mib(), footprint.asked.mib()) > 1


def test_the_report_is_the_mean_of_the_rounds() -> None:
    """Two rounds of 100 and 300 MiB are 200 MiB, between both; mapped files are in the whole only."""
    small, large = Resident(100 * MIB, 0), Resident(200 * MIB, 100 * MIB)
    report = report_of([Footprint(small, small, small, 20), Footprint(large, large, large, 20)], TEXTS)
    assert report.n == 2
    assert report.metrics["rss_mib.filled"].value == pytest.approx(200)
    assert report.metrics["anonymous_mib.filled"].value == pytest.approx(150)
    assert report.metrics["rss_mib.asked"].low >= 100
    assert report.metrics["rss_mib.asked"].high <= 300
