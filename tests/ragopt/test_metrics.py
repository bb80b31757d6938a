"""What is counted of a request: all of it from its trace, with labels that cannot grow without end."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from indexes.records import IngestResult
from ragopt.domain import CacheOutcome, Question, Usage
from ragopt.metrics import OTHER, Metrics, Names
from ragopt.telemetry import ModelCall, RequestSeen, StageSpan, Trace
from tests.ragopt.api.fakes import answer

USAGE = Usage(input_tokens=10, cached_input_tokens=5, output_tokens=3, cost_usd=Decimal("0.002"))
CALL = ModelCall("small", "openai", "gpt-4o-mini", "ok", 1.0, 1.2, 1.5, USAGE)


def seen(trace: Trace, *, outcome: str = "ok") -> RequestSeen:
    """Return a request of this trace."""
    return RequestSeen("POST", "/answer", 200, outcome, 0.25, trace)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """Return a sample, None where there is none."""
    return metrics.registry.get_sample_value(f"ragopt_{name}", labels)


def answered(**labels: str) -> Trace:
    """Return the trace of an answer that one model gave."""
    trace = Trace("r", spans=[StageSpan("retrieve", 0.0, 0.002)], calls=[CALL])
    trace.note(first_text_ms=1_250.0)
    trace.answered(answer(Question("q", "acme")), labels)
    return trace


def test_an_answer_is_counted_by_model_team_and_feature() -> None:
    """Tokens by kind, cost, citations, flaws, the cache, and both shares of the time to the first text."""
    metrics = Metrics()
    metrics.observed(seen(answered(team="support", user="ann")))
    place = {"model": "small", "team": "support", "feature": ""}
    tokens = {kind: value(metrics, "tokens_total", kind=kind, **place) for kind in ("input", "cached_input", "output")}
    assert tokens == {"input": 10, "cached_input": 5, "output": 3}
    assert value(metrics, "cost_usd_total", **place) == pytest.approx(0.002)
    assert value(metrics, "answers_total", model="extractive", tier="simple", team="support", feature="") == 1
    assert value(metrics, "cache_lookups_total", outcome="miss") == 1
    assert value(metrics, "citations_total", support="unsupported") == 1
    assert value(metrics, "flawed_answers_total", flaw="unsupported") == 1
    assert value(metrics, "flawed_answers_total", flaw="abstained") is None
    assert value(metrics, "first_text_ours_seconds_sum") == pytest.approx(1.05)
    assert value(metrics, "first_text_provider_seconds_sum", model="small") == pytest.approx(0.2)
    assert value(metrics, "model_calls_total", model="small", outcome="ok", error="") == 1
    assert value(metrics, "stage_seconds_count", stage="retrieve") == 1
    assert b"ann" not in metrics.text()


def test_a_request_is_counted_by_how_it_ended() -> None:
    """Each route and outcome apart; what a request went on without, and what a caller said of an answer."""
    metrics = Metrics()
    refused, rated = Trace("r"), Trace("r")
    refused.fell_back("limits", "Redis does not answer")
    rated.note(rating="down")
    metrics.observed(seen(refused, outcome="rate_limited"))
    metrics.observed(seen(rated))
    assert value(metrics, "requests_total", route="/answer", outcome="rate_limited") == 1
    assert value(metrics, "requests_total", route="/answer", outcome="ok") == 1
    assert value(metrics, "request_seconds_sum", route="/answer") == 0.5
    assert value(metrics, "fallbacks_total", stage="limits") == 1
    assert value(metrics, "ratings_total", rating="down") == 1


def test_a_hit_costs_nothing_and_a_call_without_a_price_is_said() -> None:
    """A cached answer counts as a hit of its kind; an unknown price never counts as none."""
    metrics = Metrics()
    hit = Trace("r")
    hit.answered(replace(answer(Question("q", "acme")), cache=CacheOutcome("hit", "semantic", 0.97, 3.0)), {})
    metrics.observed(seen(hit))
    unpriced = answered()
    unpriced.calls = [replace(CALL, usage=replace(USAGE, cost_usd=None))]
    metrics.observed(seen(unpriced))
    assert value(metrics, "cache_lookups_total", outcome="semantic") == 1
    assert value(metrics, "unpriced_calls_total", model="small") == 1
    assert value(metrics, "cost_usd_total", model="small", team="", feature="") is None


def test_ingested_documents_are_counted() -> None:
    """By what became of them; chunks only of what was written."""
    metrics = Metrics()
    metrics.ingested([IngestResult("a", 1, "created", 3, 90), IngestResult("b", 2, "unchanged", 5, 100)])
    assert value(metrics, "ingested_documents_total", status="created") == 1
    assert (value(metrics, "ingested_chunks_total"), value(metrics, "ingested_tokens_total")) == (3, 90)


def test_names_that_requests_make_up_do_not_grow_without_end() -> None:
    """The first ones keep a series of their own, the rest share one, and no name stays none."""
    names = Names(2)
    assert [names.bounded(name) for name in ("a", "b", "c", "a", "", "d")] == ["a", "b", OTHER, "a", "", OTHER]


def test_what_was_screened_is_counted_by_what_became_of_it() -> None:
    """A question that is refused for one reason is only noted for the other; of an answer, sentences."""
    metrics = Metrics()
    refused, flagged = Trace("r"), Trace("r")
    refused.note(injection=0.9, harmful=0.8, harmful_category="malware", refused="harmful: malware")
    flagged.note(injection=0.1, harmful_sentences=3, withheld=1)
    metrics.observed(seen(refused, outcome="question_refused"))
    metrics.observed(seen(flagged))
    assert value(metrics, "harmful_questions_total", category="malware", outcome="refused") == 1
    assert value(metrics, "suspected_questions_total", outcome="noted") == 1
    assert value(metrics, "suspected_questions_total", outcome="refused") is None
    assert value(metrics, "harmful_sentences_total", outcome="withheld") == 1
    assert value(metrics, "harmful_sentences_total", outcome="flagged") == 2
