"""POST /v1/chat/completions and GET /v1/models: the official `openai` client and chat front ends work unchanged."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ragopt.api.answers import PERMIT, Asked, deadline, finished, kept, note_failure, understood
from ragopt.api.chat.rendering import DONE, Completion, event
from ragopt.api.chat.wire import MODEL_PREFIX, ChatRequest, ModelList, ModelOut
from ragopt.api.limits import while_connected
from ragopt.api.problems import problem_of
from ragopt.api.rendering import answer_json
from ragopt.api.running import Running, running
from ragopt.api.security import BEARER, KeyedRoute, QueryCaller
from ragopt.api.sse import EventStream
from ragopt.config import Settings
from ragopt.domain import Answer
from ragopt.errors import UnknownModel
from ragopt.events import AnswerEvent, Finished, TextReleased

router = APIRouter(prefix="/v1", route_class=KeyedRoute, dependencies=[BEARER], tags=["OpenAI wire format"])
# The clients want a date; the names have none.
CREATED = 0


@router.post("/chat/completions", dependencies=[PERMIT], responses={200: {"content": {"text/event-stream": {}}}})
async def chat_completions(request: Request, body: ChatRequest) -> Response:
    """Answer the last user message from the documents, in OpenAI's format; our own fields ride under `ragopt`."""
    shared = running(request)
    async with while_connected(request.receive), shared.lifetime.until(deadline(request)):
        asked = await understood(request, body.question(), instructions=body.instructions)
        completion = completion_of(request, body, asked)
        events = shared.service.pipeline.answer(asked.question, trace=asked.trace)
        if not body.stream:
            whole = await finished(events, asked, shared)
            return JSONResponse(completion.whole(whole, extension(whole, body, asked)))
        # The sources are waited for: what fails before them still has a status code of its own.
        await anext(events)
    return EventStream(chunks(completion, body, events, asked=asked, shared=shared))


@router.get("/models", responses={200: {"model": ModelList}})
async def models(request: Request, caller: QueryCaller) -> ModelList:  # noqa: ARG001 - the key decides whether to tell
    """List the names that `model` takes."""
    return ModelList(data=[model_out(name) for name in model_names(running(request).service.settings)])


@router.get("/models/{name:path}", responses={200: {"model": ModelOut}})
async def model(request: Request, name: str, caller: QueryCaller) -> ModelOut:  # noqa: ARG001 - as above
    """Tell of one name that `model` takes."""
    known = model_names(running(request).service.settings)
    asked = f"{MODEL_PREFIX}{name.removeprefix(MODEL_PREFIX)}"
    if asked not in known:
        raise UnknownModel(f"No such model; there are {', '.join(known)}.")
    return model_out(asked)


def model_names(settings: Settings) -> list[str]:
    """Return the names that `model` takes, `ragopt/auto` first."""
    configured = [model.name for model in settings.models] or ["extractive"]
    return [f"{MODEL_PREFIX}{name}" for name in ("auto", *configured)]


def model_out(name: str) -> ModelOut:
    """Return one entry of the list."""
    return ModelOut(id=name, created=CREATED, owned_by="ragopt")


def completion_of(request: Request, body: ChatRequest, asked: Asked) -> Completion:
    """Return what the objects of one completion share; its id is the answer's, so that feedback can name it."""
    return Completion(
        id=f"chatcmpl-{asked.question.answer_id}",
        model=body.model,
        created=int(time.time()),
        documents_url=str(request.base_url).rstrip("/") + "/documents",
        collection=asked.question.collection,
    )


def extension(whole: Answer, body: ChatRequest, asked: Asked) -> dict[str, object]:
    """Return what rides under `ragopt`: `POST /answer`'s object, and the parameters that changed nothing."""
    told = answer_json(whole, conversation_id=asked.conversation_id, trace=asked.trace)
    return {**told, "ignored_parameters": body.ignored}


async def chunks(
    completion: Completion,
    body: ChatRequest,
    events: AsyncGenerator[AnswerEvent, None],
    *,
    asked: Asked,
    shared: Running,
) -> AsyncGenerator[bytes, None]:
    """Yield the chunks on the wire, `[DONE]` last; an error ends them with OpenAI's error object."""
    async with aclosing(events):
        yield completion.opening()
        try:
            async for item in shared.lifetime.each_until(asked.ends, events):
                yield await told(completion, body, item, asked=asked, shared=shared)
        except Exception as error:  # noqa: BLE001 - the edge: a stream has no status left, its last event tells
            note_failure(error, asked.trace)
            yield event(problem_of(error).envelope(request_id=asked.trace.request_id))
        else:
            yield DONE


async def told(completion: Completion, body: ChatRequest, item: AnswerEvent, *, asked: Asked, shared: Running) -> bytes:
    """Return the chunks of one event of the pipeline, b"" for none; the last event is written down first."""
    if isinstance(item, TextReleased):
        return completion.text(item.text)
    if not isinstance(item, Finished):
        return b""
    await kept(item.answer, asked, shared)
    last = completion.closing(item.answer, extension(item.answer, body, asked))
    wanted = body.stream_options is not None and body.stream_options.include_usage
    return last + completion.usage(item.answer) if wanted else last
