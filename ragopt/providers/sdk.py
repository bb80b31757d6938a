"""What the adapters over the official SDKs share: lazy clients, the deadline of a call, the relay of an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

import anyio

from ragopt.errors import ProviderError, ProviderProtocolError, ProviderTimeout
from ragopt.providers.failures import translate
from ragopt.providers.limits import RateLimits, rate_limits
from ragopt.providers.protocol import Completed, CompletionRequest, ProviderEvent, TextDelta

if TYPE_CHECKING:
    from httpx2 import Response

T = TypeVar("T")
Event = TypeVar("Event")
Answer = TypeVar("Answer")
Event_co = TypeVar("Event_co", covariant=True)
Event_contra = TypeVar("Event_contra", contravariant=True)
Answer_contra = TypeVar("Answer_contra", contravariant=True)

JsonObject: TypeAlias = Mapping[str, Any]

CLOSE_S = 1.0
EVENT_STREAM = "text/event-stream"
JSON = "application/json"


class SdkClient(Protocol):
    """What both SDKs' clients have."""

    async def close(self) -> None:
        """Close pooled connections."""


class SdkStream(Protocol[Event_co]):
    """What both SDKs return for `stream=True`."""

    @property
    def response(self) -> Response:
        """Return the HTTP response the events are read from."""

    def __anext__(self) -> Awaitable[Event_co]:
        """Return the next event."""

    async def close(self) -> None:
        """Close the response and its connection."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the headers of an answer say."""

    request_id: str
    limits: RateLimits | None


class Reply(Protocol[Event_contra, Answer_contra]):
    """What an answer amounts to so far; one for each dialect and call."""

    def take(self, event: Event_contra) -> str:
        """Return the text of one event of a stream, and keep what else it says."""

    def take_whole(self, answer: Answer_contra) -> str:
        """Return the text of an answer without streaming, and keep what else it says."""

    def completed(self, request: CompletionRequest, head: Head) -> Completed:
        """Return the terminal event. Raises: `IncompleteStream` if what ends an answer was never seen."""


class Dialect(Protocol[Event, Answer]):
    """What the relay needs of an adapter."""

    name: str

    async def connected(self) -> None:
        """Have a client. Raises: `ProviderError` subclasses only."""

    async def open_stream(self, request: CompletionRequest) -> SdkStream[Event]:
        """Return the stream of one call."""

    async def ask_whole(self, request: CompletionRequest) -> tuple[Head, Answer]:
        """Return the answer of one call without streaming."""

    def reply(self, request: CompletionRequest) -> Reply[Event, Answer]:
        """Return what keeps the answer of one call."""


def relayed(dialect: Dialect[Event, Answer], request: CompletionRequest) -> AsyncGenerator[ProviderEvent, None]:
    """Return the deltas of one call, then `Completed`; one delta where the model does not stream.

    Raises: `ProviderError` subclasses only. Closing the iterator closes the connection.
    """
    return streamed(dialect, request) if request.capabilities.streaming else whole(dialect, request)


async def streamed(dialect: Dialect[Event, Answer], request: CompletionRequest) -> AsyncGenerator[ProviderEvent, None]:
    """Yield the deltas as they come, then `Completed`."""
    call = await begun(dialect, request)
    reply = dialect.reply(request)
    async with call.opened(dialect.open_stream(request)) as (head, events):
        async for event in events:
            if text := call.read(reply.take, event):
                yield TextDelta(text)
    yield reply.completed(request, head)


async def whole(dialect: Dialect[Event, Answer], request: CompletionRequest) -> AsyncGenerator[ProviderEvent, None]:
    """Yield the whole text, if there is some, then `Completed`; nothing of an answer that is not complete."""
    call = await begun(dialect, request)
    reply = dialect.reply(request)
    head, answer = await call.run(dialect.ask_whole(request))
    text = call.read(reply.take_whole, answer)
    completed = reply.completed(request, head)
    if text:
        yield TextDelta(text)
    yield completed


async def begun(dialect: Dialect[Event, Answer], request: CompletionRequest) -> Call:
    """Return the call with its time running; a client is there by then: importing an SDK takes a second, once."""
    await dialect.connected()
    return Call.start(dialect.name, timeout_s=request.timeout_s)


Client = TypeVar("Client", bound=SdkClient)


class LazyClient(Generic[Client]):
    """An SDK client, made on first use in a worker thread: importing an SDK takes about a second."""

    def __init__(self, provider: str, make: Callable[[], Client]) -> None:
        self._provider = provider
        self._make = make
        self._client: Client | None = None
        self._making = asyncio.Lock()

    async def get(self) -> Client:
        """Return the client, the same one every time. Raises: `ProviderError` subclasses only."""
        if self._client is not None:
            return self._client
        async with self._making:
            if self._client is None:
                try:
                    self._client = await asyncio.to_thread(self._make)
                except Exception as error:  # the edge to code that is not ours
                    raise translate(error, provider=self._provider) from error
            return self._client

    async def close(self) -> None:
        """Close the client if it was ever made; the next `get` makes a new one."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()


@dataclass(frozen=True, slots=True)
class Call:
    """One model call and the time it must be over; `deadline` is in the event loop's time."""

    provider: str
    timeout_s: float
    deadline: float

    @classmethod
    def start(cls, provider: str, *, timeout_s: float) -> Call:
        """Return a call that has `timeout_s` seconds from now."""
        return cls(provider, timeout_s, asyncio.get_running_loop().time() + timeout_s)

    async def run(self, step: Awaitable[T], *, streaming: bool = False) -> T:
        """Return what `step` returns, in time.

        Each step is bounded by itself: a timeout that stayed open across a `yield` would cancel
        whatever the consumer was doing then.

        Raises: `ProviderError` subclasses only.
        """
        try:
            async with asyncio.timeout_at(self.deadline):
                return await step
        except ProviderError:
            raise
        except TimeoutError as error:
            raise self._too_late() from error
        except Exception as error:  # the edge to code that is not ours
            raise translate(error, provider=self.provider, streaming=streaming) from error

    def read(self, take: Callable[[T], str], part: T) -> str:
        """Return the text of a part of an answer. Raises: `ProviderProtocolError` for a part of another shape."""
        try:
            return take(part)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise ProviderProtocolError(f"{self.provider}: an answer of another shape ({error})") from error

    @asynccontextmanager
    async def opened(self, opening: Awaitable[SdkStream[Event]]) -> AsyncIterator[tuple[Head, AsyncIterator[Event]]]:
        """Open a stream for the block, and close its connection at the end, cancelled or not.

        Raises: `ProviderProtocolError` if the answer is not an event stream.
        """
        stream = await self.run(opening)
        events = self._events(stream)
        try:
            yield head_of(self.provider, stream.response.headers, expected=EVENT_STREAM), events
        finally:
            with anyio.move_on_after(CLOSE_S, shield=True):
                await events.aclose()
                await stream.close()

    async def _events(self, stream: SdkStream[Event]) -> AsyncGenerator[Event, None]:
        while (event := await self.run(anext(stream, None), streaming=True)) is not None:
            yield event
            # Events that have arrived already are read without a wait, which no timeout would end.
            if asyncio.get_running_loop().time() > self.deadline:
                raise self._too_late()

    def _too_late(self) -> ProviderTimeout:
        return ProviderTimeout(f"{self.provider}: no complete answer within {self.timeout_s:g} s")


def head_of(provider: str, headers: Mapping[str, str], *, expected: str) -> Head:
    """Return what the headers say. Raises: `ProviderProtocolError` if they announce another type than `expected`."""
    content_type = headers.get("content-type", "nothing")
    if expected not in content_type:
        raise ProviderProtocolError(f"{provider}: {content_type} came back instead of {expected}")
    return Head(headers.get("x-request-id") or headers.get("request-id") or "", rate_limits(headers))
