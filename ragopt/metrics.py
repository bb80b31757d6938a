"""What Prometheus reads, counted from the trace of each request. No label holds a user, a question or an id.

Names of teams and features come from requests, so only the first `MOST_NAMES` of each get a series of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.registry import Collector

from indexes.records import IngestResult
from ragopt.domain import Answer, Usage
from ragopt.screening.heads import THRESHOLD
from ragopt.telemetry import ModelCall, RequestSeen, Trace

MOST_NAMES = 100
OTHER = "other"
# From a cache hit to the end of a long answer, in seconds.
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
STAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
# Source: OpenTelemetry, GenAI client metrics: powers of two from 10 ms.
MODEL_BUCKETS = tuple(0.01 * 2**power for power in range(14))
OURS_BUCKETS = (0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.15, 0.25, 0.5, 1, 2.5)
TOKEN_BUCKETS = (50, 100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 51_200, 204_800)


class Names:
    """The names that a label may have: the first so many that came, `other` for the rest."""

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._most = most
        self._known: set[str] = set()

    def bounded(self, name: str) -> str:
        """Return the name, or `other` once there are too many; "" stays "", for a request that named none."""
        if name and name not in self._known and len(self._known) >= self._most:
            return OTHER
        self._known.add(name)
        return name


class Metrics:
    """The counters of one service, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._teams, self._features = Names(), Names()
        self._add_requests()
        self._add_answers()
        self._add_models()
        self._add_ingest()

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)

    def add(self, collector: Collector) -> None:
        """Have `collector` tell what only the moment of reading knows."""
        self.registry.register(collector)

    def observed(self, seen: RequestSeen) -> None:
        """Count one request that is over."""
        trace = seen.trace
        self._requests.labels(seen.route, seen.outcome).inc()
        self._request_s.labels(seen.route).observe(seen.seconds)
        for span in trace.spans:
            self._stage_s.labels(span.stage).observe(span.end_s - span.start_s)
        for stage in trace.fallbacks:
            self._fallbacks.labels(stage).inc()
        for call in trace.calls:
            self._called(call)
        if shares := trace.first_text_s():
            self._first_text(trace.calls[-1], shares)
        if trace.answer is not None:
            self._answered(trace.answer, trace)
        self._screened(trace)
        if "rating" in trace.facts:
            self._ratings.labels(trace.facts["rating"]).inc()

    def ingested(self, results: Iterable[IngestResult]) -> None:
        """Count what became of documents."""
        for result in results:
            self._documents.labels(result.status).inc()
            if result.status in {"created", "updated"}:
                self._chunks.inc(result.chunks)
                self._ingested_tokens.inc(result.tokens)

    def _screened(self, trace: Trace) -> None:
        refused = str(trace.facts.get("refused", ""))
        score, category = trace.facts.get("injection"), trace.facts.get("harmful_category")
        if isinstance(score, float) and score >= THRESHOLD:
            self._suspected.labels("refused" if refused == "injection" else "noted").inc()
        if category:
            self._harmful.labels(category, "refused" if refused.startswith("harmful") else "noted").inc()
        found, withheld = (int(trace.facts.get(name, 0)) for name in ("harmful_sentences", "withheld"))
        self._harmful_sentences.labels("withheld").inc(withheld)
        self._harmful_sentences.labels("flagged").inc(found - withheld)

    def _called(self, call: ModelCall) -> None:
        self._calls.labels(call.model, call.outcome, call.error).inc()
        self._call_s.labels(call.model).observe(call.end_s - call.start_s)

    def _first_text(self, call: ModelCall, shares: tuple[float, float]) -> None:
        ours, provider = shares
        self._first_ours_s.observe(ours)
        self._first_provider_s.labels(call.model).observe(provider)

    def _answered(self, answer: Answer, trace: Trace) -> None:
        team = self._teams.bounded(trace.labels.get("team", ""))
        feature = self._features.bounded(trace.labels.get("feature", ""))
        self._answers.labels(answer.route.model, answer.route.tier, team, feature).inc()
        self._cache.labels(answer.cache.kind or answer.cache.status).inc()
        self._context_tokens.observe(answer.context.tokens)
        for name, happened in flaws(answer):
            if happened:
                self._flaws.labels(name).inc()
        for citation in answer.citations:
            self._citations.labels(citation.support).inc()
        if answer.savings is not None:
            self._saved(answer)
        for call in trace.calls:
            if call.usage is not None:
                self._used(call.model, call.usage, labels=(team, feature))

    def _saved(self, answer: Answer) -> None:
        saved = answer.savings.saved_usd if answer.savings else Decimal(0)
        # A counter only grows: what was lost against the baseline is one of its own.
        (self._saved_usd if saved >= 0 else self._lost_usd).inc(float(abs(saved)))

    def _used(self, model: str, usage: Usage, *, labels: tuple[str, str]) -> None:
        for kind, tokens in buckets(usage):
            if tokens:
                self._tokens.labels(model, *labels, kind).inc(tokens)
        if usage.cost_usd is None:
            self._unpriced.labels(model).inc()
        else:
            self._cost.labels(model, *labels).inc(float(usage.cost_usd))

    def _counter(self, name: str, about: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(f"ragopt_{name}", about, labels, registry=self.registry)

    def _histogram(self, name: str, about: str, labels: Sequence[str], *, buckets: Sequence[float]) -> Histogram:
        return Histogram(f"ragopt_{name}", about, labels, buckets=buckets, registry=self.registry)

    def _add_requests(self) -> None:
        self._requests = self._counter("requests", "HTTP requests by route and outcome", ["route", "outcome"])
        self._request_s = self._histogram(
            "request_seconds", "from the first byte in to the last one out", ["route"], buckets=REQUEST_BUCKETS
        )
        self._stage_s = self._histogram("stage_seconds", "time in each stage", ["stage"], buckets=STAGE_BUCKETS)
        self._fallbacks = self._counter("fallbacks", "optional stages that a request went on without", ["stage"])
        self._suspected = self._counter(
            "suspected_questions", "questions that look like an attack, by what became of them", ["outcome"]
        )
        self._harmful = self._counter(
            "harmful_questions",
            "questions that ask for harmful content, by what became of them",
            ["category", "outcome"],
        )
        self._ratings = self._counter("ratings", "what callers said of answers", ["rating"])

    def _add_answers(self) -> None:
        labels = ["model", "tier", "team", "feature"]
        self._answers = self._counter("answers", "answers by the model that gave them", labels)
        self._flaws = self._counter("flawed_answers", "answers that were abstained, partial or unsupported", ["flaw"])
        self._harmful_sentences = self._counter(
            "harmful_sentences", "sentences of answers with harmful content, by what became of them", ["outcome"]
        )
        self._citations = self._counter("citations", "citations by support", ["support"])
        self._cache = self._counter("cache_lookups", "response cache: exact, semantic, miss or bypass", ["outcome"])
        self._context_tokens = self._histogram(
            "context_tokens", "tokens of the packed passages", [], buckets=TOKEN_BUCKETS
        )
        self._saved_usd = self._counter("saved_usd", "saved against the baseline, in USD")
        self._lost_usd = self._counter("lost_usd", "spent more than the baseline, in USD")

    def _add_models(self) -> None:
        self._calls = self._counter("model_calls", "attempts at a model call", ["model", "outcome", "error"])
        self._call_s = self._histogram("model_call_seconds", "time of a call", ["model"], buckets=MODEL_BUCKETS)
        self._first_ours_s = self._histogram(
            "first_text_ours_seconds", "our share of the time to the first text", [], buckets=OURS_BUCKETS
        )
        self._first_provider_s = self._histogram(
            "first_text_provider_seconds", "the provider's share of it", ["model"], buckets=MODEL_BUCKETS
        )
        labels = ["model", "team", "feature"]
        self._tokens = self._counter("tokens", "tokens of model calls by kind", [*labels, "kind"])
        self._cost = self._counter("cost_usd", "cost of model calls, in USD", labels)
        self._unpriced = self._counter("unpriced_calls", "calls without a known price", ["model"])

    def _add_ingest(self) -> None:
        self._documents = self._counter("ingested_documents", "documents by what became of them", ["status"])
        self._chunks = self._counter("ingested_chunks", "chunks that were written")
        self._ingested_tokens = self._counter("ingested_tokens", "tokens of the documents that were written")


def flaws(answer: Answer) -> tuple[tuple[str, bool], ...]:
    """Return what may be wrong with an answer, and whether it is."""
    unsupported = any(citation.support == "unsupported" for citation in answer.citations)
    return (("abstained", answer.abstained), ("partial", answer.partial), ("unsupported", unsupported))


def buckets(usage: Usage) -> tuple[tuple[str, int], ...]:
    """Return the disjoint buckets of a usage by name; reasoning is a part of the output and none of them."""
    return (
        ("input", usage.input_tokens),
        ("cached_input", usage.cached_input_tokens),
        ("cache_write", usage.cache_write_tokens + usage.cache_write_1h_tokens),
        ("output", usage.output_tokens),
    )
