"""OpenTelemetry spans from the trace of each request, over OTLP; nothing at all without the extra `otel`.

The one place that names attributes. Pinned: OpenTelemetry's GenAI conventions, which are in development, as they are in
open-telemetry/semantic-conventions-genai in 2026-10, and OpenInference's for what Phoenix reads. No text of a question,
a document or an answer is ever an attribute, and no user.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from ragopt.telemetry import ModelCall, RequestSeen, StageSpan, Trace

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

LOGGER = logging.getLogger("ragopt.tracing")
NANO = 1_000_000_000
FLUSH_MS = 2_000

Value: TypeAlias = str | bool | int | float
Attributes: TypeAlias = dict[str, Value]

# Source: OpenInference, semantic conventions: span kinds, by our stages.
KINDS: Mapping[str, str] = {"embed": "EMBEDDING", "retrieve": "RETRIEVER", "rerank": "RERANKER"}
KIND = "openinference.span.kind"
ERROR = "error.type"


class Tracing:
    """Makes spans of requests that are over; they leave in batches, in a thread of the SDK's own."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("ragopt")

    def exported(self, seen: RequestSeen) -> None:
        """Make the spans of a request: its own, one for each stage, and one for each model call."""
        from opentelemetry.trace import SpanKind, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        trace = seen.trace
        parent = TraceContextTextMapPropagator().extract({"traceparent": seen.traceparent})
        root = self._tracer.start_span(
            f"{seen.method} {seen.route}",
            context=parent,
            kind=SpanKind.SERVER,
            start_time=moment(trace, 0.0),
            attributes=request_attributes(seen),
        )
        inside = set_span_in_context(root)
        for stage in trace.spans:
            self._stage(stage, trace, inside=inside)
        for call in trace.calls:
            self._call(call, trace, inside=inside)
        marked(root, failed=seen.status >= 500).end(moment(trace, seen.seconds))

    def close(self) -> None:
        """Send what waits, as far as the collector takes it in time; blocks."""
        self._provider.force_flush(FLUSH_MS)
        self._provider.shutdown()

    def _stage(self, stage: StageSpan, trace: Trace, *, inside: Context) -> None:
        span = self._tracer.start_span(
            stage.stage,
            context=inside,
            start_time=moment(trace, stage.start_s),
            attributes=stage_attributes(stage.stage, trace),
        )
        span.end(moment(trace, stage.end_s))

    def _call(self, call: ModelCall, trace: Trace, *, inside: Context) -> None:
        from opentelemetry.trace import SpanKind

        span = self._tracer.start_span(
            f"chat {call.requested}",
            context=inside,
            kind=SpanKind.CLIENT,
            start_time=moment(trace, call.start_s),
            attributes=call_attributes(call, trace),
        )
        marked(span, failed=bool(call.error)).end(moment(trace, call.end_s))


def marked(span: Span, *, failed: bool) -> Span:
    """Return the span, with the status of an error if it failed."""
    from opentelemetry.trace import StatusCode

    if failed:
        span.set_status(StatusCode.ERROR)
    return span


def moment(trace: Trace, seconds: float) -> int:
    """Return a time of the trace in Unix nanoseconds."""
    return int((trace.opened_at + seconds) * NANO)


def request_attributes(seen: RequestSeen) -> Attributes:
    """Return what is told of a whole request."""
    trace, answer = seen.trace, seen.trace.answer
    found: Attributes = {
        KIND: "CHAIN",
        "http.request.method": seen.method,
        "http.route": seen.route,
        "http.response.status_code": seen.status,
        "ragopt.request_id": trace.request_id,
        "ragopt.outcome": seen.outcome,
    }
    if seen.tenant:
        found["ragopt.tenant"] = seen.tenant
    if answer is not None:
        found |= {
            "ragopt.answer_id": answer.id,
            "ragopt.cache": answer.cache.kind or answer.cache.status,
            "ragopt.tier": answer.route.tier,
            "ragopt.abstained": answer.abstained,
            "ragopt.context_tokens": answer.context.tokens,
            **{f"ragopt.label.{name}": trace.labels[name] for name in ("team", "feature") if name in trace.labels},
        }
    return found


def stage_attributes(stage: str, trace: Trace) -> Attributes:
    """Return what is told of one stage: its kind, and why the request went on without it where it did."""
    found: Attributes = {KIND: KINDS.get(stage, "CHAIN")}
    if stage in trace.fallbacks:
        found["ragopt.fallback"] = trace.fallbacks[stage]
    return found


def call_attributes(call: ModelCall, trace: Trace) -> Attributes:
    """Return what is told of one model call. The input tokens hold the cached ones, as the conventions want it."""
    found: Attributes = {
        KIND: "LLM",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": call.provider,
        "gen_ai.request.model": call.requested,
        "llm.model_name": call.requested,
        "ragopt.model": call.model,
        "ragopt.outcome": call.outcome,
    }
    if call is trace.calls[-1] and "model_served" in trace.facts:
        found |= {"gen_ai.response.model": trace.facts["model_served"], "ragopt.stop": trace.facts.get("stop", "")}
    if call.first_s is not None:
        found["gen_ai.response.time_to_first_chunk"] = round(call.first_s - call.start_s, 6)
    if call.error:
        found[ERROR] = call.error
    return found | usage_attributes(call)


def usage_attributes(call: ModelCall) -> Attributes:
    """Return the tokens and the cost of a call, {} where it used none."""
    usage = call.usage
    if usage is None:
        return {}
    found: Attributes = {
        "gen_ai.usage.input_tokens": usage.total_input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_input_tokens,
        "gen_ai.usage.cache_write.input_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
        "llm.token_count.prompt": usage.total_input_tokens,
        "llm.token_count.completion": usage.output_tokens,
        "llm.token_count.total": usage.total_input_tokens + usage.output_tokens,
    }
    if usage.cost_usd is not None:
        # Langfuse reads the first of them, Phoenix the second.
        found |= {"gen_ai.usage.cost": float(usage.cost_usd), "llm.cost.total": float(usage.cost_usd)}
    return found


def opened_tracing(endpoint: str | None, *, version: str) -> Tracing | None:
    """Return what sends spans to the collector of the standard variables, None where none is named or can be.

    The SDK reads address, headers, sampling and resource from them itself.
    """
    if endpoint is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        LOGGER.warning("a collector is configured, but its client is not installed: pip install 'ragopt[otel]'")
        return None
    resource = Resource.create({"service.version": version})
    if str(resource.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "ragopt"}))
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)
