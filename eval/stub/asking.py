"""A request as both dialects mean it: the blocks of its prompt in the order in which caches match them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from ragopt.tokens import encoding, slices

Json: TypeAlias = Mapping[str, object]

TOKENS_PER_MESSAGE = 3
FORMAT_TOKEN = -1


class BadRequestError(Exception):
    """The request is not one the provider would take; says why, `code` in the provider's word where it has one."""

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of the prompt. token_ids: o200k_base, with three for the format where a message begins.

    digest: of all that a cache compares, its mark not. cache_ttl: lifetime in seconds of the mark on
    it, None without one. ends_message: whether a message ends with it.
    """

    role: str
    text: str
    token_ids: tuple[int, ...]
    digest: bytes
    cache_ttl: int | None = None
    ends_message: bool = True


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked.

    explicit_only: the prompt may be cached at its marks alone. cache_key, retention_s: OpenAI's wish where and how
    long to keep the prompt, "" and None without one. at_end_ttl: Anthropic's automatic mark on the last block.
    documents: texts that are to be cited in the provider's own way.
    """

    model: str
    blocks: tuple[Block, ...]
    stream: bool
    stream_usage: bool
    max_tokens: int | None = None
    effort: str | None = None
    cache_key: str = ""
    retention_s: int | None = None
    explicit_only: bool = False
    at_end_ttl: int | None = None
    documents: tuple[str, ...] = ()
    body: Json = field(default_factory=dict)

    @property
    def user_message(self) -> str:
        """Return the last user message; empty if there is none."""
        users = [at for at, block in enumerate(self.blocks) if block.role == "user"]
        if not users:
            return ""
        start = users[-1]
        while start > 0 and self.blocks[start - 1].role == "user" and not self.blocks[start - 1].ends_message:
            start -= 1
        return "\n".join(block.text for block in self.blocks[start : users[-1] + 1])

    @property
    def prompt_tokens(self) -> int:
        """Return the prompt's tokens with the few that a chat format adds."""
        return sum(len(block.token_ids) for block in self.blocks) + TOKENS_PER_MESSAGE


def blocks_of(role: str, parts: Iterable[tuple[str, Json, int | None]]) -> list[Block]:
    """Return one message as blocks; a part is its text, what a cache compares of it, and the lifetime of its mark."""
    listed = list(parts)
    blocks = []
    for at, (text, compared, ttl) in enumerate(listed):
        # A message's first block carries its format.
        ids = ((FORMAT_TOKEN,) * TOKENS_PER_MESSAGE if at == 0 else ()) + token_ids(text)
        canonical = json.dumps([role, at == 0, compared], sort_keys=True, ensure_ascii=False)
        digest = hashlib.sha256(canonical.encode()).digest()
        blocks.append(Block(role, text, ids, digest, ttl, ends_message=at == len(listed) - 1))
    return blocks


def token_ids(text: str) -> tuple[int, ...]:
    """Return the o200k_base tokens of a text.

    Claude's own tokenizer is not public; its counts differ.
    """
    return tuple(token for part in slices(text) for token in encoding().encode_ordinary(part))


def model_of(body: Json) -> str:
    """Return the model. Raises: `BadRequestError` if there is none."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequestError("model: field required")
    return model


def messages_in(body: Json) -> list[Json]:
    """Return the messages. Raises: `BadRequestError` if there are none."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(item, Mapping) for item in messages):
        raise BadRequestError("messages: a list of messages is required")
    return list(messages)


def parts_of(content: object) -> list[Json]:
    """Return a message's content as parts: a string is one part of text, nothing is an empty one."""
    if isinstance(content, list):
        return [part for part in content if isinstance(part, Mapping)] or [{"type": "text", "text": ""}]
    return [{"type": "text", "text": content if isinstance(content, str) else ""}]


def text_of(part: Json) -> str:
    """Return what of a part is counted as text: its text, else all of it as JSON."""
    text = part.get("text")
    return text if isinstance(text, str) else json.dumps(part, sort_keys=True, ensure_ascii=False)


def tools_in(body: Json, *, mark: str = "") -> list[tuple[str, Json, int | None]]:
    """Return the tool definitions as parts, without the key `mark`, which is no part of what a cache compares."""
    tools = body.get("tools")
    listed = [tool for tool in tools if isinstance(tool, Mapping)] if isinstance(tools, list) else []
    plain = [{key: value for key, value in tool.items() if key != mark} for tool in listed]
    return [(text_of(tool), tool, None) for tool in plain]


def positive(body: Json, *names: str) -> int | None:
    """Return the first of the named fields that is there. Raises: `BadRequestError` if it is not a positive number."""
    for name in names:
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise BadRequestError(f"{name}: a whole number of at least 1 is required")
        return value
    return None
