"""What a dialect is to the stub: reading a request, and writing answers, streams and errors as its provider does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from eval.stub.asking import Ask, Json
from eval.stub.caching import CacheUse

Stop: TypeAlias = Literal["end", "length", "refusal", "filter", "tool"]

ERROR_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
TOLD_TO_FAIL = "the stub was told to fail"


@dataclass(frozen=True, slots=True)
class Counted:
    """Tokens of an answer: all of the prompt, what of it the cache did, all output, and the reasoning in it."""

    prompt: int
    output: int
    reasoning: int = 0
    cache: CacheUse = field(default_factory=CacheUse)
    batch: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer; `usage` None to leave it out. tool_bytes: arguments of a tool call, 0 for none.

    documents: those that are to be cited in the provider's own way.
    """

    id: str
    model: str
    text: str
    usage: Counted | None
    stop: Stop | None = "end"
    tool_bytes: int = 0
    documents: tuple[str, ...] = ()

    @property
    def tool_arguments(self) -> str:
        """Return the arguments of the tool call, a JSON object of about `tool_bytes` bytes."""
        return json.dumps({"payload": "x" * self.tool_bytes})


@dataclass(frozen=True, slots=True)
class Frames:
    """A streamed answer, cut where faults cut it: bytes of server-sent events.

    closing: what ends the text, the report of usage, the terminal event.
    """

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

    def frames(self, reply: Reply, words: list[str], *, stream_usage: bool) -> Frames:
        """Return the answer as a stream, one event for each of `words`."""

    def error(self, status: int, *, code: str | None = None, message: str = TOLD_TO_FAIL) -> Json:
        """Return the body of an error; `code` is the provider's word for it where it has one."""

    def too_long(self, tokens: int, *, limit: int) -> tuple[str, str | None]:
        """Return message and code of a prompt of so many tokens that does not fit."""


def data_line(data: Json) -> bytes:
    """Return one server-sent event without a name."""
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def event(data: Json) -> bytes:
    """Return one server-sent event named after its type."""
    return f"event: {data['type']}\n".encode() + data_line(data)
