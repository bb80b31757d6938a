"""Messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
from eval.stub.dialects import ERROR_TYPES, TOLD_TO_FAIL, Counted, Frames, Reply, Stop, event
from eval.stub.faults import without_fault
from eval.stub.native_citations import cited_blocks, cited_events, documents_in, said
from ragopt.providers.capabilities import EFFORTS, capabilities_of

NEW_VERSION = "2026-10-21"
MARK = "cache_control"
MARK_SECONDS = {"5m": 300, "1h": 3600}
MAX_MARKS = 4
DETAIL_CODES = frozenset({"enforced_spend_limit_reached"})
STOP_REASONS: Mapping[Stop, str] = {
    "end": "end_turn",
    "length": "max_tokens",
    "refusal": "refusal",
    "filter": "refusal",
    "tool": "tool_use",
}


class AnthropicDialect:
    """Messages."""

    name = "anthropic"

    def ask(self, body: Json, *, version: str) -> Ask:
        """Return what is asked. Raises: `BadRequestError`, also for a temperature where the API version refuses it."""
        limit = positive(body, "max_tokens")
        if limit is None:
            raise BadRequestError("max_tokens: field required")
        if version >= NEW_VERSION and body.keys() & {"temperature", "top_p", "top_k"}:
            raise BadRequestError("temperature, top_p and top_k are not supported")
        blocks = tuple(blocks_in(body))
        at_end = mark_of(body)
        check_marks([*(block.cache_ttl for block in blocks), at_end])
        model = model_of(body)
        return Ask(
            model=model,
            blocks=blocks,
            stream=body.get("stream") is True,
            stream_usage=True,
            max_tokens=limit,
            effort=effort_in(body, model=without_fault(model)),
            at_end_ttl=at_end,
            documents=tuple(documents_in(body)),
            body=body,
        )

    def whole(self, reply: Reply) -> Json:
        """Return a message."""
        content: Sequence[Json] = [{"type": "text", "text": reply.text}]
        if reply.tool_bytes:
            content = [{"type": "tool_use", "id": "toolu_stub", "name": "lookup", "input": {}}]
        elif reply.documents:
            content = [cited.block() for cited in cited_blocks(reply.text, reply.documents)]
        return {**message(reply, content, stop=reply.stop), **usage_of(reply.usage)}

    def frames(self, reply: Reply, words: list[str], *, stream_usage: bool) -> Frames:  # noqa: ARG002 (always reported)
        """Return the events of a message."""
        start = {"type": "message_start", "message": {**message(reply, [], stop=None), **usage_of(reply.usage, said=1)}}
        told = [said({"type": "text_delta", "text": word}) for word in words]
        block: Json = {"type": "text", "text": ""}
        last = 0
        if reply.tool_bytes:
            block = {"type": "tool_use", "id": "toolu_stub", "name": "lookup", "input": {}}
            told = [said({"type": "input_json_delta", "partial_json": reply.tool_arguments})]
        elif reply.documents:
            told, last = cited_events(cited_blocks(reply.text, reply.documents))
        closing = [event({"type": "content_block_stop", "index": last})]
        if reply.stop:
            stopped = {"stop_reason": STOP_REASONS[reply.stop], "stop_sequence": None}
            closing.append(event({"type": "message_delta", "delta": stopped, **usage_of(reply.usage, delta=True)}))
        return Frames(
            opening=(
                event(start),
                event({"type": "content_block_start", "index": 0, "content_block": block}),
                event({"type": "ping"}),
            ),
            words=tuple(event(item) for item in told),
            closing=(*closing, event({"type": "message_stop"})),
            error=event(self.error(529)),
        )

    def error(self, status: int, *, code: str | None = None, message: str = TOLD_TO_FAIL) -> Json:
        """Return Anthropic's error envelope."""
        details = {"details": {"error_code": code}} if code in DETAIL_CODES else {}
        error = {"type": ERROR_TYPES.get(status, "api_error"), "message": message, **details}
        return {"type": "error", "error": error, "request_id": "req_stub"}

    def too_long(self, tokens: int, *, limit: int) -> tuple[str, str | None]:
        """Return message and code of a prompt of so many tokens that does not fit."""
        return f"prompt is too long: {tokens} tokens > {limit} maximum", None


def blocks_in(body: Json) -> list[Block]:
    """Return the prompt in the order in which it is cached: tools, system, messages. Raises: `BadRequestError`."""
    tools = body.get("tools")
    tool_marks = [mark_of(tool) for tool in tools if isinstance(tool, Mapping)] if isinstance(tools, list) else []
    marked = zip(tools_in(body, mark=MARK), tool_marks, strict=True)
    blocks = blocks_of("tools", ((text, compared, mark) for (text, compared, _), mark in marked))
    if body.get("system"):
        blocks += blocks_of("system", (part_of(part) for part in parts_of(body["system"])))
    for item in messages_in(body):
        parts = parts_of(item.get("content"))
        if any(part.get("type") == "text" and not str(part.get("text", "")).strip() for part in parts):
            raise BadRequestError("messages: text content blocks must be non-empty")
        blocks += blocks_of(str(item.get("role")), (part_of(part) for part in parts))
    return blocks


def part_of(part: Json) -> tuple[str, Json, int | None]:
    """Return a content block's text, what a cache compares of it, and the lifetime of its mark."""
    compared = {name: value for name, value in part.items() if name != MARK}
    return text_of(part), compared, mark_of(part)


def mark_of(holder: Json) -> int | None:
    """Return the lifetime in seconds of a `cache_control`, None without one. Raises: `BadRequestError`."""
    mark = holder.get(MARK)
    if mark is None:
        return None
    if not isinstance(mark, Mapping) or mark.get("type") != "ephemeral" or mark.get("ttl", "5m") not in MARK_SECONDS:
        raise BadRequestError("cache_control: {'type': 'ephemeral'} with a ttl of 5m or 1h is required")
    return MARK_SECONDS[mark.get("ttl", "5m")]


def check_marks(ttls: Sequence[int | None]) -> None:
    """Raise `BadRequestError` for more than four marks, or a longer lifetime behind a shorter one."""
    marks = [ttl for ttl in ttls if ttl is not None]
    if len(marks) > MAX_MARKS:
        raise BadRequestError(f"A maximum of 4 blocks with cache_control may be provided. Found {len(marks)}.")
    if marks != sorted(marks, reverse=True):
        raise BadRequestError("a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block.")


def effort_in(body: Json, *, model: str) -> str | None:
    """Return the effort. Raises: `BadRequestError` for one that the model does not take."""
    config = body.get("output_config")
    effort = config.get("effort") if isinstance(config, Mapping) else None
    taken = capabilities_of("anthropic", model).efforts
    if effort is not None and effort not in (EFFORTS if taken is None else taken):
        raise BadRequestError(f"output_config.effort: {effort!r} is not supported by this model.")
    return str(effort) if effort else None


def message(reply: Reply, content: Sequence[Json], *, stop: Stop | None) -> dict[str, object]:
    """Return a message without its usage."""
    shown = {"id": reply.id, "type": "message", "role": "assistant", "model": reply.model, "content": content}
    return {**shown, "stop_reason": STOP_REASONS[stop] if stop else None, "stop_sequence": None}


def usage_of(usage: Counted | None, *, said: int | None = None, delta: bool = False) -> Json:
    """Return a `usage` member, {} for none: the input excludes what was read from and written to the cache.

    said: the placeholder that stands for the output where a stream starts. delta: as a stream ends, cumulative.
    """
    if usage is None:
        return {}
    cache = usage.cache
    counts: dict[str, object] = {
        "input_tokens": usage.prompt - cache.read - cache.written - cache.written_1h,
        "cache_creation_input_tokens": cache.written + cache.written_1h,
        "cache_read_input_tokens": cache.read,
        "output_tokens": usage.output if said is None else said,
    }
    if usage.reasoning and said is None:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning}
    if delta:
        return {"usage": counts}
    lifetimes = {"ephemeral_5m_input_tokens": cache.written, "ephemeral_1h_input_tokens": cache.written_1h}
    tier = "batch" if usage.batch else "standard"
    return {"usage": {**counts, "cache_creation": lifetimes, "service_tier": tier}}
