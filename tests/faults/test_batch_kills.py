"""The service killed with -9 in the middle of a batch."""

from __future__ import annotations

import pytest

from eval.batch_kills import CALLS, KillJob, batch_kills, every_step


@pytest.mark.campaign
def test_nothing_is_submitted_twice_and_nothing_is_lost() -> None:
    """Killed while its submission hangs: asked once, answered whole, paid once. The campaign kills at every step."""
    report = batch_kills(KillJob(only=("openai/create",)))
    assert report.failures == ()
    values = {name: interval.value for name, interval in report.metrics.items()}
    assert values == {"kills": 1, "second_submissions": 0, "unanswered": 0, "paid_wrong": 0, "held_at_end": 0}


def test_every_call_of_a_batch_is_a_step() -> None:
    """The whole campaign kills once after the acceptance and once in each call, for both providers."""
    assert len(every_step()) == 2 + sum(len(steps) for steps in CALLS.values())
