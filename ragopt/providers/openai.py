"""Chat Completions over the official `openai` SDK: OpenAI, and any server that speaks its dialect."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ragopt.errors import IncompleteStream
from ragopt.providers.keys import ApiKey, key_text
from ragopt.providers.layout import Message, SegmentRole
from ragopt.providers.protocol import CacheMarks, Completed, CompletionRequest, ProviderEvent, Stop
from ragopt.providers.sdk import JSON, Head, JsonObject, LazyClient, SdkStream, head_of, relayed
from ragopt.providers.usage import estimated_usage, openai_usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types.chat import ChatCompletionContentPartTextParam, ChatCompletionMessageParam
    from openai.types.chat.completion_create_params import CompletionCreateParamsBase

OPENAI_URL = "https://api.openai.com/v1"
STOPS: Mapping[str, Stop] = {
    "length": "length",
    "content_filter": "refusal",
    "tool_calls": "tool",
    "function_call": "tool",
}


class OpenAIProvider:
    """The OpenAI dialect at one address; connects on first use and pools its connections."""

    name = "openai"

    def __init__(self, api_key: ApiKey, base_url: str | None) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._client = LazyClient(self.name, self._connect)

    def stream(self, request: CompletionRequest) -> AsyncIterator[ProviderEvent]:
        """Yield the deltas, then `Completed`; complete means a finish reason was seen.

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
        from openai import AsyncStream

        client = await self.client()
        usage = {"stream_options": {"include_usage": True}} if request.capabilities.stream_usage else {}
        return await client.post(
            "/chat/completions",
            cast_to=object,
            body={**parameters(request), "stream": True, **usage},
            options={"timeout": request.timeout_s},
            stream=True,
            stream_cls=AsyncStream[JsonObject],
        )

    async def ask_whole(self, request: CompletionRequest) -> tuple[Head, JsonObject]:
        """Return the answer of one call without streaming."""
        client = await self.client()
        raw = await client.chat.completions.with_raw_response.create(**parameters(request), timeout=request.timeout_s)
        return head_of(self.name, raw.http_response.headers, expected=JSON), raw.parse().to_dict()

    def reply(self, request: CompletionRequest) -> OpenAIReply:  # noqa: ARG002 - the relay's signature
        """Return what keeps the answer of one call."""
        return OpenAIReply()

    async def client(self) -> AsyncOpenAI:
        """Return the client with the key as it is now. Raises: `ProviderError` subclasses only."""
        client = await self._client.get()
        client.api_key = self._key()
        return client

    def _key(self) -> str:
        return key_text(self._api_key, base_url=self._base_url, variable="OPENAI_API_KEY")

    def _connect(self) -> AsyncOpenAI:
        from openai import AsyncOpenAI, DefaultAioHttpClient

        # The SDK would read key and address from the environment where they are left out. Its transport over aiohttp
        # takes about half the processor time for a stream.
        return AsyncOpenAI(
            api_key=self._key(),
            base_url=self._base_url or OPENAI_URL,
            max_retries=0,
            http_client=DefaultAioHttpClient(),
        )


@dataclass(slots=True)
class OpenAIReply:
    """What the answer amounts to so far."""

    model: str = ""
    finish: str | None = None
    refused: bool = False
    tier: str = ""
    usage: JsonObject | None = None
    texts: list[str] = field(default_factory=list)

    def take(self, event: JsonObject) -> str:
        """Return the text of the chunk, and keep what else it says; of several usage reports the last holds."""
        self._keep(event)
        if not event.get("choices"):
            return ""
        choice = event["choices"][0]
        self.finish = choice.get("finish_reason") or self.finish
        return self._text(choice["delta"]) if choice.get("delta") else ""

    def take_whole(self, answer: JsonObject) -> str:
        """Return the text of the completion, and keep what else it says."""
        self._keep(answer)
        choice = answer["choices"][0]
        self.finish = choice["finish_reason"]
        return self._text(choice["message"])

    def completed(self, request: CompletionRequest, head: Head) -> Completed:
        """Return the terminal event. Raises: `IncompleteStream` if no finish reason was seen."""
        if self.finish is None:
            raise IncompleteStream("openai: the answer ended without a finish reason", request_id=head.request_id)
        return Completed(
            usage=(openai_usage(self.usage) if self.usage else None)
            or estimated_usage(request.prompt, "".join(self.texts)),
            model_served=self.model or request.model,
            stop="refusal" if self.refused else STOPS.get(self.finish, "end"),
            request_id=head.request_id,
            service_tier=self.tier,
            limits=head.limits,
            reported=self.usage,
        )

    def _keep(self, part: JsonObject) -> None:
        self.model = part.get("model") or self.model
        self.usage = part.get("usage") or self.usage
        self.tier = part.get("service_tier") or self.tier

    def _text(self, message: JsonObject) -> str:
        # A refusal comes in a field of its own; to the reader it is the answer.
        refusal: str | None = message.get("refusal")
        self.refused = self.refused or bool(refusal)
        text = message.get("content") or refusal or ""
        self.texts.append(text)
        return text


def parameters(request: CompletionRequest) -> CompletionCreateParamsBase:
    """Return the parameters of one call that do not depend on whether it streams."""
    asked: CompletionCreateParamsBase = {"model": request.model, "messages": messages_of(request)}
    if request.capabilities.output_limit == "max_tokens":
        asked["max_tokens"] = request.max_output_tokens
    else:
        asked["max_completion_tokens"] = request.max_output_tokens
    if request.effort is not None:
        asked["reasoning_effort"] = request.effort
    if request.cache.key and request.capabilities.prompt_caching != "none":
        asked["prompt_cache_key"] = request.cache.key
    if request.capabilities.prompt_caching == "breakpoints":
        # Left out, such a model writes the whole prompt to its cache, passages included, at 1.25 times the price.
        asked["prompt_cache_options"] = {"mode": "explicit"}
    return asked


def messages_of(request: CompletionRequest) -> list[ChatCompletionMessageParam]:
    """Return the messages, the stable ones first: a provider's cache matches from the start."""
    marked = request.capabilities.prompt_caching == "breakpoints"
    return [message_of(message, request.cache if marked else None) for message in request.prompt.messages()]


def message_of(message: Message, cache: CacheMarks | None) -> ChatCompletionMessageParam:
    """Return one message; its segments apart where there may be marks between them, else as one text.

    A single segment without a mark is a plain text, which is the same prompt as one part with it.
    """
    if cache is None or (len(message.segments) == 1 and message.segments[0][0] not in cache.after):
        return with_content(message.role, message.text)
    parts: list[ChatCompletionContentPartTextParam] = []
    for at, segment in message.segments:
        parts.append({"type": "text", "text": segment.text})
        if at in cache.after:
            parts[-1]["prompt_cache_breakpoint"] = {"mode": "explicit"}
    return with_content(message.role, parts)


def with_content(
    role: SegmentRole, content: str | list[ChatCompletionContentPartTextParam]
) -> ChatCompletionMessageParam:
    """Return a message of a role."""
    if role == "system":
        return {"role": "system", "content": content}
    if role == "assistant":
        return {"role": "assistant", "content": content}
    return {"role": "user", "content": content}
