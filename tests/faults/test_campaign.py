"""Every fault of the provider stub against the caller of models, over sockets."""

from __future__ import annotations

import pytest

from eval.fault_cases import ANSWER, SPARE_ANSWER, Case, every_case, judged
from eval.faults import MAX_RETRY_SHARE, FaultJob, run_campaign
from eval.stub.faults import FAULTS
from ragopt.domain import Route, Usage
from ragopt.results import Generated
from tests.environment import campaign_examples


@pytest.mark.campaign
def test_every_fault_ends_in_an_answer_or_a_typed_error_in_time() -> None:
    """Nothing is truncated unmarked, spliced, lost, late or untyped; breakers open and close; who leaves is noticed."""
    report = run_campaign(FaultJob(rounds=campaign_examples(1, times=20), seed=7))
    values = {name: interval.value for name, interval in report.metrics.items()}
    assert report.failures == ()
    assert values["requests"] == values["complete"] + values["marked_partial"] == report.n
    assert values["fallbacks"] > values["requests"] / 2
    assert 0 < values["retries"] <= max(3, MAX_RETRY_SHARE * values["first_calls"])
    assert (values["burst_calls_until_open"], values["burst_leaked"], values["burst_closed_again"]) == (20, 0, 1)


def test_every_fault_is_met_in_every_way() -> None:
    """Both dialects, streaming and not."""
    cases = list(every_case())
    assert len(cases) == len(set(cases)) == 4 * len(FAULTS)


@pytest.mark.parametrize(
    ("text", "model", "partial", "verdict"),
    [
        (ANSWER, "500/openai/stream", False, "complete"),
        (SPARE_ANSWER, "spare/openai", False, "complete"),
        (ANSWER[:9], "500/openai/stream", True, "partial"),
        (ANSWER[:9], "500/openai/stream", False, "truncated"),
        (ANSWER[:9] + SPARE_ANSWER, "spare/openai", False, "damaged"),
        (ANSWER + ANSWER, "500/openai/stream", True, "damaged"),
        (ANSWER[3:], "500/openai/stream", False, "damaged"),
    ],
)
def test_what_must_not_happen_is_recognised(text: str, model: str, verdict: str, *, partial: bool) -> None:
    """An answer that is cut off, spliced of two models, doubled or without its beginning is found out."""
    route = Route("openai", model, "simple", None, "a test", ())
    outcome = judged(Case("500", "openai", streaming=True), text, Generated(route, Usage(), partial, abstained=False))
    assert outcome.verdict == verdict
    assert bool(outcome.problem) == (verdict in {"truncated", "damaged"})
