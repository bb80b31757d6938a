"""POST /ingest and GET /ingest/{job_id}: documents in, now or in the background."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from indexes.records import IngestResult
from ragopt.api.document_schemas import IngestRequest, IngestResponse
from ragopt.api.problems import problem_of_documents
from ragopt.api.rates import within_rate
from ragopt.api.rendering import Json, ingest_json
from ragopt.api.request_log import trace_of
from ragopt.api.running import Running, running
from ragopt.api.schemas import ProblemOut
from ragopt.api.security import BEARER, IngestCaller, KeyedRoute, actor_of
from ragopt.api.submissions import Submission, read_submission
from ragopt.audit import events as audit
from ragopt.errors import InvalidRequest, StateUnavailable
from ragopt.state.jobs import JobOwner
from ragopt.state.key_records import ApiKey

LOGGER = logging.getLogger("ragopt.requests")
IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}")


def request_body() -> Json:
    """Return the OpenAPI description of the body, which is read by hand: JSON or files."""
    schema = IngestRequest.model_json_schema()
    schema["properties"]["documents"]["items"] = schema.pop("$defs")["DocumentIn"]
    files: Json = {"type": "array", "items": {"type": "string", "format": "binary"}}
    form = {"files": files, "collection": {"type": "string"}, "wait": {"type": "boolean"}, "access": {"type": "string"}}
    content = {
        "application/json": {"schema": schema},
        "multipart/form-data": {"schema": {"type": "object", "properties": form}},
    }
    return {"requestBody": {"required": True, "content": content}}


router = APIRouter(
    route_class=KeyedRoute, dependencies=[BEARER], tags=["documents"], responses={"4XX": {"model": ProblemOut}}
)


async def take_permit(request: Request) -> AsyncIterator[None]:
    """Hold one place among the running ingests for the request: questions have places of their own."""
    running(request).lifetime.refuse_new_work()
    async with running(request).ingests.permit():
        yield


PERMIT = Depends(take_permit)


@router.post(
    "/ingest",
    dependencies=[PERMIT],
    responses={200: {"model": IngestResponse}, 202: {"model": IngestResponse}},
    openapi_extra=request_body(),
)
async def ingest(request: Request, caller: IngestCaller) -> Response:
    """Store documents; with `wait` false in the background. `Idempotency-Key` makes a repetition harmless."""
    await within_rate(request, caller)
    shared = running(request)
    limit = shared.service.settings.max_document_bytes
    with trace_of(request).stage("load"):
        submission = await read_submission(
            request, max_document_bytes=limit, parsers=shared.parsers, fetch=shared.service.fetch
        )

    async def work() -> Response:
        return await (stored if submission.wait else queued)(request, submission, caller)

    key = idempotency_key(request)
    return await (work() if key is None else once(shared, caller, submission, key=key, work=work))


def idempotency_key(request: Request) -> str | None:
    """Return the request's Idempotency-Key, None without one. Raises: `InvalidRequest` for one that is not allowed."""
    key = request.headers.get("idempotency-key")
    if key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidRequest("Idempotency-Key holds 1 to 255 printable ASCII characters.")
    return key


async def once(
    shared: Running, caller: ApiKey, submission: Submission, *, key: str, work: Callable[[], Awaitable[Response]]
) -> Response:
    """Return what `work` returns, or what it returned the first time. Only a success is kept.

    Raises: `IdempotencyConflict`, `StateUnavailable`.
    """
    # The same body is another request where its sender may write something else.
    digest = hashlib.sha256(f"{submission.digest}{caller.reader}".encode()).hexdigest()
    kept = await shared.service.idempotency.begin(caller.tenant, key, digest)
    if kept is not None:
        first = json.loads(kept)
        return JSONResponse(first["content"], first["status"], headers={"Idempotency-Replayed": "true"})
    done = False
    try:
        response = await work()
        done = response.status_code < HTTPStatus.BAD_REQUEST
    finally:
        # A state that fails now changes nothing of what was stored: the answer stands either way.
        with suppress(StateUnavailable):
            if done:
                kept = kept_response(response)
                await shared.service.idempotency.complete(caller.tenant, key, digest, response=kept)
            else:
                await shared.service.idempotency.abandon(caller.tenant, key)
    return response


def kept_response(response: Response) -> bytes:
    """Return a JSON response as it is kept for a repetition."""
    return json.dumps({"status": response.status_code, "content": json.loads(bytes(response.body))}).encode()


async def stored(request: Request, submission: Submission, caller: ApiKey) -> Response:
    """Return the results once everything is stored; a problem if nothing could be."""
    shared, trace = running(request), trace_of(request)
    with trace.stage("ingest"):
        results = await shared.service.library.ingest(
            caller.tenant, submission.collection, submission.documents(), by=caller.reader
        )
    shared.metrics.ingested(results)
    merged = submission.merged(results)
    taken_in(request, submission, caller, documents=audit.stored(merged))
    if all(result.status == "failed" for result in merged):
        return nothing_stored(request, merged)
    try:
        whose = JobOwner(caller.tenant, submission.collection, caller.reader, submission.restricted)
        job_id = await shared.service.jobs.record(whose, merged)
    except StateUnavailable as error:
        # The documents are stored; only the record for GET /ingest/{job_id} is missing.
        trace.fell_back("jobs", error.detail)
        job_id = uuid.uuid4().hex
    return JSONResponse(ingest_json(job_id, "done", merged))


async def queued(request: Request, submission: Submission, caller: ApiKey) -> Response:
    """Return 202 with the job; `documents` lists the files that failed to load already."""
    shared = running(request)
    unreadable = [item for item in submission.items if isinstance(item, IngestResult)]
    if len(unreadable) == len(submission.items):
        return nothing_stored(request, unreadable)
    # A queue must not keep what the collection's policy redacts.
    admitted = await shared.service.library.admitted(caller.tenant, submission.collection, submission.documents())
    whose = JobOwner(caller.tenant, submission.collection, caller.reader, submission.restricted)
    job_id = await shared.service.jobs.create(whose, admitted)
    named = tuple(audit.DocumentUse(document.id, outcome="queued") for document in admitted)
    taken_in(request, submission, caller, documents=named, job_id=job_id)
    shared.jobs.wake()
    headers = {"Location": f"/ingest/{job_id}"}
    return JSONResponse(ingest_json(job_id, "queued", unreadable), HTTPStatus.ACCEPTED, headers=headers)


def taken_in(
    request: Request,
    submission: Submission,
    caller: ApiKey,
    *,
    documents: tuple[audit.DocumentUse, ...],
    job_id: str = "",
) -> None:
    """Tell the audit log what an ingest stored or queued."""
    actor = actor_of(caller)
    request_id = trace_of(request).request_id
    told = audit.AuditEvent("ingest", actor, request_id, submission.collection, job_id, documents)
    running(request).service.audit.record(told)


def nothing_stored(request: Request, results: list[IngestResult]) -> Response:
    """Return the problem of a request of which every document failed."""
    failures = [(result.id, result.error.code, result.error.detail) for result in results if result.error is not None]
    problem = problem_of_documents(failures)
    return problem.response(instance=request.url.path, request_id=trace_of(request).request_id)


@router.get("/ingest/{job_id}", responses={200: {"model": IngestResponse}})
async def job(request: Request, job_id: str, caller: IngestCaller) -> Response:
    """Return how far a job is, and what became of each document once it is done."""
    found = await running(request).service.jobs.get(caller.tenant, job_id, reader=caller.reader)
    counts = {"error": found.error, "chunks_done": found.chunks_done, "chunks_total": found.chunks_total}
    return JSONResponse({**ingest_json(found.id, found.status, found.documents), **counts})
