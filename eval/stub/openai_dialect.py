"""Chat Completions."""

from __future__ import annotations

from collections.abc import Mapping

from eval.stub.asking import (
    Ask,
    BadRequestError,
    Block,
    Json,
    blocks_of,
    messages_in,
    model_of,
    parts_of,
    positive,
    text_of,
    tools_in,
)
from eval.stub.dialects import ERROR_TYPES, TOLD_TO_FAIL, Counted, Frames, Reply, Stop, data_line
from eval.stub.faults import without_fault
from ragopt.providers.capabilities import EFFORTS, Capabilities, capabilities_of

CREATED = 1_760_000_000
MARK = "prompt_cache_breakpoint"
MARK_SECONDS = {"30m": 1800, "12h": 43_200}
RETENTION_SECONDS = {"in_memory": 600, "24h": 86_400}
UNSUPPORTED = "unsupported_parameter"
FINISH: Mapping[Stop, str] = {
    "end": "stop",
    "length": "length",
    "refusal": "stop",
    "filter": "content_filter",
    "tool": "tool_calls",
}


class OpenAIDialect:
    """Chat Completions, and what other servers make of it."""

    name = "openai"

    def ask(self, body: Json, *, version: str) -> Ask:  # noqa: ARG002 (Chat Completions has no version header)
        """Return what is asked. Raises: `BadRequestError`."""
        model = model_of(body)
        takes = capabilities_of("openai", without_fault(model))
        options, cache_options = body.get("stream_options"), checked_cache_options(body, takes)
        return Ask(
            model=model,
            blocks=tuple(blocks_in(body)),
            stream=body.get("stream") is True,
            stream_usage=isinstance(options, Mapping) and options.get("include_usage") is True,
            max_tokens=output_limit(body, takes),
            effort=effort_in(body, takes),
            cache_key=str(body.get("prompt_cache_key") or ""),
            retention_s=RETENTION_SECONDS.get(str(body.get("prompt_cache_retention"))),
            explicit_only=cache_options.get("mode") == "explicit",
            body=body,
        )

    def whole(self, reply: Reply) -> Json:
        """Return a chat.completion."""
        refused = reply.stop == "refusal"
        message = {
            "role": "assistant",
            "content": None if refused or reply.tool_bytes else reply.text,
            "refusal": reply.text if refused else None,
            **({"tool_calls": [tool_call(reply)]} if reply.tool_bytes else {}),
        }
        finish = FINISH[reply.stop] if reply.stop else None
        choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
        usage = {"usage": usage_json(reply.usage)} if reply.usage else {}
        return {**head(reply, "chat.completion"), "choices": [choice], **usage}

    def frames(self, reply: Reply, words: list[str], *, stream_usage: bool) -> Frames:
        """Return chat.completion.chunk events and the [DONE] line."""
        closing = [chunk(reply, {}, finish=FINISH[reply.stop])] if reply.stop else []
        if stream_usage and reply.usage:
            ending = {**head(reply, "chat.completion.chunk"), "choices": [], "usage": usage_json(reply.usage)}
            closing.append(data_line(ending))
        key = "refusal" if reply.stop == "refusal" else "content"
        told = [chunk(reply, {key: word}) for word in words]
        if reply.tool_bytes:
            told.append(chunk(reply, {"tool_calls": [{**tool_call(reply), "index": 0}]}))
        return Frames(
            opening=(chunk(reply, {"role": "assistant", "content": ""}),),
            words=tuple(told),
            closing=(*closing, b"data: [DONE]\n\n"),
            error=data_line(self.error(503)),
        )

    def error(self, status: int, *, code: str | None = None, message: str = TOLD_TO_FAIL) -> Json:
        """Return OpenAI's error envelope."""
        kind = code if code == "insufficient_quota" else ERROR_TYPES.get(status, "server_error")
        word = code or {429: "rate_limit_exceeded", 401: "invalid_api_key"}.get(status)
        return {"error": {"message": message, "type": kind, "param": None, "code": word}}

    def too_long(self, tokens: int, *, limit: int) -> tuple[str, str | None]:
        """Return message and code of a prompt of so many tokens that does not fit."""
        message = (
            f"This model's maximum context length is {limit} tokens. However, your messages resulted in {tokens} "
            "tokens. Please reduce the length of the messages."
        )
        return message, "context_length_exceeded"


def checked_cache_options(body: Json, takes: Capabilities) -> Json:
    """Return the cache options. Raises: `BadRequestError` for ones that the model does not take."""
    options = body.get("prompt_cache_options")
    if options is None:
        return {}
    if takes.prompt_caching != "breakpoints":
        raise BadRequestError("prompt_cache_options is not supported with this model.", code=UNSUPPORTED)
    if body.get("prompt_cache_retention") is not None:
        raise BadRequestError("prompt_cache_options and prompt_cache_retention cannot be combined.")
    if not isinstance(options, Mapping) or options.get("mode", "implicit") not in ("implicit", "explicit"):
        raise BadRequestError("prompt_cache_options.mode: 'implicit' or 'explicit' is required")
    return options


def output_limit(body: Json, takes: Capabilities) -> int | None:
    """Return the output limit. Raises: `BadRequestError`, also for the old name where the model reasons."""
    if takes.efforts and "max_tokens" in body:
        raise BadRequestError("'max_tokens' is not supported with this model.", code=UNSUPPORTED)
    return positive(body, "max_completion_tokens", "max_tokens")


def effort_in(body: Json, takes: Capabilities) -> str | None:
    """Return the reasoning effort. Raises: `BadRequestError` for one that the model does not take."""
    effort = body.get("reasoning_effort")
    if effort is not None and effort not in (EFFORTS if takes.efforts is None else takes.efforts):
        raise BadRequestError(f"reasoning_effort: {effort!r} is not supported with this model.", code=UNSUPPORTED)
    return str(effort) if effort else None


def blocks_in(body: Json) -> list[Block]:
    """Return the prompt in the order in which it is cached: tools, then the messages."""
    blocks = blocks_of("tools", tools_in(body))
    for message in messages_in(body):
        compared = ((text_of(part), without(part, MARK), mark_of(part)) for part in parts_of(message.get("content")))
        blocks += blocks_of(str(message.get("role")), compared)
    return blocks


def without(part: Json, key: str) -> Json:
    """Return a part without its cache mark."""
    return {name: value for name, value in part.items() if name != key}


def mark_of(part: Json) -> int | None:
    """Return the lifetime in seconds of a part's breakpoint, None without one. Raises: `BadRequestError`."""
    mark = part.get(MARK)
    if mark is None:
        return None
    if not isinstance(mark, Mapping) or mark.get("mode") != "explicit" or mark.get("ttl", "30m") not in MARK_SECONDS:
        raise BadRequestError(f"{MARK}: {{'mode': 'explicit'}} with a ttl of 30m or 12h is required")
    return MARK_SECONDS[mark.get("ttl", "30m")]


def head(reply: Reply, kind: str) -> dict[str, object]:
    """Return what every object of an answer begins with."""
    return {"id": reply.id, "object": kind, "created": CREATED, "model": reply.model, "service_tier": "default"}


def chunk(reply: Reply, delta: Json, *, finish: str | None = None) -> bytes:
    """Return one event of a stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    return data_line({**head(reply, "chat.completion.chunk"), "choices": [choice]})


def tool_call(reply: Reply) -> dict[str, object]:
    """Return a call of a tool that nobody offered."""
    called = {"name": "lookup", "arguments": reply.tool_arguments}
    return {"id": "call_stub", "type": "function", "function": called}


def usage_json(usage: Counted) -> Json:
    """Return a `usage` object: the prompt's tokens include what was read from and written to the cache."""
    details = {"cached_tokens": usage.cache.read, "audio_tokens": 0}
    if usage.cache.written:
        details["cache_write_tokens"] = usage.cache.written
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.output,
        "total_tokens": usage.prompt + usage.output,
        "prompt_tokens_details": details,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning, "audio_tokens": 0},
    }
