"""Our own part of an answer: what is taken off a caller's time, and what the stub is asked for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.bench.overhead import Answered, stage_metrics
from eval.bench.stubbed import StubCall, question_in, used_s
from eval.bench.ttft import provider_ms, shares

CALLS = (StubCall("q", 1.0, 4.0), StubCall("q", 2.0, 6.0))
TIMINGS = {"auth": 0.5, "embed": 2.0, "retrieve": 3.0, "dense": 2.5, "rerank": 1.0, "pack": 1.5, "total": 30.0}


def test_overhead_is_what_retrieval_and_the_stub_leave() -> None:
    """The stages of the search are taken off once: what runs inside `retrieve` is a part of it."""
    row = Answered(40.0, TIMINGS, CALLS)
    assert (row.retrieval_ms, row.stub_ms, row.overhead_ms) == (7.5, 10.0, 22.5)


def test_stages_are_told_in_path_order() -> None:
    """The median of each, 0 where a request did not have it."""
    metrics = stage_metrics([Answered(1.0, TIMINGS, ()), Answered(1.0, {**TIMINGS, "cite": 4.0}, ())], seed=0)
    assert list(metrics) == [f"stage_ms.{name}" for name in (*TIMINGS, "cite")]
    assert metrics["stage_ms.cite"].value == 2.0


def test_the_provider_s_share_ends_with_its_first_byte() -> None:
    """A call that was rejected counts whole, the one that answered up to its first byte; no call is no share."""
    assert provider_ms(CALLS) == 6.0
    assert provider_ms(()) == 0.0
    metrics = shares([(10.0, CALLS), (12.0, CALLS)], seed=0)
    assert metrics["ttft.provider.p50_ms"].value == 6.0
    assert metrics["ttft.ours.p50_ms"].value == 5.0


def test_processor_time_is_what_the_system_counts(tmp_path: Path) -> None:
    """Ticks of a hundredth of a second in the fields behind the name, whatever stands in that."""
    stat = tmp_path / "stat"
    stat.write_text("77 (a) b) S 1 77 77 0 -1 4194560 10 0 0 0 250 50 0 0 20 0 9 0 100", encoding="ascii")
    assert used_s(stat) == 3.0


@pytest.mark.parametrize(
    "content",
    [
        "<passage>Question: no</passage>\n\nQuestion: Why?",
        [{"type": "text", "text": "<passage>"}, {"type": "text", "text": "Question: Why?\n(It refers to: x)"}],
    ],
    ids=["openai", "anthropic"],
)
def test_a_call_names_its_question(content: object) -> None:
    """In both dialects it is the last line that is marked as one."""
    assert question_in({"messages": [{"role": "user", "content": content}]}) == "Why?"
