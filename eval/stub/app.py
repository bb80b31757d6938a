"""The stub as a web application: the endpoints of both providers, and those that steer and watch it."""

from __future__ import annotations

import json

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from eval.stub.anthropic_dialect import AnthropicDialect
from eval.stub.asking import Ask, BadRequestError, Json
from eval.stub.batch_routes import add_batches
from eval.stub.control import add_control
from eval.stub.dialects import Dialect
from eval.stub.faults import FAULTS, HEADER, chosen_fault, without_fault
from eval.stub.models import context_tokens
from eval.stub.openai_dialect import CREATED, OpenAIDialect
from eval.stub.planning import JSON_TYPE, Asked, plan_for, reported_usage, request_id_header
from eval.stub.state import CallWatch, SeenCall, Step, StubState, account_of, prompt_digest
from eval.stub.wire import Plan, WireResponse, once

CREATED_AT = "2026-01-01T00:00:00Z"


def create_app(state: StubState) -> FastAPI:
    """Return the application over `state`."""
    app = FastAPI(title="ragopt provider stub", openapi_url=None)
    openai, anthropic = OpenAIDialect(), AnthropicDialect()

    @app.post("/v1/chat/completions")
    async def chat_completions(request: Request) -> Response:
        return await respond(request, openai, state)

    @app.post("/v1/messages")
    async def messages(request: Request) -> Response:
        return await respond(request, anthropic, state)

    @app.post("/v1/messages/count_tokens")
    async def count_tokens(request: Request) -> Response:
        return counted(await request.body(), anthropic)

    @app.get("/v1/models")
    async def models(request: Request) -> Json:
        return listed_models(as_anthropic="anthropic-version" in request.headers)

    @app.get("/v1/models/{name:path}")
    async def model(name: str, request: Request) -> Json:
        return shown_model(name, as_anthropic="anthropic-version" in request.headers)

    add_batches(app, state)
    add_control(app, state)
    return app


async def respond(request: Request, dialect: Dialect, state: StubState) -> Response:
    """Return the answer, or the failure that was asked for; keeps the call."""
    state.enter()
    watch = CallWatch(state, call=None)
    data = await request.body()
    n = next(state.numbers)
    port = request.client.port if request.client else 0
    try:
        body = read_body(data)
        ask = dialect.ask(body, version=request.headers.get("anthropic-version", ""))
    except (ValueError, BadRequestError) as error:
        code = error.code if isinstance(error, BadRequestError) else None
        refused = json.dumps(dialect.error(400, code=code, message=str(error))).encode()
        plan = Plan(once(refused), JSON_TYPE, 400, (request_id_header(dialect, n),))
        return WireResponse(plan, watch, abort=lambda: state.abort(port))
    step = state.next_step(dialect.name, without_fault(ask.model))
    fault = fault_of(request, ask, step, default=state.options.fault)
    asked = Asked(ask, dialect, fault, account_of(request.headers), n, step)
    watch.call = seen(asked, path=request.url.path, port=port, at_s=state.now())
    state.calls.append(watch.call)
    plan, outcome = plan_for(asked, state)
    watch.call.status = plan.status
    watch.call.usage = reported_usage(outcome, dialect)
    return WireResponse(plan, watch, abort=lambda: state.abort(port))


def read_body(data: bytes) -> dict[str, object]:
    """Return a request's body. Raises: `ValueError` if it is no JSON, `BadRequestError` if it is no object."""
    body: object = json.loads(data)
    if not isinstance(body, dict):
        raise BadRequestError("the body is not an object")
    return body


def fault_of(request: Request, ask: Ask, step: Step | None, *, default: str) -> str:
    """Return how a request fails: as its header says, else as was planned, else by its model, else by `default`."""
    header = request.headers.get(HEADER)
    if step is not None and header not in FAULTS:
        return step.fault
    return chosen_fault(ask.model, header, default)


def seen(asked: Asked, *, path: str, port: int, at_s: float) -> SeenCall:
    """Return the record of a request."""
    prompt_bytes, prefix = prompt_digest(asked.ask)
    return SeenCall(
        n=asked.n,
        dialect=asked.dialect.name,
        path=path,
        model=asked.ask.model,
        stream=asked.ask.stream,
        fault=asked.fault,
        prompt_bytes=prompt_bytes,
        prompt_tokens=asked.ask.prompt_tokens,
        prefix_sha256=prefix,
        account=asked.account,
        port=port,
        at_s=at_s,
        body=asked.ask.body,
    )


def counted(data: bytes, dialect: Dialect) -> Response:
    """Return how many tokens a prompt of Anthropic's dialect has; its output limit may be missing."""
    try:
        ask = dialect.ask({"max_tokens": 1, **read_body(data)}, version="")
    except (ValueError, BadRequestError) as error:
        return JSONResponse(dialect.error(400, message=str(error)), status_code=400)
    return JSONResponse({"input_tokens": ask.prompt_tokens})


def listed_models(*, as_anthropic: bool) -> Json:
    """Return the models: one for each fault; the stub answers to any other name as well."""
    rows = [shown_model(f"stub-{fault}", as_anthropic=as_anthropic) for fault in FAULTS]
    if as_anthropic:
        return {"data": rows, "has_more": False, "first_id": rows[0]["id"], "last_id": rows[-1]["id"]}
    return {"object": "list", "data": rows, "has_more": False}


def shown_model(name: str, *, as_anthropic: bool) -> Json:
    """Return one model as its provider describes it."""
    if not as_anthropic:
        return {"id": name, "object": "model", "created": CREATED, "owned_by": "stub"}
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": CREATED_AT,
        "lifecycle": "active",
        "max_input_tokens": context_tokens(without_fault(name)),
    }
