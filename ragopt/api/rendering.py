"""Domain values to the contract's JSON objects: pure functions, one per object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from decimal import Decimal
from typing import TYPE_CHECKING

from indexes.records import DocumentInfo, IngestResult, StoredDocument
from ragopt.checks import CheckedClaim, Checks
from ragopt.domain import Answer, CacheOutcome, Citation, Context, Passage, Route, Savings, Usage
from ragopt.telemetry import StageSpan, Trace

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Json = dict[str, object]


def flat(record: DataclassInstance) -> Json:
    """Return the fields of a record that holds no other records, by name."""
    return {item.name: getattr(record, item.name) for item in fields(record)}


def context_json(context: Context) -> Json:
    """Return the context without timings, as it stands inside an answer."""
    return {
        "question": context.question,
        "standalone_question": context.standalone_question,
        "token_budget": context.token_budget,
        "tokens": context.tokens,
        "stopped_by": context.stopped_by,
        "passages": [passage_json(passage) for passage in context.passages],
    }


def passage_json(passage: Passage) -> Json:
    """Return one packed passage."""
    return {
        "n": passage.n,
        "document_id": passage.document_id,
        "version": passage.version,
        "chunk_id": passage.chunk_id,
        "title": passage.title,
        "spans": [list(span) for span in passage.spans],
        "text": passage.text,
        "tokens": passage.tokens,
        "score": passage.score,
    }


def citation_json(citation: Citation) -> Json:
    """Return one citation."""
    return flat(citation)


def claim_json(claim: CheckedClaim) -> Json:
    """Return one checked claim."""
    return {**flat(claim), "cited": list(claim.cited)}


def checks_json(checks: Checks) -> Json:
    """Return what checking did."""
    return {**flat(checks), "personal_data": dict(checks.personal_data)}


def route_json(route: Route) -> Json:
    """Return the route with its attempts in order."""
    return {**flat(route), "attempts": [flat(attempt) for attempt in route.attempts]}


def usage_json(usage: Usage) -> Json:
    """Return the token buckets, writes of every lifetime in one; the cost as a decimal string, null if not known."""
    return {
        "input_tokens": usage.input_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "cache_write_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
        "output_tokens": usage.output_tokens,
        "cost_usd": money(usage.cost_usd),
        "estimated": usage.estimated,
    }


def money(amount: Decimal | None) -> str | None:
    """Return an amount in plain decimal notation, never with an exponent."""
    return None if amount is None else format(amount, "f")


def savings_json(savings: Savings | None) -> Json | None:
    """Return what was saved, the parts in the order of the path; null where a price is not known."""
    if savings is None:
        return None
    return {
        "baseline_cost_usd": money(savings.baseline_cost_usd),
        "saved_usd": money(savings.saved_usd),
        "by_technique": {name: money(amount) for name, amount in savings.by_technique.items()},
    }


def answer_json(answer: Answer, *, conversation_id: str | None, trace: Trace) -> Json:
    """Return the whole answer object, with the trace of its request as far as it has come."""
    return {
        "id": answer.id,
        "answer": answer.text,
        "abstained": answer.abstained,
        "partial": answer.partial,
        "citations": [citation_json(citation) for citation in answer.citations],
        "claims": [claim_json(claim) for claim in answer.claims],
        "checks": checks_json(answer.checks),
        "context": context_json(answer.context),
        "route": route_json(answer.route),
        "cache": cache_json(answer.cache),
        "usage": usage_json(answer.usage),
        "savings": savings_json(answer.savings),
        "prompt_tokens": dict(answer.prompt_tokens),
        "conversation_id": conversation_id,
        "timings_ms": trace.timings_ms(),
        "stages": [stage_json(span) for span in trace.spans],
        "fallbacks": dict(trace.fallbacks),
        "variant": trace.facts.get("variant"),
    }


def stage_json(span: StageSpan) -> Json:
    """Return when one run of a stage began and ended, in milliseconds since the request came."""
    return {"stage": span.stage, "start_ms": round(1000 * span.start_s, 3), "end_ms": round(1000 * span.end_s, 3)}


def cache_json(outcome: CacheOutcome) -> Json:
    """Return what the response cache did."""
    return {
        "status": outcome.status,
        "kind": outcome.kind,
        "similarity": None if outcome.similarity is None else round(outcome.similarity, 4),
        "age_s": None if outcome.age_s is None else round(outcome.age_s, 3),
    }


def result_json(result: IngestResult) -> Json:
    """Return what became of one document."""
    return asdict(result)


def ingest_json(job_id: str, status: str, results: Sequence[IngestResult]) -> Json:
    """Return the answer to an ingest."""
    return {"job_id": job_id, "status": status, "documents": [result_json(result) for result in results]}


def info_json(info: DocumentInfo, access: Sequence[str] | None) -> Json:
    """Return one line of a collection's list; access: what the caller may see of the document's list."""
    return {
        "id": info.id,
        "version": info.version,
        "title": info.title,
        "metadata": dict(info.metadata),
        "chunks": info.chunks,
        "tokens": info.tokens,
        "quarantined": info.quarantined,
        "provenance": dict(info.provenance),
        "access": access,
    }


def document_json(document: StoredDocument, access: Sequence[str] | None) -> Json:
    """Return a document with its text and the spans of its chunks; access: as in `info_json`."""
    return {
        "id": document.info.id,
        "version": document.info.version,
        "title": document.info.title,
        "text": document.text,
        "metadata": dict(document.info.metadata),
        "quarantined": document.info.quarantined,
        "provenance": dict(document.info.provenance),
        "access": access,
        "chunks": [{"chunk_id": chunk.id, "start": chunk.start, "end": chunk.end} for chunk in document.chunks],
    }
