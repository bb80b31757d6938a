"""POST /batch and what becomes of it: questions that can wait, at half the price."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import reduce
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from indexes.access import ANYONE, Reader
from ragopt.api.answers import PERMIT, refuse_long, refuse_unknown
from ragopt.api.batch_wire import (
    BatchLineOut,
    BatchList,
    BatchOut,
    BatchQuestion,
    BatchRequest,
    batch_json,
    result_line,
)
from ragopt.api.ingest import idempotency_key
from ragopt.api.questions import question_of
from ragopt.api.rates import within_rate
from ragopt.api.request_log import trace_of
from ragopt.api.running import Running, running
from ragopt.api.schemas import ProblemOut
from ragopt.api.security import BEARER, KeyedRoute, QueryCaller, actor_of
from ragopt.audit.events import AuditEvent
from ragopt.config import Settings
from ragopt.domain import TIER_RANK, Question
from ragopt.errors import InvalidRequest, ModelNotAllowed
from ragopt.state.batch_records import BatchItem, BatchResult, Terms
from ragopt.state.conversations import NEW
from ragopt.state.key_records import ApiKey

JSON_LINES = "application/jsonl"

router = APIRouter(
    route_class=KeyedRoute, dependencies=[BEARER], tags=["batches"], responses={"4XX": {"model": ProblemOut}}
)


@router.post("/batch", status_code=HTTPStatus.ACCEPTED, dependencies=[PERMIT], responses={202: {"model": BatchOut}})
async def submit(request: Request, body: BatchRequest, caller: QueryCaller) -> Response:
    """Take questions to be answered within a day; `Idempotency-Key` makes a repetition harmless.

    All requests are checked first: one that cannot be served refuses the batch, and nothing is begun. It counts as one
    request of the key's minute; its questions count among those that the key may have open at once.
    """
    shared = running(request)
    key = idempotency_key(request)
    await within_rate(request, caller)
    items = await checked_items(shared, body, caller)
    now = shared.service.batches.store.now()
    deadline_at = None if body.deadline_s is None else now + body.deadline_s
    reader = reduce(Reader.joined, (item.question.reader for item in items), ANYONE)
    terms = Terms(
        caller.tenant,
        body.collection,
        now,
        deadline_at,
        live=body.live,
        total=len(items),
        reader=reader,
        key_id=caller.id,
    )
    # The same body is another request where somebody else may read something else.
    digest = hashlib.sha256(await request.body() + repr(caller.reader).encode()).hexdigest()
    idempotency = None if key is None else (key, digest)
    store = shared.service.batches.store
    most_open = shared.service.settings.limits.batch_questions
    batch_id, new = await store.create(terms, items, idempotency=idempotency, most_open=most_open)
    if new:
        actor, request_id = actor_of(caller), trace_of(request).request_id
        told = AuditEvent("batch", actor, request_id, body.collection, batch_id, count=len(items))
        shared.service.audit.record(told)
    shared.batches.wake()
    headers = {"Location": f"/batch/{batch_id}"} | ({} if new else {"Idempotency-Replayed": "true"})
    info = await store.info(batch_id, tenant=caller.tenant, reader=caller.reader)
    return JSONResponse(batch_json(info), HTTPStatus.ACCEPTED, headers=headers)


@router.get("/batch", responses={200: {"model": BatchList}})
async def listed(request: Request, caller: QueryCaller) -> Response:
    """List the tenant's batches, the newest first, at most 100."""
    found = await running(request).service.batches.store.of_tenant(caller.tenant, reader=caller.reader)
    return JSONResponse({"batches": [batch_json(info) for info in found]})


@router.get("/batch/{batch_id}", responses={200: {"model": BatchOut}})
async def batch(request: Request, batch_id: str, caller: QueryCaller) -> Response:
    """Return how a batch stands."""
    return JSONResponse(
        batch_json(
            await running(request).service.batches.store.info(batch_id, tenant=caller.tenant, reader=caller.reader)
        )
    )


@router.get("/batch/{batch_id}/results", responses={200: {"model": BatchLineOut, "content": {JSON_LINES: {}}}})
async def results(request: Request, batch_id: str, caller: QueryCaller) -> Response:
    """Return one JSON object a line for each request that has its result, in the order of the requests."""
    store = running(request).service.batches.store
    info = await store.info(batch_id, tenant=caller.tenant, reader=caller.reader)
    return StreamingResponse(lines_of(store.results(batch_id, total=info.terms.total)), media_type=JSON_LINES)


@router.delete("/batch/{batch_id}", responses={200: {"model": BatchOut}, 202: {"model": BatchOut}})
async def cancel(request: Request, batch_id: str, caller: QueryCaller) -> Response:
    """Cancel a batch: 202 while it ends, 200 where it has ended. What was answered by then stays."""
    shared = running(request)
    store = shared.service.batches.store
    info = await store.info(batch_id, tenant=caller.tenant, reader=caller.reader)
    if info.ended_at is not None:
        return JSONResponse(batch_json(info))
    await store.cancel(batch_id)
    shared.batches.wake(batch_id)
    info = await store.info(batch_id, tenant=caller.tenant, reader=caller.reader)
    return JSONResponse(batch_json(info), HTTPStatus.ACCEPTED)


async def lines_of(found: AsyncIterator[BatchResult]) -> AsyncIterator[bytes]:
    """Yield the lines of the results."""
    async for result in found:
        yield result_line(result)


async def checked_items(shared: Running, body: BatchRequest, caller: ApiKey) -> list[BatchItem]:
    """Return the requests as they are kept, if all of them can be served.

    Raises: `InvalidRequest` and its kinds naming the request, `CollectionNotFound`, `BudgetSpent`.
    """
    settings = shared.service.settings
    refuse_large(len(body.requests), settings)
    refuse_twins([item.custom_id for item in body.requests])
    items = []
    for item in body.requests:
        with naming(item.custom_id):
            items.append(await checked(item, body, caller, settings=settings))
    library, readers = shared.service.library, {}
    for collection in sorted({item.question.collection for item in items}):
        await library.generation(caller.tenant, collection)
        readers[collection] = await library.told_apart(caller.tenant, collection, caller.reader)
    items = [replace(item, question=replace(item.question, reader=readers[item.question.collection])) for item in items]
    for question in {payer(item.question): item.question for item in items}.values():
        await shared.service.accounts.meter.check(question)
    return items


def refuse_large(requests: int, settings: Settings) -> None:
    """Raise `InvalidRequest` for a batch with more requests than one may have, or than its key may ever have open."""
    most, most_open = settings.batch.max_requests, settings.limits.batch_questions
    if requests > most:
        raise InvalidRequest(f"{requests} requests; a batch holds at most {most}.")
    if 0 < most_open < requests:
        message = f"{requests} requests; a key may have {most_open} open in batches at once (batch_questions)."
        raise InvalidRequest(message)


async def checked(item: BatchQuestion, body: BatchRequest, caller: ApiKey, *, settings: Settings) -> BatchItem:
    """Return a request as it is kept. Raises: `UnknownModel`, `ModelNotAllowed`, `QuestionTooLong`."""
    refuse_unknown(item.model, settings)
    refuse_out_of_reach(item.model, caller, settings)
    await refuse_long(item.question, limit_tokens=settings.max_question_tokens)
    asked = item.model_copy(update={"collection": body.named(item)})
    return BatchItem(item.custom_id, question_of(asked, caller, kept=NEW, settings=settings))


def refuse_out_of_reach(model: str, caller: ApiKey, settings: Settings) -> None:
    """Raise `ModelNotAllowed` for a model above the key's ceiling."""
    named = next((item for item in settings.models if item.name == model), None)
    if named is not None and TIER_RANK[named.tier] > TIER_RANK[caller.tier_ceiling]:
        raise ModelNotAllowed(f"{model} is {named.tier}; this key goes up to {caller.tier_ceiling}.")


def refuse_twins(custom_ids: Sequence[str]) -> None:
    """Raise `InvalidRequest` if two requests share a custom_id."""
    seen: set[str] = set()
    for custom_id in custom_ids:
        if custom_id in seen:
            raise InvalidRequest(f"The custom_id {custom_id!r} appears twice in one batch.")
        seen.add(custom_id)


def payer(question: Question) -> tuple[tuple[str, str], ...]:
    """Return what tells apart the budgets of two questions of one key."""
    return tuple(sorted(question.labels.items()))


@contextmanager
def naming(custom_id: str) -> Iterator[None]:
    """Name the request in what the block raises because of it."""
    try:
        yield
    except InvalidRequest as error:
        raise type(error)(f"request {custom_id!r}: {error.detail}") from error
