"""Chat Completions over the official `openai` SDK: OpenAI, and any server that speaks its dialect."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import SecretStr

from ragopt.domain import Usage
from ragopt.errors import IncompleteStream
from ragopt.providers.protocol import Completed, CompletionRequest, Prompt, ProviderEvent, TextDelta
from ragopt.providers.sdk import Call, LazyClient, key_text
from ragopt.providers.usage import estimated_usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI, AsyncStream
    from openai.types import CompletionUsage
    from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam

OPENAI_URL = "https://api.openai.com/v1"


class OpenAIProvider:
    """The OpenAI dialect at one address; connects on first use."""

    name = "openai"

    def __init__(self, api_key: SecretStr | None, base_url: str | None) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._client = LazyClient(self.name, self._connect)

    async def stream(self, request: CompletionRequest) -> AsyncIterator[ProviderEvent]:
        """Yield the deltas, then `Completed`; complete means a finish reason was seen.

        Raises: `ProviderError` subclasses only. Usage that was not reported is estimated.
        """
        client = await self._client.get()
        call = Call.start(self.name, timeout_s=request.timeout_s)
        reply = _Reply()
        async with call.opened(open_stream(client, request)) as chunks:
            async for chunk in chunks:
                text = reply.take(chunk)
                if text:
                    yield TextDelta(text)
        yield reply.completed(request)

    async def close(self) -> None:
        """Close pooled connections; a later call opens new ones."""
        await self._client.close()

    def _connect(self) -> AsyncOpenAI:
        from openai import AsyncOpenAI

        # The SDK would read key and address from the environment where they are left out.
        return AsyncOpenAI(
            api_key=key_text(self._api_key, base_url=self._base_url, variable="OPENAI_API_KEY"),
            base_url=self._base_url or OPENAI_URL,
            max_retries=0,
        )


@dataclass(slots=True)
class _Reply:
    """What the chunks so far amount to."""

    model: str = ""
    stop: str | None = None
    usage: CompletionUsage | None = None
    texts: list[str] = field(default_factory=list)

    def take(self, chunk: ChatCompletionChunk) -> str:
        """Return the text of the chunk, and keep what else it says."""
        self.model = chunk.model or self.model
        self.usage = chunk.usage or self.usage
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        self.stop = choice.finish_reason or self.stop
        # A refusal comes in a field of its own; to the reader it is the answer.
        text = (choice.delta.content or choice.delta.refusal or "") if choice.delta else ""
        self.texts.append(text)
        return text

    def completed(self, request: CompletionRequest) -> Completed:
        """Return the terminal event. Raises: `IncompleteStream` if no finish reason was seen."""
        if self.stop is None:
            raise IncompleteStream("openai: the stream ended without a finish reason")
        usage = usage_of(self.usage) or estimated_usage(request.prompt, "".join(self.texts))
        return Completed(usage=usage, model_served=self.model or request.model, stop=self.stop)


async def open_stream(client: AsyncOpenAI, request: CompletionRequest) -> AsyncStream[ChatCompletionChunk]:
    """Return the stream of one call; `timeout_s` bounds connecting and each read as well."""
    return await client.chat.completions.create(
        model=request.model,
        messages=messages_of(request.prompt),
        max_completion_tokens=request.max_output_tokens,
        stream=True,
        stream_options={"include_usage": True},
        timeout=request.timeout_s,
    )


def messages_of(prompt: Prompt) -> list[ChatCompletionMessageParam]:
    """Return the messages, the stable ones first: a provider's cache matches from the start."""
    messages: list[ChatCompletionMessageParam] = [{"role": "system", "content": prompt.system}]
    for turn in prompt.history:
        if turn.role == "user":
            messages.append({"role": "user", "content": turn.content})
        else:
            messages.append({"role": "assistant", "content": turn.content})
    messages.append({"role": "user", "content": prompt.user})
    return messages


def usage_of(reported: CompletionUsage | None) -> Usage | None:
    """Return the usage in disjoint buckets, None where there is none; `prompt_tokens` includes what was cached."""
    if reported is None or reported.prompt_tokens is None or reported.completion_tokens is None:
        return None
    details = reported.prompt_tokens_details
    cached = (details.cached_tokens or 0) if details else 0
    written = (details.cache_write_tokens or 0) if details else 0
    return Usage(
        input_tokens=max(0, reported.prompt_tokens - cached - written),
        cached_input_tokens=cached,
        cache_write_tokens=written,
        output_tokens=reported.completion_tokens,
    )
