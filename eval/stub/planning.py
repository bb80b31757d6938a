"""From a request to what is sent back: refusals, limits and caches first, then the answer as its fault has it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from eval.stub.asking import Ask, Json
from eval.stub.dialects import Dialect, Reply
from eval.stub.faults import failing_status, retry_headers, without_fault
from eval.stub.limiting import Headers
from eval.stub.models import context_tokens
from eval.stub.replying import events_of, reply_to
from eval.stub.state import Step, StubState
from eval.stub.wire import EVENT_STREAM, Plan, once, played, stream_script, whole_script
from ragopt.providers.capabilities import capabilities_of

HTML = b"<!doctype html><title>Sign in</title><p>Please sign in to this network.</p>"
JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that was understood: what it asks, of whom, and how it shall fail. account: stands for the key."""

    ask: Ask
    dialect: Dialect
    fault: str
    account: str
    n: int
    step: Step | None = None
    batch: bool = False

    @property
    def model(self) -> str:
        """Return the model without the fault in its name."""
        return without_fault(self.ask.model)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a request comes to: an error's status and body, or a reply; and headers either way."""

    headers: Headers
    reply: Reply | None = None
    status: int = 200
    body: Json | None = None


def outcome_of(asked: Asked, state: StubState) -> Outcome:
    """Return the reply or the error of one request; its tokens are taken and its prompt is cached."""
    told = (request_id_header(asked.dialect, asked.n), *retry_headers(asked.fault))
    status = failing_status(asked.fault, streaming=asked.ask.stream and not asked.batch)
    if status is not None:
        return Outcome(told, status=status, body=told_to_fail(asked, status, state=state))
    limit = state.options.context_tokens or context_tokens(asked.model)
    if asked.ask.prompt_tokens > limit:
        message, code = asked.dialect.too_long(asked.ask.prompt_tokens, limit=limit)
        return Outcome(told, status=400, body=asked.dialect.error(400, code=code, message=message))
    return answered(asked, state, told=told)


def answered(asked: Asked, state: StubState, *, told: Headers) -> Outcome:
    """Return the reply, or the 429 of a limit that is reached."""
    now = state.now()
    scope = f"{asked.dialect.name}/{asked.account}/{asked.model}"
    visit = state.cache.visit(asked.ask, capabilities_of(asked.dialect.name, asked.model), scope=scope, now=now)
    tokens = counted_tokens(asked, cached=visit.use.read)
    # Batches have a pool of their own.
    account = f"{scope}/batch" if asked.batch else scope
    verdict = state.limiter.admit(account, dialect=asked.dialect.name, tokens=tokens, now=now)
    headers = (*told, *verdict.headers)
    if verdict.wait_s > 0:
        body = asked.dialect.error(429, message="Rate limit reached: try again later.")
        return Outcome(headers, status=429, body=body)
    state.cache.commit(visit, now=now, readable_at=now + delay_s(asked, state))
    answer = (asked.step and asked.step.answer) or state.options.answer
    reply_id = f"{'chatcmpl' if asked.dialect.name == 'openai' else 'msg'}-stub-{asked.n}"
    reply = reply_to(asked.ask, asked.fault, answer=answer, cache=visit.use, reply_id=reply_id, batch=asked.batch)
    return Outcome(headers, reply=reply)


def counted_tokens(asked: Asked, *, cached: int) -> int:
    """Return what a request takes of the token limit: OpenAI counts the output in advance, Anthropic no cache reads."""
    if asked.dialect.name == "openai":
        return asked.ask.prompt_tokens + (asked.ask.max_tokens or 0)
    return asked.ask.prompt_tokens - cached


def told_to_fail(asked: Asked, status: int, *, state: StubState) -> Json:
    """Return the error body of a fault that is a status."""
    if asked.fault == "context_length":
        limit = state.options.context_tokens or context_tokens(asked.model)
        message, code = asked.dialect.too_long(limit + asked.ask.prompt_tokens, limit=limit)
        return asked.dialect.error(status, code=code, message=message)
    openai = asked.dialect.name == "openai"
    codes = {
        "quota429": "insufficient_quota" if openai else "enforced_spend_limit_reached",
        "overloaded503": "server_is_overloaded",
    }
    return asked.dialect.error(status, code=codes.get(asked.fault))


def plan_for(asked: Asked, state: StubState) -> tuple[Plan, Outcome | None]:
    """Return what to send for a request, and what it came to; None where nothing is counted."""
    wait_s = delay_s(asked, state)
    if asked.fault == "drop":
        return Plan(once(b""), aborts=True), None
    if asked.fault == "html200":
        return Plan(once(HTML), "text/html; charset=utf-8", delay_s=wait_s), None
    outcome = outcome_of(asked, state)
    reply = outcome.reply
    if reply is None:
        data = json.dumps(outcome.body).encode()
        return Plan(once(data), JSON_TYPE, outcome.status, outcome.headers, wait_s), outcome
    writing_s = output_tokens(reply) / state.options.tokens_per_s if state.options.tokens_per_s else 0
    if not asked.ask.stream:
        script = whole_script(asked.dialect.whole(reply), asked.fault)
        return Plan(played(script), JSON_TYPE, 200, outcome.headers, wait_s + writing_s), outcome
    words = events_of(reply, asked.fault)
    frames = asked.dialect.frames(reply, words, stream_usage=asked.ask.stream_usage)
    script = stream_script(frames, asked.fault)
    body = played(script, interval_s=interval_s(script, asked.fault, writing_s=writing_s))
    return Plan(body, EVENT_STREAM, 200, outcome.headers, wait_s), outcome


def interval_s(script: Sequence[object], fault: str, *, writing_s: float) -> float:
    """Return the time between two events so that all of them take `writing_s`; 0 where writes are no events."""
    return 0 if fault == "split_utf8" else writing_s / max(1, len(script))


def output_tokens(reply: Reply) -> int:
    """Return how many tokens a reply has, 0 where nothing was counted."""
    return reply.usage.output if reply.usage else 0


def delay_s(asked: Asked, state: StubState) -> float:
    """Return the seconds before the first byte."""
    planned_ms = asked.step.delay_ms if asked.step else None
    if planned_ms is not None:
        return planned_ms / 1000
    return (state.options.slow_ms if asked.fault == "slow" else state.options.delay_ms) / 1000


def request_id_header(dialect: Dialect, n: int) -> tuple[str, str]:
    """Return the header with the request's id."""
    return ("x-request-id" if dialect.name == "openai" else "request-id", f"req_stub_{n}")


def reported_usage(outcome: Outcome | None, dialect: Dialect) -> Json | None:
    """Return the usage object as it is reported, None for none."""
    if outcome is None or outcome.reply is None:
        return None
    usage = dialect.whole(replace(outcome.reply, tool_bytes=0)).get("usage")
    return usage if isinstance(usage, dict) else None
