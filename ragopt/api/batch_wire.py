"""The wire format of batches: what may be asked, and how a batch and its results look."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from ragopt.api.fields import CollectionName, Money, Name
from ragopt.api.rendering import Json, answer_json, money
from ragopt.api.schemas import AnswerRequest, AnswerResponse, Wire
from ragopt.money.ledger import usd
from ragopt.state.batch_records import BatchInfo, BatchResult, BatchState, Part, PartState, Served
from ragopt.telemetry import Trace

MAX_REQUESTS = 100_000
WEEK_S = 7 * 86_400
# Parts that nothing more will come of.
OVER: frozenset[PartState] = frozenset(("read", "closed"))


def not_in_batches(value: object) -> object:
    """Refuse a field of `POST /answer` that has no meaning hours later."""
    if value:
        raise PydanticCustomError("not_in_batches", "This is not possible in a batch")
    return value


CustomId = Annotated[Name, StringConstraints(max_length=256)]


class BatchQuestion(AnswerRequest):
    """One request: the fields of `POST /answer`, but for `stream` and `conversation_id`."""

    custom_id: CustomId
    stream: Annotated[bool, AfterValidator(not_in_batches)] = False
    conversation_id: Annotated[Name | None, AfterValidator(not_in_batches)] = None


class BatchRequest(Wire):
    """Questions that can wait. `collection` is for requests that name none."""

    requests: list[BatchQuestion] = Field(min_length=1, max_length=MAX_REQUESTS)
    collection: CollectionName = "default"
    deadline_s: Annotated[float, Field(gt=0, le=WEEK_S, allow_inf_nan=False)] | None = Field(
        None, description="seconds from now; what no provider's batch has answered shortly before is asked live"
    )
    live: bool = Field(default=True, description="whether what the providers' batches leave undone is asked live")

    def named(self, item: BatchQuestion) -> str:
        """Return the collection of one of the requests."""
        return item.collection if "collection" in item.model_fields_set else self.collection


class BatchCounts(Wire):
    """Requests by what became of them; answered = batch + live + cache + duplicate."""

    total: int
    prepared: int
    answered: int
    failed: int
    batch: int
    live: int
    cache: int
    duplicate: int


class ProviderBatch(Wire):
    """One batch at a provider; `id` is its own, null until the provider has confirmed it."""

    model: str
    id: str | None
    status: PartState
    requests: int
    done: int


class BatchOut(Wire):
    """How a batch stands. `cost_usd` is what its model calls have cost so far."""

    id: str
    status: BatchState
    cancelling: bool
    collection: str
    created_at: str
    deadline_at: str | None
    ended_at: str | None
    counts: BatchCounts
    progress: float
    cost_usd: Money
    provider_batches: list[ProviderBatch]
    error: str | None


class BatchList(Wire):
    """The batches of the key's tenant, the newest first."""

    batches: list[BatchOut]


class BatchError(Wire):
    """Why a request has no answer."""

    code: str
    detail: str


class BatchLineOut(Wire):
    """One line of the results."""

    custom_id: str
    served: Served
    duplicate_of: str | None
    response: AnswerResponse | None
    error: BatchError | None


def batch_json(info: BatchInfo) -> Json:
    """Return how a batch stands."""
    counts = info.counts
    answered = {name: counts.get(name, 0) for name in ("batch", "live", "cache", "duplicate")}
    return {
        "id": info.id,
        "status": info.state,
        "cancelling": info.cancelled and info.ended_at is None,
        "collection": info.terms.collection,
        "created_at": instant(info.terms.created_at),
        "deadline_at": instant(info.terms.deadline_at),
        "ended_at": instant(info.ended_at),
        "counts": {
            "total": info.terms.total,
            "prepared": max(counts.get("prepared", 0), info.finished),
            "answered": sum(answered.values()),
            "failed": counts.get("none", 0),
            **answered,
        },
        "progress": progress(info),
        "cost_usd": money(usd(info.cost_nano)),
        "provider_batches": [part_json(part) for part in info.parts],
        "error": info.error or None,
    }


def progress(info: BatchInfo) -> float:
    """Return the share of the requests that have a result or that their provider is done with, in [0, 1]."""
    under_way = sum(part.done for part in info.parts if part.state not in OVER and not part.left)
    return round(min(info.terms.total, info.finished + under_way) / info.terms.total, 4)


def part_json(part: Part) -> Json:
    """Return one batch of a provider."""
    return {
        "model": part.deployment,
        "id": part.id or None,
        "status": part.state,
        "requests": len(part.keys),
        "done": len(part.keys) if part.state in OVER else part.done,
    }


def result_line(result: BatchResult) -> bytes:
    """Return one line of the results."""
    answer, error = result.answer, result.error
    line: Json = {
        "custom_id": result.custom_id,
        "served": result.served,
        "duplicate_of": result.duplicate_of or None,
        "response": None if answer is None else answer_json(answer, conversation_id=None, trace=Trace(answer.id)),
        "error": None if error is None else {"code": error[0], "detail": error[1]},
    }
    return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def instant(seconds: float | None) -> str | None:
    """Return a Unix time as RFC 3339 in UTC, None for none."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
