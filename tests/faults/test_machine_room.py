"""The machine under the service: a disk without room, and a long time."""

from __future__ import annotations

import pytest

from eval.campaign import disk, soak
from eval.campaign.experiment import Size


def test_a_full_disk_loses_nothing() -> None:
    """What was acknowledged before and while the disk is full is there afterwards, and writing goes on."""
    report = disk.disk_full(Size(share=0.001, seed=2))
    values = {name: interval.value for name, interval in report.metrics.items()}
    if not values["fills"]:
        pytest.skip("this system lets nobody mount a small disk")
    assert report.failures == ()
    assert {name: values[name] for name in disk.FAULTS} == dict.fromkeys(disk.FAULTS, 0)
    assert values["writes_refused"] > 0


def test_mixed_traffic_keeps_every_promise() -> None:
    """Writers, readers, conversations, uploads and callers that hang up: nothing is lost, mixed or refused."""
    report = soak.soak(Size(share=0.001, seed=2))
    values = {name: interval.value for name, interval in report.metrics.items()}
    assert {name: values[name] for name in soak.FAULTS} == dict.fromkeys(soak.FAULTS, 0)
    assert values["operations"] > 1
    assert values["open_files_at_end"] > 0
