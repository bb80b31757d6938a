"""Spans of a request: the stages under it, the model calls with their pinned names, and no text of anybody."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from ragopt.domain import Question, Usage
from ragopt.telemetry import ModelCall, RequestSeen, StageSpan, Trace
from ragopt.tracing import Tracing, opened_tracing
from tests.ragopt.api.fakes import answer

USAGE = Usage(input_tokens=10, cached_input_tokens=5, output_tokens=3, cost_usd=Decimal("0.002"))
CALL = ModelCall("small", "openai", "gpt-4o-mini", "ok", 0.1, 0.3, 0.5, USAGE)
FAILED = ModelCall("large", "anthropic", "claude", "error", 0.0, None, 0.1, None, "provider_timeout")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def spans_of(trace: Trace, *, status: int = 200, traceparent: str = "") -> dict[str, ReadableSpan]:
    """Return the spans of one request, by name."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = Tracing(provider)
    tracing.exported(RequestSeen("POST", "/answer", status, "ok", 0.6, trace, tenant="acme", traceparent=traceparent))
    found = {span.name: span for span in exporter.get_finished_spans()}
    tracing.close()
    return found


def traced() -> Trace:
    """Return the trace of an answer after one failed call."""
    trace = Trace("r-1", opened_at=1_700_000_000.0, spans=[StageSpan("retrieve", 0.01, 0.02)], calls=[FAILED, CALL])
    trace.note(model_served="gpt-4o-mini-2024", stop="end")
    trace.answered(answer(Question("secret question", "acme")), {"team": "support", "user": "ann"})
    return trace


def test_a_request_has_a_span_with_its_stages_and_calls_under_it() -> None:
    """Times are those of the trace, and the caller's own trace goes on."""
    spans = spans_of(traced(), traceparent=PARENT)
    root = spans["POST /answer"]
    assert root.parent is not None
    assert format(root.parent.span_id, "016x") == "b7ad6b7169203331"
    assert root.start_time == 1_700_000_000 * 10**9
    assert (root.end_time or 0) - (root.start_time or 0) == 600_000_000
    for name in ("retrieve", "chat gpt-4o-mini", "chat claude"):
        parent = spans[name].parent
        assert parent is not None
        assert parent.span_id == root.context.span_id
    assert dict(root.attributes or {}) == {
        "openinference.span.kind": "CHAIN",
        "http.request.method": "POST",
        "http.route": "/answer",
        "http.response.status_code": 200,
        "ragopt.request_id": "r-1",
        "ragopt.outcome": "ok",
        "ragopt.tenant": "acme",
        "ragopt.answer_id": "ans_1",
        "ragopt.cache": "miss",
        "ragopt.tier": "simple",
        "ragopt.abstained": False,
        "ragopt.context_tokens": 7,
        "ragopt.label.team": "support",
    }


def test_a_model_call_has_the_names_of_the_conventions() -> None:
    """Input tokens hold the cached ones; a failed call has the code of its failure and the status of an error."""
    spans = spans_of(traced())
    call = dict(spans["chat gpt-4o-mini"].attributes or {})
    assert call["gen_ai.operation.name"] == "chat"
    assert (call["gen_ai.provider.name"], call["gen_ai.request.model"]) == ("openai", "gpt-4o-mini")
    assert call["gen_ai.response.model"] == "gpt-4o-mini-2024"
    assert (call["gen_ai.usage.input_tokens"], call["gen_ai.usage.cache_read.input_tokens"]) == (15, 5)
    assert (call["gen_ai.usage.output_tokens"], call["gen_ai.usage.cost"]) == (3, 0.002)
    assert call["gen_ai.response.time_to_first_chunk"] == 0.2
    failed = spans["chat claude"]
    assert failed.status.status_code is StatusCode.ERROR
    assert dict(failed.attributes or {})["error.type"] == "provider_timeout"


def test_no_text_and_no_user_is_in_a_span() -> None:
    """Neither question, passage, answer nor the label of the user leaves the service."""
    told = " ".join(span.to_json() for span in spans_of(traced()).values())
    assert not any(text in told for text in ("secret question", "sky is blue", "ann"))


def test_a_failed_request_is_an_error() -> None:
    """A status of 500 and more marks the span, and a fallback is told on its stage."""
    trace = replace(traced(), answer=None)
    trace.fell_back("retrieve", "late")
    spans = spans_of(trace, status=503)
    assert spans["POST /answer"].status.status_code is StatusCode.ERROR
    assert dict(spans["retrieve"].attributes or {})["ragopt.fallback"] == "late"


def test_without_a_collector_there_is_nothing() -> None:
    """No address, no spans."""
    assert opened_tracing(None, version="1") is None
