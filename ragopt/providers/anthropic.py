"""Messages over the official `anthropic` SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import dropwhile, groupby
from typing import TYPE_CHECKING, Literal

from indexes.invisible import strip_hidden
from ragopt.domain import Context
from ragopt.errors import IncompleteStream
from ragopt.providers.keys import ApiKey, key_text
from ragopt.providers.layout import Message
from ragopt.providers.native_citations import CitingBlock
from ragopt.providers.protocol import CacheMarks, Completed, CompletionRequest, ProviderEvent, Stop
from ragopt.providers.sdk import JSON, Head, JsonObject, LazyClient, SdkStream, head_of, relayed
from ragopt.providers.usage import anthropic_usage, estimated_usage

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from anthropic.types import DocumentBlockParam, MessageParam, TextBlockParam
    from anthropic.types.message_create_params import MessageCreateParamsBase

HOUR_S = 3_600
ANTHROPIC_URL = "https://api.anthropic.com"
STOPS: Mapping[str, Stop] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "refusal",
    "tool_use": "tool",
    "pause_turn": "tool",
}


class AnthropicProvider:
    """The Anthropic dialect at one address; connects on first use and pools its connections."""

    name = "anthropic"

    def __init__(self, api_key: ApiKey, base_url: str | None) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._client = LazyClient(self.name, self._connect)

    def stream(self, request: CompletionRequest) -> AsyncIterator[ProviderEvent]:
        """Yield the deltas, then `Completed`; complete means a stop reason and `message_stop` were seen.

        Raises: `ProviderError` subclasses only. Usage that was not reported is estimated.
        """
        return relayed(self, request)

    async def close(self) -> None:
        """Close pooled connections; a later call opens new ones."""
        await self._client.close()

    async def connected(self) -> None:
        """Have a client. Raises: `KeyRefused` without a key."""
        await self._client.get()

    async def open_stream(self, request: CompletionRequest) -> SdkStream[JsonObject]:
        """Return the stream of one call; `timeout_s` bounds connecting and each read as well.

        Its events are plain JSON: a model of pydantic for each piece of text costs more than all else done with it.
        """
        from anthropic import AsyncStream

        client = await self.client()
        return await client.post(
            "/v1/messages",
            cast_to=object,
            body={**parameters(request), "stream": True},
            options={"timeout": request.timeout_s},
            stream=True,
            stream_cls=AsyncStream[JsonObject],
        )

    async def ask_whole(self, request: CompletionRequest) -> tuple[Head, JsonObject]:
        """Return the answer of one call without streaming."""
        client = await self.client()
        raw = await client.messages.with_raw_response.create(**parameters(request), timeout=request.timeout_s)
        return head_of(self.name, raw.http_response.headers, expected=JSON), (await raw.parse()).to_dict()

    def reply(self, request: CompletionRequest) -> AnthropicReply:
        """Return what keeps the answer of one call."""
        return AnthropicReply(block=block_for(request))

    async def client(self) -> AsyncAnthropic:
        """Return the client with the key as it is now. Raises: `ProviderError` subclasses only."""
        client = await self._client.get()
        client.api_key = self._key()
        return client

    def _key(self) -> str:
        return key_text(self._api_key, base_url=self._base_url, variable="ANTHROPIC_API_KEY")

    def _connect(self) -> AsyncAnthropic:
        from anthropic import AsyncAnthropic, DefaultAioHttpClient

        # The SDK would read key and address from the environment where they are left out.
        return AsyncAnthropic(
            api_key=self._key(),
            base_url=address(self._base_url),
            max_retries=0,
            open_telemetry=False,
            http_client=DefaultAioHttpClient(),
        )


@dataclass(slots=True)
class AnthropicReply:
    """What the answer amounts to so far. reported: the usage, as far as it was told.

    block: the one that comes, where the call asked for Anthropic's own citations.
    """

    block: CitingBlock | None = None
    model: str = ""
    stop: str | None = None
    ended: bool = False
    reported: dict[str, object] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)

    def take(self, event: JsonObject) -> str:
        """Return the text of the event, and keep what else it says; events of unknown types say nothing."""
        kind = event.get("type")
        if kind == "message_start":
            self.model = event["message"]["model"]
            self._count(event["message"].get("usage"))
            # The output count of `message_start` is a placeholder; only `message_delta` tells the real one.
            self.reported.pop("output_tokens", None)
        elif kind == "content_block_delta":
            return self._written(event["delta"])
        elif kind == "content_block_stop" and self.block:
            return self._kept(self.block.close())
        elif kind == "message_delta":
            self.stop = event["delta"].get("stop_reason") or self.stop
            self._count(event.get("usage"))
        elif kind == "message_stop":
            self.ended = True
        return ""

    def take_whole(self, answer: JsonObject) -> str:
        """Return the text of the message, and keep what else it says; thinking is not part of the answer."""
        self.model = answer["model"]
        self.stop = answer["stop_reason"]
        self.ended = True
        self._count(answer.get("usage"))
        self.texts.extend(self._block_text(block) for block in answer["content"] if block["type"] == "text")
        return "".join(self.texts)

    def completed(self, request: CompletionRequest, head: Head) -> Completed:
        """Return the terminal event. Raises: `IncompleteStream` if the message was not stopped."""
        if self.stop is None or not self.ended:
            raise IncompleteStream("anthropic: the answer ended before message_stop", request_id=head.request_id)
        tier = self.reported.get("service_tier")
        return Completed(
            usage=anthropic_usage(self.reported) or estimated_usage(request.prompt, "".join(self.texts)),
            model_served=self.model or request.model,
            stop=STOPS.get(self.stop, "end"),
            request_id=head.request_id,
            service_tier=tier if isinstance(tier, str) else "",
            limits=head.limits,
            reported=self.reported or None,
        )

    def _written(self, delta: JsonObject) -> str:
        if delta["type"] == "text_delta":
            text: str = delta["text"]
            return self._kept(self.block.feed(text) if self.block else text)
        if delta["type"] == "citations_delta" and self.block:
            self.block.cite(delta["citation"])
        return ""

    def _block_text(self, content: JsonObject) -> str:
        text: str = content["text"]
        if self.block is None:
            return text
        released = self.block.feed(text)
        for citation in content.get("citations") or ():
            self.block.cite(citation)
        return released + self.block.close()

    def _kept(self, text: str) -> str:
        self.texts.append(text)
        return text

    def _count(self, usage: JsonObject | None) -> None:
        # Counts are cumulative: the last one told holds.
        self.reported |= {name: value for name, value in (usage or {}).items() if value is not None}


def parameters(request: CompletionRequest) -> MessageCreateParamsBase:
    """Return the parameters of one call that do not depend on whether it streams.

    No temperature: API version 2026-10-21 refuses it, whatever its value. Efforts below `low` are
    OpenAI's alone: the configuration refuses them for models that are known, and they are left out here.
    """
    asked: MessageCreateParamsBase = {
        "model": request.model,
        "system": system_of(request),
        "messages": messages_of(request),
        "max_tokens": request.max_output_tokens,
    }
    if request.effort is not None and request.effort != "none" and request.effort != "minimal":
        asked["output_config"] = {"effort": request.effort}
    return asked


def system_of(request: CompletionRequest) -> str | list[TextBlockParam]:
    """Return the system prompt: a text, or blocks where there is a mark or more than one segment."""
    spoken = (message for message in request.prompt.messages() if message.role == "system")
    blocks = [block for message in spoken for block in blocks_of(message, request.cache)]
    return blocks[0]["text"] if len(blocks) == 1 and "cache_control" not in blocks[0] else blocks


def messages_of(request: CompletionRequest) -> list[MessageParam]:
    """Return the messages after the system prompt; those of one role in a row are one.

    The dialect wants a user's message first and refuses empty ones: such turns are left out.
    """
    spoken = (message for message in request.prompt.messages() if message.role != "system" and message.text.strip())
    grouped = groupby(dropwhile(lambda message: message.role != "user", spoken), key=lambda message: message.role)
    messages: list[MessageParam] = []
    for role, group in grouped:
        said = list(group)
        blocks = [block for message in said for block in blocks_of(message, request.cache)]
        content = blocks[0]["text"] if len(blocks) == 1 and "cache_control" not in blocks[0] else blocks
        if role == "assistant":
            messages.append({"role": "assistant", "content": content})
        elif request.capabilities.native_citations:
            messages.append({"role": "user", "content": [*with_documents(said, request)]})
        else:
            messages.append({"role": "user", "content": content})
    return messages


def with_documents(
    said: Sequence[Message], request: CompletionRequest
) -> Iterator[TextBlockParam | DocumentBlockParam]:
    """Yield the blocks of a user's messages, the passages as documents that the model is to cite."""
    for message in said:
        for (_, segment), block in zip(message.segments, blocks_of(message, request.cache), strict=True):
            if segment.part == "passages":
                yield from documents_of(request.context)
            else:
                yield block


def documents_of(context: Context) -> Iterator[DocumentBlockParam]:
    """Yield the passages as documents that are to be cited, without invisible characters."""
    for passage in context.passages:
        yield {
            "type": "document",
            "source": {"type": "text", "media_type": "text/plain", "data": strip_hidden(passage.text)},
            "title": strip_hidden(passage.title) or passage.document_id,
            "citations": {"enabled": True},
        }


def block_for(request: CompletionRequest) -> CitingBlock | None:
    """Return what reads the provider's own citations, None where the call does not ask for them."""
    return CitingBlock() if request.capabilities.native_citations else None


def blocks_of(message: Message, cache: CacheMarks) -> list[TextBlockParam]:
    """Return the segments of a message as blocks, marked where they are to be cached."""
    blocks: list[TextBlockParam] = []
    for at, segment in message.segments:
        blocks.append({"type": "text", "text": segment.text})
        if at in cache.after:
            ttl: Literal["5m", "1h"] = "1h" if cache.after[at] >= HOUR_S else "5m"
            blocks[-1]["cache_control"] = {"type": "ephemeral", "ttl": ttl}
    return blocks


def address(base_url: str | None) -> str:
    """Return the address without the `/v1` that the SDK adds itself; OpenAI's convention is to give it."""
    return (base_url or ANTHROPIC_URL).rstrip("/").removesuffix("/v1")
