"""POST /context and POST /answer: questions in, packed context or checked answers out."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from indexes.errors import IndexingError
from ragopt.api.admission import class_of
from ragopt.api.limits import while_connected
from ragopt.api.problems import problem_of
from ragopt.api.questions import bare_question, question_of
from ragopt.api.rates import likely_tokens, settle_rate, within_rate
from ragopt.api.rendering import answer_json, citation_json, context_json, passage_json, usage_json
from ragopt.api.request_log import trace_of
from ragopt.api.running import Running, running
from ragopt.api.schemas import AnswerRequest, AnswerResponse, ContextRequest, ContextResponse, ProblemOut
from ragopt.api.security import BEARER, KeyedRoute, QueryCaller, authorized, likely_tenant
from ragopt.api.sse import EventStream, encode_event
from ragopt.audit import events as audit
from ragopt.config import Settings
from ragopt.domain import Answer, Question, Turn
from ragopt.errors import NotFound, QuestionTooLong, RagoptError, UnknownModel
from ragopt.events import AnswerEvent, CitationFound, Finished, SourcesFound, TextReleased
from ragopt.experiments.assigning import Assignment, applied, assigned
from ragopt.experiments.losses import losses_of
from ragopt.form import in_paragraphs
from ragopt.money.ledger import row_of
from ragopt.state.conversations import NEW, UNKNOWN, Conversation
from ragopt.telemetry import Trace
from ragopt.tokens import count_tokens

LOGGER = logging.getLogger("ragopt.requests")
# No token is longer than this many characters, white space included: a longer question need not be counted.
LONGEST_TOKEN_CHARS = 128

router = APIRouter(
    route_class=KeyedRoute, dependencies=[BEARER], tags=["questions"], responses={"4XX": {"model": ProblemOut}}
)


async def take_permit(request: Request) -> AsyncIterator[None]:
    """Hold one place among the running questions until the last byte of the response is out."""
    running(request).lifetime.refuse_new_work()
    async with running(request).questions.permit(class_of(request)):
        yield


PERMIT = Depends(take_permit)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that may be answered, until when on the loop's clock, and where its answer is remembered.

    conversation: as it was loaded. tokens_taken: of the key's limit per minute, until it is known how many the answer
    used.
    """

    question: Question
    conversation_id: str | None
    ends: float
    trace: Trace
    conversation: Conversation = NEW
    tokens_taken: int = 0
    assignment: Assignment | None = None


@router.post("/context", dependencies=[PERMIT], responses={200: {"model": ContextResponse}})
async def context(request: Request, body: ContextRequest, caller: QueryCaller) -> Response:
    """Retrieve and pack the passages for a question; no model is called."""
    shared, trace, ends = running(request), trace_of(request), deadline(request)
    async with while_connected(request.receive), shared.lifetime.until(ends):
        await within_rate(request, caller)
        await refuse_long(body.question, limit_tokens=shared.service.settings.max_question_tokens)
        reader = await shared.service.library.told_apart(caller.tenant, body.collection, caller.reader)
        question = replace(bare_question(body, caller, settings=shared.service.settings), reader=reader)
        found = await shared.service.pipeline.context_for(question, trace=trace)
        shared.service.audit.record(audit.found(found, question, request_id=trace.request_id))
    return JSONResponse({**context_json(found), "timings_ms": trace.timings_ms()})


@router.post(
    "/answer",
    dependencies=[PERMIT],
    responses={200: {"model": AnswerResponse, "content": {"text/event-stream": {}}}},
)
async def answer(request: Request, body: AnswerRequest) -> Response:
    """Answer a question from the collection's documents, with checked citations; `stream` for server-sent events."""
    shared = running(request)
    async with while_connected(request.receive), shared.lifetime.until(deadline(request)):
        asked = await understood(request, body)
        events = shared.service.pipeline.answer(asked.question, trace=asked.trace)
        if not body.stream:
            whole = await finished(events, asked, shared)
            return JSONResponse(answer_json(whole, conversation_id=asked.conversation_id, trace=asked.trace))
        # The first event is waited for: what fails before it still has a status code of its own.
        first = await anext(events)
    return EventStream(answer_events(first, events, asked=asked, shared=shared))


async def understood(request: Request, body: AnswerRequest, *, instructions: str = "") -> Asked:
    """Return the question, with its history loaded beside the key check where the key passed here before.

    instructions: the application's own system message.

    Raises: `MissingKey`, `MissingScope`, `UnknownModel`, `QuestionTooLong`, `StateUnavailable`, `RateLimited`,
    `BudgetSpent`, `NotFound` for a conversation that the caller may not read all of.
    """
    shared, trace = running(request), trace_of(request)
    settings = shared.service.settings
    guess = likely_tenant(request)
    guessed = asyncio.create_task(conversation(shared, trace, tenant=guess, conversation_id=body.conversation_id))
    try:
        caller = await authorized(request, "query")
        refuse_unknown(body.model, settings)
        await refuse_long(body.question, limit_tokens=settings.max_question_tokens)
        # Read as somebody else: the key has changed hands since it last passed. What was read is dropped.
        wrong = caller.tenant != guess
        kept = await (
            conversation(shared, trace, tenant=caller.tenant, conversation_id=body.conversation_id)
            if wrong
            else guessed
        )
    finally:
        guessed.cancel()
        await asyncio.gather(guessed, return_exceptions=True)
    if not caller.reader.covers(kept.reader):
        raise NotFound(UNKNOWN)
    reader = await shared.service.library.told_apart(caller.tenant, body.collection, caller.reader)
    question = question_of(body, caller, kept=kept, settings=settings)
    question = replace(question, instructions=in_paragraphs(question.instructions, instructions), reader=reader)
    assignment = await assignment_of(shared, question, body.conversation_id)
    question = applied(question, assignment)
    if assignment is not None:
        trace.note(variant=assignment.name)
    tokens = likely_tokens(question, usual_output=settings.max_output_tokens)
    taken = await within_rate(request, caller, tokens=tokens)
    await shared.service.accounts.meter.check(question)
    return Asked(
        question, body.conversation_id, deadline(request), trace, kept, tokens_taken=taken, assignment=assignment
    )


async def assignment_of(shared: Running, question: Question, conversation_id: str | None) -> Assignment | None:
    """Return the experiment's variant that the question is answered with, None where none is for it."""
    experiments = shared.service.experiments
    if not experiments.settings:
        return None
    stopped = await experiments.stopped()
    return assigned(question, experiments.settings, conversation_id=conversation_id, stopped=stopped)


async def conversation(
    shared: Running, trace: Trace, *, tenant: str | None, conversation_id: str | None
) -> Conversation:
    """Return the tenant's conversation, a new one without tenant or id. Raises: `StateUnavailable`."""
    if tenant is None or conversation_id is None:
        return NEW
    with trace.stage("history"):
        return await shared.service.conversations.load(tenant, conversation_id)


def deadline(request: Request) -> float:
    """Return when the request must be over, on the loop's clock, counted from its first byte; kept in its trace."""
    trace = trace_of(request)
    if trace.ends == math.inf:
        left_s = running(request).service.settings.request_timeout_s - trace.timings_ms()["total"] / 1000
        trace.ends = asyncio.get_running_loop().time() + left_s
    return trace.ends


def refuse_unknown(model: str, settings: Settings) -> None:
    """Raise `UnknownModel` before any work for a model that nothing is configured under."""
    names = ["auto", *([configured.name for configured in settings.models] or ["extractive"])]
    if model not in names:
        raise UnknownModel(f"No such model; there are {', '.join(names)}.")


async def refuse_long(question: str, *, limit_tokens: int) -> None:
    """Raise `QuestionTooLong` for a question over `limit_tokens` tokens of o200k_base."""
    if len(question) <= limit_tokens // 4:  # a character is at most four bytes, a byte at most one token
        return
    hopeless = len(question) > limit_tokens * LONGEST_TOKEN_CHARS
    if hopeless or await asyncio.to_thread(count_tokens, question) > limit_tokens:
        raise QuestionTooLong(f"The question is over the limit of {limit_tokens} tokens.")


async def finished(events: AsyncGenerator[AnswerEvent, None], asked: Asked, shared: Running) -> Answer:
    """Return the whole answer, written down and remembered in its conversation."""
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Finished):
                await kept(event.answer, asked, shared)
                return event.answer
    raise RagoptError("The pipeline ended without an answer.")


async def kept(whole: Answer, asked: Asked, shared: Running) -> None:
    """Write the answer down: in the ledger, the audit log, the key's limits and its conversation.

    Raises: `StateUnavailable`.
    """
    trace = asked.trace
    trace.answered(whole, asked.question.labels)
    line = audit.answered(whole, asked.question, request_id=trace.request_id, fallbacks=sorted(trace.fallbacks))
    shared.service.audit.record(line)
    latency_ms = trace.timings_ms()["total"]
    row = row_of(whole, asked.question, at=time.time(), latency_ms=latency_ms)
    shared.service.accounts.ledger.answered(row)
    shared.service.accounts.costs.saw(asked.question.tenant)
    shared.service.feedback.given(whole, asked.question)
    shared.service.keeper.given(whole, asked.question)
    if asked.assignment is not None:
        names = asked.assignment.experiment.name, asked.assignment.variant.name
        losses = losses_of(whole, latency_ms=latency_ms)
        shared.service.experiments.saw(*names, answer_id=whole.id, losses=losses)
    settle_rate(shared.service.rates, asked.question.key_id, whole.usage, taken=asked.tokens_taken)
    await remember(whole, asked, shared)


async def remember(whole: Answer, asked: Asked, shared: Running) -> None:
    """Append the question and its answer to the conversation, if there is one. Raises: `StateUnavailable`."""
    if asked.conversation_id is None:
        return
    said = (Turn("user", asked.question.text), Turn("assistant", whole.text))
    with asked.trace.stage("remember"):
        await shared.service.conversations.append(
            asked.question.tenant, asked.conversation_id, said, known=asked.conversation, question=asked.question
        )


async def answer_events(
    first: AnswerEvent, rest: AsyncGenerator[AnswerEvent, None], *, asked: Asked, shared: Running
) -> AsyncGenerator[bytes, None]:
    """Yield the events on the wire: meta, sources, delta…, citation…, usage, done; or a terminal error."""
    meta = {
        "request_id": asked.trace.request_id,
        "collection": asked.question.collection,
        "model": asked.question.model,
        "conversation_id": asked.conversation_id,
    }
    async with aclosing(rest):
        yield encode_event("meta", meta)
        yield wire(first, asked)
        try:
            async for event in shared.lifetime.each_until(asked.ends, rest):
                yield await told(event, asked, shared)
        except Exception as error:  # noqa: BLE001 - the edge: a stream has no status left, its last event tells
            yield error_event(error, asked.trace)


async def told(event: AnswerEvent, asked: Asked, shared: Running) -> bytes:
    """Return one event as it goes over the wire; the last one is kept first, and preceded by the usage."""
    if not isinstance(event, Finished):
        return wire(event, asked)
    await kept(event.answer, asked, shared)
    return encode_event("usage", usage_json(event.answer.usage)) + wire(event, asked)


def wire(event: AnswerEvent, asked: Asked) -> bytes:
    """Return one event of the pipeline as it goes over the wire."""
    match event:
        case SourcesFound():
            return encode_event("sources", [passage_json(passage) for passage in event.context.passages])
        case TextReleased():
            return encode_event("delta", {"text": event.text})
        case CitationFound():
            return encode_event("citation", citation_json(event.citation))
        case Finished():
            whole = answer_json(event.answer, conversation_id=asked.conversation_id, trace=asked.trace)
            return encode_event("done", whole)


def error_event(error: Exception, trace: Trace) -> bytes:
    """Return the terminal error event; logs an error that nobody raised on purpose."""
    note_failure(error, trace)
    return encode_event("error", problem_of(error).content(instance="/answer", request_id=trace.request_id))


def note_failure(error: Exception, trace: Trace) -> None:
    """Keep the code of what ended a stream; log an error that nobody raised on purpose."""
    trace.note(code=problem_of(error).code)
    if not isinstance(error, RagoptError | IndexingError):
        LOGGER.error("unexpected error in a stream", exc_info=error, extra={"fields": {"request_id": trace.request_id}})
