"""Anthropic's message batches: a list of requests in, a batch object to poll, a stream of results out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime

from eval.stub.anthropic_dialect import NEW_VERSION, AnthropicDialect
from eval.stub.asking import BadRequestError, Json
from eval.stub.batches import EXPIRES_S, Batch, Item, Result, settled
from eval.stub.state import StubState

DIALECT = AnthropicDialect()
CUSTOM_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
OVER = frozenset({"ended", "expired", "canceled"})


def items_in(body: Json, *, limit: int) -> list[Item]:
    """Return the requests of a batch. Raises: `BadRequestError` for a list or an id that no batch can hold."""
    requests = body.get("requests")
    if not isinstance(requests, list) or not requests:
        raise BadRequestError("requests: a list of at least one request is required")
    if len(requests) > limit:
        raise BadRequestError(f"requests: {len(requests)} requests, at most {limit}")
    items = [item_of(row) for row in requests]
    if len({item.custom_id for item in items}) < len(items):
        raise BadRequestError("requests: custom_id must be unique within a batch")
    return items


def item_of(row: object) -> Item:
    """Return one request; what is wrong with its parameters shows in its result. Raises: `BadRequestError`."""
    custom_id = row.get("custom_id") if isinstance(row, dict) else None
    params = row.get("params") if isinstance(row, dict) else None
    if not isinstance(custom_id, str) or not CUSTOM_ID.fullmatch(custom_id):
        raise BadRequestError("requests.custom_id: 1 to 64 letters, digits, - and _ are required")
    if not isinstance(params, dict):
        raise BadRequestError("requests.params: an object is required")
    try:
        return Item(custom_id, DIALECT.ask({**params, "stream": False}, version=NEW_VERSION))
    except BadRequestError as error:
        return Item(custom_id, None, error)


def shown_batch(batch: Batch, state: StubState, *, base_url: str) -> Json:
    """Return the batch object."""
    phase = batch.phase(state.now())
    results = settled(batch, state)
    status = "ended" if phase in OVER else "canceling" if phase == "canceling" else "in_progress"
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": status,
        "request_counts": counts_of(results, total=len(batch.items)),
        "created_at": instant(batch.created_at),
        "expires_at": instant(batch.created_at + EXPIRES_S),
        "ended_at": instant(state.now()) if results is not None else None,
        "cancel_initiated_at": instant(batch.canceled_at) if batch.canceled_at is not None else None,
        "archived_at": None,
        "results_url": f"{base_url}v1/messages/batches/{batch.id}/results" if results is not None else None,
    }


def counts_of(results: Iterable[Result] | None, *, total: int) -> Json:
    """Return how many requests are in each state; all of them are being processed until the batch ends."""
    counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
    if results is None:
        return {**counts, "processing": total}
    for result in results:
        counts[kind_of(result)] += 1
    return counts


def kind_of(result: Result) -> str:
    """Return what came of a request in Anthropic's word."""
    if result.outcome is None:
        return result.ending
    return "succeeded" if result.succeeded else "errored"


def line_of(result: Result) -> bytes:
    """Return one line of the results."""
    kind = kind_of(result)
    told: dict[str, object] = {"type": kind}
    if result.outcome is not None and result.outcome.reply is not None:
        told["message"] = DIALECT.whole(result.outcome.reply)
    elif result.outcome is not None:
        told["error"] = result.outcome.body
    return json.dumps({"custom_id": result.custom_id, "result": told}, ensure_ascii=False).encode() + b"\n"


def instant(seconds: float) -> str:
    """Return a Unix time as RFC 3339."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
