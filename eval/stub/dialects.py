"""The two dialects: reading a request, and writing answers, streams and errors as the providers do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from eval.stub.answering import pieces

Json: TypeAlias = Mapping[str, object]

CREATED = 1_760_000_000
ERROR_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class BadRequestError(Exception):
    """The request is not one the provider would take; says why."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as both dialects mean it; `messages` are (role, text), a system prompt among them first."""

    model: str
    messages: tuple[tuple[str, str], ...]
    stream: bool
    stream_usage: bool

    @property
    def user_message(self) -> str:
        """Return the last user message; empty if there is none."""
        return next((text for role, text in reversed(self.messages) if role == "user"), "")


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer; tokens as the provider would report them, None to leave the usage out."""

    model: str
    text: str
    usage: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Frames:
    """A streamed answer, cut where faults cut it: bytes of server-sent events."""

    opening: tuple[bytes, ...]
    words: tuple[bytes, ...]
    closing: tuple[bytes, ...]
    error: bytes


class Dialect(Protocol):
    """How one provider writes things down."""

    name: str

    def ask(self, body: Json, *, version: str) -> Ask:
        """Return what is asked. `version` is the API version header. Raises: `BadRequestError`."""

    def whole(self, reply: Reply) -> Json:
        """Return the answer without streaming."""

    def frames(self, reply: Reply, *, stream_usage: bool) -> Frames:
        """Return the answer as a stream."""

    def error(self, status: int, *, quota: bool = False, message: str = "the stub was told to fail") -> Json:
        """Return the body of an error."""


class OpenAIDialect:
    """Chat Completions."""

    name = "openai"

    def ask(self, body: Json, *, version: str) -> Ask:  # noqa: ARG002 (Chat Completions has no version header)
        """Return what is asked. Raises: `BadRequestError`."""
        options = body.get("stream_options")
        wants_usage = isinstance(options, Mapping) and options.get("include_usage") is True
        return Ask(model_of(body), messages_of(body), body.get("stream") is True, wants_usage)

    def whole(self, reply: Reply) -> Json:
        """Return a chat.completion."""
        message = {"role": "assistant", "content": reply.text, "refusal": None}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        usage = {"usage": self._usage(reply.usage)} if reply.usage else {}
        return {**self._head(reply, "chat.completion"), "choices": [choice], **usage}

    def frames(self, reply: Reply, *, stream_usage: bool) -> Frames:
        """Return chat.completion.chunk events and the [DONE] line."""
        closing = [self._chunk(reply, {}, finish="stop")]
        if stream_usage and reply.usage:
            head = self._head(reply, "chat.completion.chunk")
            closing.append(data_line({**head, "choices": [], "usage": self._usage(reply.usage)}))
        return Frames(
            opening=(self._chunk(reply, {"role": "assistant", "content": ""}),),
            words=tuple(self._chunk(reply, {"content": word}) for word in pieces(reply.text)),
            closing=(*closing, b"data: [DONE]\n\n"),
            error=data_line(self.error(503)),
        )

    def error(self, status: int, *, quota: bool = False, message: str = "the stub was told to fail") -> Json:
        """Return OpenAI's error envelope."""
        kind = "insufficient_quota" if quota else ERROR_TYPES.get(status, "server_error")
        code = "insufficient_quota" if quota else {429: "rate_limit_exceeded"}.get(status)
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}

    def _head(self, reply: Reply, kind: str) -> dict[str, object]:
        return {"id": "chatcmpl-stub", "object": kind, "created": CREATED, "model": reply.model}

    def _chunk(self, reply: Reply, delta: Json, *, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return data_line({**self._head(reply, "chat.completion.chunk"), "choices": [choice]})

    def _usage(self, usage: tuple[int, int]) -> Json:
        prompt, completion = usage
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        }


class AnthropicDialect:
    """Messages."""

    name = "anthropic"

    def ask(self, body: Json, *, version: str) -> Ask:
        """Return what is asked. Raises: `BadRequestError`, also for a temperature where the API version refuses it."""
        if not isinstance(body.get("max_tokens"), int):
            raise BadRequestError("max_tokens: field required")
        if version >= "2026-10-21" and body.keys() & {"temperature", "top_p", "top_k"}:
            raise BadRequestError("temperature, top_p and top_k are not supported")
        system = (("system", text_of(body.get("system"))),) if body.get("system") else ()
        return Ask(model_of(body), (*system, *messages_of(body)), body.get("stream") is True, stream_usage=True)

    def whole(self, reply: Reply) -> Json:
        """Return a message."""
        message = self._message(reply, [{"type": "text", "text": reply.text}], stop="end_turn")
        return {**message, **self._usage(reply)}

    def frames(self, reply: Reply, *, stream_usage: bool) -> Frames:  # noqa: ARG002 (Messages always report it)
        """Return the events of a message."""
        start = {
            "type": "message_start",
            "message": {**self._message(reply, [], stop=None), **self._usage(reply, output=1)},
        }
        block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        delta = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}}
        return Frames(
            opening=(event(start), event(block), event({"type": "ping"})),
            words=tuple(event(self._word(word)) for word in pieces(reply.text)),
            closing=(
                event({"type": "content_block_stop", "index": 0}),
                event({**delta, **self._usage(reply)}),
                event({"type": "message_stop"}),
            ),
            error=event(self.error(529)),
        )

    def error(self, status: int, *, quota: bool = False, message: str = "the stub was told to fail") -> Json:
        """Return Anthropic's error envelope."""
        details = {"details": {"error_code": "enforced_spend_limit_reached"}} if quota else {}
        error = {"type": ERROR_TYPES.get(status, "api_error"), "message": message, **details}
        return {"type": "error", "error": error, "request_id": "req_stub"}

    def _message(self, reply: Reply, content: Sequence[Json], *, stop: str | None) -> dict[str, object]:
        head = {"id": "msg_stub", "type": "message", "role": "assistant", "model": reply.model}
        return {**head, "content": content, "stop_reason": stop, "stop_sequence": None}

    def _word(self, word: str) -> Json:
        return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}

    def _usage(self, reply: Reply, *, output: int | None = None) -> Json:
        if reply.usage is None:
            return {}
        counts = {"input_tokens": reply.usage[0], "output_tokens": reply.usage[1] if output is None else output}
        return {"usage": {**counts, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}}


def model_of(body: Json) -> str:
    """Return the model. Raises: `BadRequestError` if there is none."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequestError("model: field required")
    return model


def messages_of(body: Json) -> tuple[tuple[str, str], ...]:
    """Return the messages as (role, text). Raises: `BadRequestError` if there are none."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(item, Mapping) for item in messages):
        raise BadRequestError("messages: a list of messages is required")
    return tuple((str(item.get("role")), text_of(item.get("content"))) for item in messages)


def text_of(content: object) -> str:
    """Return the text of a message's content: a string, or a list of parts."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, Mapping))


def data_line(data: Json) -> bytes:
    """Return one server-sent event without a name."""
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def event(data: Json) -> bytes:
    """Return one server-sent event named after its type."""
    return f"event: {data['type']}\n".encode() + data_line(data)
