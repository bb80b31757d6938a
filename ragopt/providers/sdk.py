"""What the adapters over the official SDKs share: lazy clients, the deadline of a call, one seam for errors.

Both SDKs come from one generator and name their errors alike, so one table of names serves both
and the HTTP library under them, and translating an error imports neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import anyio
from pydantic import SecretStr

from ragopt.errors import (
    IncompleteStream,
    ProviderError,
    ProviderProtocolError,
    ProviderRejected,
    ProviderUnavailable,
)

if TYPE_CHECKING:
    from httpx2 import Response

T = TypeVar("T")
Event = TypeVar("Event")
Event_co = TypeVar("Event_co", covariant=True)

CLOSE_S = 1.0
MESSAGE_CHARS = 200
NO_KEY_NEEDED = "none"
EVENT_STREAM = "text/event-stream"

# By the first name on an error's chain of classes; `APIStatusError` and `APIError` are judged by what they carry.
KIND_BY_CLASS: Mapping[str, type[ProviderError]] = {
    "APITimeoutError": ProviderUnavailable,
    "APIConnectionError": ProviderUnavailable,
    "APIResponseValidationError": ProviderProtocolError,
    "APIWebhookValidationError": ProviderProtocolError,
    "RetryableError": ProviderUnavailable,
    "CredentialsError": ProviderRejected,
    "SubjectTokenProviderError": ProviderRejected,
    "ContentFilterFinishReasonError": ProviderRejected,
    "LengthFinishReasonError": ProviderProtocolError,
    "StreamAlreadyConsumed": ProviderProtocolError,
    "WebSocketConnectionClosedError": ProviderProtocolError,
    "WebSocketQueueFullError": ProviderProtocolError,
    "UnsupportedProtocol": ProviderRejected,
    "TransportError": ProviderUnavailable,
    "DecodingError": ProviderProtocolError,
    "TooManyRedirects": ProviderProtocolError,
    "HTTPStatusError": ProviderProtocolError,
    "InvalidURL": ProviderRejected,
    "CookieConflict": ProviderProtocolError,
    "StreamError": ProviderProtocolError,
    "JSONDecodeError": ProviderProtocolError,
}
JUDGED_BY_STATUS = frozenset({"APIStatusError", "APIError"})
TIMEOUTS = frozenset({"APITimeoutError", "TimeoutException"})
LOST_CONNECTIONS = frozenset({"APIConnectionError", "TransportError"})

# 429 that no waiting cures. Source: OpenAI's API reference, error codes; anthropic 2.11, `types/shared`.
SPENT_CODES = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "enforced_spend_limit_reached",
        "contract_spend_limit_reached",
        "billing_error",
    }
)
# Error events inside a stream come with status 200: the type is all there is to go by.
REQUEST_CODES = frozenset(
    {"invalid_request_error", "authentication_error", "permission_error", "not_found_error", "request_too_large"}
)
TRY_AGAIN_STATUSES = frozenset({408, 409, 425, 429})


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
            raise ProviderUnavailable(f"{self.provider}: no complete answer within {self.timeout_s:g} s") from error
        except Exception as error:  # the edge to code that is not ours
            raise translate(error, provider=self.provider, streaming=streaming) from error

    @asynccontextmanager
    async def opened(self, opening: Awaitable[SdkStream[Event]]) -> AsyncIterator[AsyncIterator[Event]]:
        """Open a stream for the block, and close its connection at the end, cancelled or not.

        Raises: `ProviderProtocolError` if the answer is not an event stream.
        """
        stream = await self.run(opening)
        events = self._events(stream)
        try:
            content_type = stream.response.headers.get("content-type", "nothing")
            if EVENT_STREAM not in content_type:
                raise ProviderProtocolError(f"{self.provider}: {content_type} came back instead of an event stream")
            yield events
        finally:
            with anyio.move_on_after(CLOSE_S, shield=True):
                await events.aclose()
                await stream.close()

    async def _events(self, stream: SdkStream[Event]) -> AsyncGenerator[Event, None]:
        while (event := await self.run(anext(stream, None), streaming=True)) is not None:
            yield event


def key_text(api_key: SecretStr | None, *, base_url: str | None, variable: str) -> str:
    """Return the key to send; a server at an address of one's own may need none.

    Raises: `ProviderRejected` if there is no key and the address is the provider's own.
    """
    if api_key is not None and api_key.get_secret_value():
        return api_key.get_secret_value()
    if base_url is None:
        raise ProviderRejected(f"no API key: set {variable}, or api_key_env or api_key_file of the model")
    return NO_KEY_NEEDED


def translate(error: Exception, *, provider: str, streaming: bool = False) -> ProviderError:
    """Return our error for one of an SDK, of its HTTP library, or of parsing what came back.

    streaming: the answer had begun, so that a lost connection means an incomplete stream.
    Anything unknown is a `ProviderProtocolError`.
    """
    if isinstance(error, ProviderError):
        return error
    names = [cls.__name__ for cls in type(error).__mro__]
    lost = LOST_CONNECTIONS.intersection(names) and not TIMEOUTS.intersection(names)
    kind = IncompleteStream if streaming and lost else kind_of(error, names)
    return kind(f"{provider}: {sentence(error)}")


def kind_of(error: Exception, names: list[str]) -> type[ProviderError]:
    """Return our class for `error`, whose chain of class names is `names`."""
    for name in names:
        if name in KIND_BY_CLASS:
            return KIND_BY_CLASS[name]
        if name in JUDGED_BY_STATUS:
            return kind_of_answer(status_of(error), codes_of(error))
    return ProviderProtocolError


def kind_of_answer(status: int, codes: frozenset[str]) -> type[ProviderError]:
    """Return our class for an error answer; `status` below 300 is an error event inside a stream."""
    if codes & SPENT_CODES or (status < 300 and codes & REQUEST_CODES):
        return ProviderRejected
    if status < 300 or status in TRY_AGAIN_STATUSES or status >= 500:
        return ProviderUnavailable
    return ProviderRejected if status >= 400 else ProviderProtocolError


def status_of(error: Exception) -> int:
    """Return the HTTP status an SDK error carries; 200 for an error event of a stream that had begun."""
    status: object = getattr(error, "status_code", None)
    return status if isinstance(status, int) else 200


def codes_of(error: Exception) -> frozenset[str]:
    """Return every code and type in the error's body, wherever the dialect puts them."""
    found = (part.get(key) for part in body_parts(error) for key in ("code", "type", "error_code"))
    return frozenset(value for value in found if isinstance(value, str))


def body_parts(error: Exception) -> list[Mapping[str, object]]:
    """Return the JSON objects of an error's body: the outer one, its `error`, and that one's `details`; [] for none."""
    body: object = getattr(error, "body", None)
    parts = [body] if isinstance(body, Mapping) else []
    for key in ("error", "details"):
        inner = parts[-1].get(key) if parts else None
        if isinstance(inner, Mapping):
            parts.append(inner)
    return parts


def sentence(error: Exception) -> str:
    """Return what went wrong in one line, without anything a provider might echo of a key."""
    names = {cls.__name__ for cls in type(error).__mro__}
    if not names & JUDGED_BY_STATUS or names & LOST_CONNECTIONS:
        cause = error.__cause__ or error
        return f"{type(cause).__name__}: {str(cause)[:MESSAGE_CHARS]}".rstrip(": ")
    status = status_of(error)
    parts = [f"HTTP {status}" if status >= 300 else "error event", *sorted(codes_of(error) - {"error"})]
    messages = [part["message"] for part in body_parts(error) if isinstance(part.get("message"), str)]
    # Refusals of a key quote parts of it.
    if messages and status not in (401, 403):
        parts.append(f"“{str(messages[-1])[:MESSAGE_CHARS]}”")
    return " ".join(parts)
