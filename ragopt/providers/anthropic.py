"""Messages over the official `anthropic` SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import dropwhile
from typing import TYPE_CHECKING

from pydantic import SecretStr

from ragopt.domain import Usage
from ragopt.errors import IncompleteStream
from ragopt.providers.protocol import Completed, CompletionRequest, Prompt, ProviderEvent, TextDelta
from ragopt.providers.sdk import Call, LazyClient, key_text
from ragopt.providers.usage import estimated_usage

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic, AsyncStream
    from anthropic.types import MessageDeltaUsage, MessageParam, RawMessageStreamEvent
    from anthropic.types import Usage as MessageUsage

ANTHROPIC_URL = "https://api.anthropic.com"
# The output count of `message_start` is a placeholder; only `message_delta` tells the real one.
INPUT_COUNTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


class AnthropicProvider:
    """The Anthropic dialect at one address; connects on first use."""

    name = "anthropic"

    def __init__(self, api_key: SecretStr | None, base_url: str | None) -> None:
        self._api_key = api_key
        self._base_url = base_url
        self._client = LazyClient(self.name, self._connect)

    async def stream(self, request: CompletionRequest) -> AsyncIterator[ProviderEvent]:
        """Yield the deltas, then `Completed`; complete means a stop reason and `message_stop` were seen.

        Raises: `ProviderError` subclasses only. Usage that was not reported is estimated.
        """
        client = await self._client.get()
        call = Call.start(self.name, timeout_s=request.timeout_s)
        reply = _Reply()
        async with call.opened(open_stream(client, request)) as events:
            async for event in events:
                text = reply.take(event)
                if text:
                    yield TextDelta(text)
        yield reply.completed(request)

    async def close(self) -> None:
        """Close pooled connections; a later call opens new ones."""
        await self._client.close()

    def _connect(self) -> AsyncAnthropic:
        from anthropic import AsyncAnthropic

        # The SDK would read key and address from the environment where they are left out.
        return AsyncAnthropic(
            api_key=key_text(self._api_key, base_url=self._base_url, variable="ANTHROPIC_API_KEY"),
            base_url=address(self._base_url),
            max_retries=0,
            open_telemetry=False,
        )


@dataclass(slots=True)
class _Reply:
    """What the events so far amount to; counts are None until reported."""

    model: str = ""
    stop: str | None = None
    ended: bool = False
    counts: dict[str, int] = field(default_factory=dict)
    texts: list[str] = field(default_factory=list)

    def take(self, event: RawMessageStreamEvent) -> str:
        """Return the text of the event, and keep what else it says; events of unknown types say nothing."""
        if event.type == "message_start":
            self.model = event.message.model
            self.count(event.message.usage, INPUT_COUNTS)
        elif event.type == "content_block_delta" and event.delta.type == "text_delta":
            self.texts.append(event.delta.text)
            return event.delta.text
        elif event.type == "message_delta":
            self.stop = event.delta.stop_reason or self.stop
            self.count(event.usage, (*INPUT_COUNTS, "output_tokens"))
        elif event.type == "message_stop":
            self.ended = True
        return ""

    def count(self, usage: MessageUsage | MessageDeltaUsage | None, names: Sequence[str]) -> None:
        """Keep the named counts of `usage`; they are cumulative, so the last one reported holds."""
        for name in names:
            value: object = getattr(usage, name, None)
            if isinstance(value, int):
                self.counts[name] = value

    def usage(self) -> Usage | None:
        """Return the usage in disjoint buckets, None if it was not reported; the dialect's are disjoint already."""
        if not {"input_tokens", "output_tokens"} <= self.counts.keys():
            return None
        return Usage(
            input_tokens=self.counts["input_tokens"],
            cached_input_tokens=self.counts.get("cache_read_input_tokens", 0),
            cache_write_tokens=self.counts.get("cache_creation_input_tokens", 0),
            output_tokens=self.counts["output_tokens"],
        )

    def completed(self, request: CompletionRequest) -> Completed:
        """Return the terminal event. Raises: `IncompleteStream` if the message was not stopped."""
        if self.stop is None or not self.ended:
            raise IncompleteStream("anthropic: the stream ended before message_stop")
        usage = self.usage() or estimated_usage(request.prompt, "".join(self.texts))
        return Completed(usage=usage, model_served=self.model or request.model, stop=self.stop)


async def open_stream(client: AsyncAnthropic, request: CompletionRequest) -> AsyncStream[RawMessageStreamEvent]:
    """Return the stream of one call; `timeout_s` bounds connecting and each read as well.

    No temperature: API version 2026-10-21 refuses it, whatever its value.
    """
    return await client.messages.create(
        model=request.model,
        system=request.prompt.system,
        messages=messages_of(request.prompt),
        max_tokens=request.max_output_tokens,
        stream=True,
        timeout=request.timeout_s,
    )


def messages_of(prompt: Prompt) -> list[MessageParam]:
    """Return the messages after the system prompt.

    The dialect wants a user's message first and refuses empty ones: such turns are left out.
    """
    spoken = (turn for turn in prompt.history if turn.content.strip())
    messages: list[MessageParam] = []
    for turn in dropwhile(lambda turn: turn.role != "user", spoken):
        if turn.role == "user":
            messages.append({"role": "user", "content": turn.content})
        else:
            messages.append({"role": "assistant", "content": turn.content})
    messages.append({"role": "user", "content": prompt.user})
    return messages


def address(base_url: str | None) -> str:
    """Return the address without the `/v1` that the SDK adds itself; OpenAI's convention is to give it."""
    return (base_url or ANTHROPIC_URL).rstrip("/").removesuffix("/v1")
