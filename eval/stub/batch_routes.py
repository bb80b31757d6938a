"""The batch endpoints of both providers. A header, or a planned step for the model `batches`, makes one fail.

A fault that is a status fails before anything is done, as an overloaded server does; one of the wire
(`reset`, `cut`, `hang`) after it: the client then does not know that its batch exists.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request
from starlette.responses import Response

from eval.stub.anthropic_dialect import AnthropicDialect
from eval.stub.asking import BadRequestError, Json
from eval.stub.batch_store import Batches, NotFoundError
from eval.stub.dialects import Dialect
from eval.stub.faults import FAULTS, HEADER, failing_status, retry_headers
from eval.stub.openai_dialect import OpenAIDialect
from eval.stub.planning import JSON_TYPE, request_id_header
from eval.stub.state import CallWatch, SeenCall, StubState, account_of
from eval.stub.wire import Plan, Script, WireResponse, once, played, whole_script

MODEL = "batches"
LINES_TYPE = "application/x-jsonl"

Work = Callable[[], Awaitable["Json | bytes"]]


def add_batches(app: FastAPI, state: StubState) -> None:
    """Add the batch endpoints of both providers."""
    batches = Batches(state)
    add_openai(app, state, batches)
    add_anthropic(app, state, batches)


def add_openai(app: FastAPI, state: StubState, batches: Batches) -> None:
    """Add files and batches of OpenAI."""
    dialect = OpenAIDialect()

    @app.post("/v1/files")
    async def upload(request: Request) -> Response:
        return await handled(request, dialect, state, lambda: batches.upload(request))

    @app.get("/v1/files/{file_id}")
    async def file(file_id: str, request: Request) -> Response:
        return await handled(request, dialect, state, at_once(lambda: batches.file(file_id).shown()))

    @app.delete("/v1/files/{file_id}")
    async def delete(file_id: str, request: Request) -> Response:
        return await handled(request, dialect, state, at_once(lambda: batches.delete_file(file_id)))

    @app.get("/v1/files/{file_id}/content")
    async def content(file_id: str, request: Request) -> Response:
        return await handled(request, dialect, state, at_once(lambda: batches.file(file_id).data))

    @app.post("/v1/batches")
    async def create(request: Request) -> Response:
        return await handled(request, dialect, state, lambda: batches.create_openai(request))

    @app.get("/v1/batches")
    async def listed(request: Request) -> Response:
        return await handled(request, dialect, state, at_once(batches.list_openai))

    @app.get("/v1/batches/{batch_id}")
    async def batch(batch_id: str, request: Request) -> Response:
        return await handled(request, dialect, state, at_once(lambda: batches.openai(batch_id)))

    @app.post("/v1/batches/{batch_id}/cancel")
    async def cancel(batch_id: str, request: Request) -> Response:
        return await handled(request, dialect, state, at_once(lambda: batches.cancel_openai(batch_id)))


def add_anthropic(app: FastAPI, state: StubState, batches: Batches) -> None:
    """Add message batches of Anthropic."""
    dialect = AnthropicDialect()

    @app.post("/v1/messages/batches")
    async def create(request: Request) -> Response:
        return await handled(request, dialect, state, lambda: batches.create_anthropic(request))

    @app.get("/v1/messages/batches")
    async def listed(request: Request) -> Response:
        return await handled(request, dialect, state, at_once(lambda: batches.list_anthropic(request)))

    @app.get("/v1/messages/batches/{batch_id}")
    async def batch(batch_id: str, request: Request) -> Response:
        return await handled(request, dialect, state, at_once(lambda: batches.anthropic(batch_id, request)))

    @app.delete("/v1/messages/batches/{batch_id}")
    async def delete(batch_id: str, request: Request) -> Response:
        return await handled(request, dialect, state, at_once(lambda: batches.delete_anthropic(batch_id)))

    @app.get("/v1/messages/batches/{batch_id}/results")
    async def results(batch_id: str, request: Request) -> Response:
        return await handled(request, dialect, state, at_once(lambda: batches.results(batch_id)))

    @app.post("/v1/messages/batches/{batch_id}/cancel")
    async def cancel(batch_id: str, request: Request) -> Response:
        return await handled(request, dialect, state, at_once(lambda: batches.cancel_anthropic(batch_id, request)))


def at_once(work: Callable[[], Json | bytes]) -> Work:
    """Return work that waits for nothing, as work that may."""

    async def awaited() -> Json | bytes:
        return work()

    return awaited


async def handled(request: Request, dialect: Dialect, state: StubState, work: Work) -> Response:
    """Return the answer of `work`, an error in the dialect, or the failure that was asked for; keeps the call."""
    state.enter()
    fault = fault_of(request, dialect, state)
    status = failing_status(fault, streaming=False) or 200
    body: Json | bytes = dialect.error(status)
    if status == 200:
        status, body = await done(work, dialect)
    n = next(state.numbers)
    script: Script = whole_script(body, fault) if not isinstance(body, bytes) else [body]
    content_type = LINES_TYPE if isinstance(body, bytes) else JSON_TYPE
    headers = (request_id_header(dialect, n), *retry_headers(fault))
    plan = Plan(played(script), content_type, status, headers)
    if fault == "drop":
        plan = Plan(once(b""), aborts=True)
    call = record(request, dialect, state, n=n, fault=fault, status=status)
    return WireResponse(plan, CallWatch(state, call), abort=lambda: state.abort(call.port))


async def done(work: Work, dialect: Dialect) -> tuple[int, Json | bytes]:
    """Return status and body of what `work` comes to."""
    try:
        return 200, await work()
    except NotFoundError as error:
        return 404, dialect.error(404, message=str(error))
    except (ValueError, BadRequestError) as error:
        status = 413 if isinstance(error, BadRequestError) and error.code == "request_too_large" else 400
        return status, dialect.error(status, message=str(error))


def fault_of(request: Request, dialect: Dialect, state: StubState) -> str:
    """Return how a request fails: as its header says, else the first step that is planned for batches."""
    header = request.headers.get(HEADER)
    if header in FAULTS:
        return str(header)
    for step in state.steps:
        if step.model == MODEL and step.fits(dialect.name, MODEL):
            state.steps.remove(step)
            return step.fault
    return "ok"


def record(request: Request, dialect: Dialect, state: StubState, *, n: int, fault: str, status: int) -> SeenCall:
    """Return the record of a request, which the state keeps."""
    call = SeenCall(
        n=n,
        dialect=dialect.name,
        path=request.url.path,
        model=MODEL,
        stream=False,
        fault=fault,
        prompt_bytes=0,
        prompt_tokens=0,
        prefix_sha256="",
        account=account_of(request.headers),
        port=request.client.port if request.client else 0,
        at_s=state.now(),
        body={},
        status=status,
        method=request.method,
    )
    state.calls.append(call)
    return call
