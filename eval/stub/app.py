"""The stub as a web application."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from eval.stub.answering import answer_to
from eval.stub.dialects import AnthropicDialect, Ask, BadRequestError, Dialect, Json, OpenAIDialect, Reply
from eval.stub.faults import FAULTS, HEADER, STATUSES, chosen_fault
from eval.stub.wire import EVENT_STREAM, Plan, WireResponse, once, streamed, whole
from ragopt.tokens import count_tokens

PREFIX_BYTES = 1024
TOKENS_PER_MESSAGE = 3
RETRY_AFTER_S = "1"
HTML = b"<!doctype html><title>Sign in</title><p>Please sign in to this network.</p>"


@dataclass(frozen=True, slots=True)
class StubOptions:
    """How the whole server behaves: the fault unless a request names one, a fixed answer, a delay before it."""

    fault: str = "ok"
    answer: str | None = None
    delay_ms: float = 0


@dataclass(slots=True)
class SeenCall:
    """One request. prefix_sha256: of the prompt's first 1,024 bytes, equal where a prompt cache would match."""

    dialect: str
    model: str
    stream: bool
    fault: str
    prompt_bytes: int
    prompt_tokens: int
    prefix_sha256: str
    authorized: bool
    client_disconnected: bool = False


@dataclass(slots=True)
class StubState:
    """What the server was told and what it remembers."""

    options: StubOptions
    calls: list[SeenCall] = field(default_factory=list)


def create_app(state: StubState) -> FastAPI:
    """Return the application over `state`."""
    app = FastAPI(title="ragopt provider stub", openapi_url=None)

    @app.post("/v1/chat/completions")
    async def chat_completions(request: Request) -> Response:
        return await respond(request, OpenAIDialect(), state)

    @app.post("/v1/messages")
    async def messages(request: Request) -> Response:
        return await respond(request, AnthropicDialect(), state)

    @app.get("/v1/models")
    async def models() -> Json:
        rows = [{"id": f"stub-{fault}", "object": "model", "created": 0, "owned_by": "stub"} for fault in FAULTS]
        return {"object": "list", "data": rows, "has_more": False}

    @app.get("/stub/calls")
    async def calls() -> Json:
        return {"calls": [asdict(call) for call in state.calls]}

    @app.delete("/stub/calls")
    async def forget_calls() -> Json:
        state.calls.clear()
        return {"calls": []}

    return app


async def respond(request: Request, dialect: Dialect, state: StubState) -> Response:
    """Return the answer, or the failure that was asked for; keeps the call."""
    try:
        body: object = json.loads(await request.body())
        if not isinstance(body, dict):
            raise BadRequestError("the body is not an object")
        ask = dialect.ask(body, version=request.headers.get("anthropic-version", ""))
    except (ValueError, BadRequestError) as error:
        return JSONResponse(dialect.error(400, message=str(error)), status_code=400)
    fault = chosen_fault(ask.model, request.headers.get(HEADER), state.options.fault)
    keys = {"authorization", "x-api-key"} & set(request.headers)
    call = seen(ask, dialect.name, fault=fault, authorized=bool(keys))
    state.calls.append(call)

    def note_leaving() -> None:
        call.client_disconnected = True

    plan = planned(ask, dialect, options=state.options, fault=fault)
    return WireResponse(plan, on_leave=note_leaving)


def planned(ask: Ask, dialect: Dialect, *, options: StubOptions, fault: str) -> Plan:
    """Return what to send."""
    delay_s = options.delay_ms / 1000
    if fault == "html200":
        return Plan(once(HTML), "text/html; charset=utf-8", delay_s=delay_s)
    if (failure := status_of(fault, streaming=ask.stream)) is not None:
        data = json.dumps(dialect.error(failure, quota=fault == "quota429")).encode()
        retry = (("retry-after", RETRY_AFTER_S),) if fault in ("429", "503", "529") else ()
        return Plan(once(data), "application/json", status=failure, headers=retry, delay_s=delay_s)
    text = "" if fault == "empty" else options.answer or answer_to(ask.user_message)
    usage = None if fault == "no_usage" else (prompt_tokens(ask), count_tokens(text))
    reply = Reply(ask.model, text, usage)
    if ask.stream:
        frames = dialect.frames(reply, stream_usage=ask.stream_usage)
        return Plan(streamed(frames, fault), EVENT_STREAM, delay_s=delay_s)
    return Plan(whole(dialect.whole(reply), fault), "application/json", delay_s=delay_s)


def status_of(fault: str, *, streaming: bool) -> int | None:
    """Return the HTTP status `fault` fails with, None where it fails otherwise or not at all."""
    if fault == "sse_error":
        return None if streaming else 503
    by_name = {"quota429": 429, **{str(status): status for status in STATUSES}}
    return by_name.get(fault)


def seen(ask: Ask, dialect: str, *, fault: str, authorized: bool) -> SeenCall:
    """Return the record of a request."""
    prompt = "\n".join(f"{role}: {text}" for role, text in ask.messages).encode()
    return SeenCall(
        dialect=dialect,
        model=ask.model,
        stream=ask.stream,
        fault=fault,
        prompt_bytes=len(prompt),
        prompt_tokens=prompt_tokens(ask),
        prefix_sha256=hashlib.sha256(prompt[:PREFIX_BYTES]).hexdigest(),
        authorized=authorized,
    )


def prompt_tokens(ask: Ask) -> int:
    """Return the prompt's tokens with the few that a chat format adds to each message."""
    return sum(count_tokens(text) + TOKENS_PER_MESSAGE for _, text in ask.messages) + TOKENS_PER_MESSAGE
