"""What one caller may take: body bytes, and nothing more once it has hung up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ragopt.api.problems import stalled, too_large

# A body over its limit is read to its end before the 413, within these bounds: closing a socket
# with unread bytes resets the connection, and the caller would see that instead of the answer.
DRAIN_BYTES: Final = 256 * 1024 * 1024
DRAIN_S: Final = 5.0
# A caller that sends no byte of its body for this long loses its place to others.
BODY_STALL_S: Final = 30.0


class BodyLimit:
    """ASGI middleware: 413 for a body over its limit, counted on the bytes that arrive.

    `limits_bytes` maps a path to its own limit; `default_bytes` holds for every other path. The
    framework's own `max_body_size` is not used because it answers in plain text.
    """

    def __init__(self, app: ASGIApp, *, limits_bytes: Mapping[str, int], default_bytes: int) -> None:
        self._app = app
        self._limits_bytes = limits_bytes
        self._default_bytes = default_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        limit = self._limits_bytes.get(scope["path"], self._default_bytes)
        body = LimitedBody(receive, limit_bytes=limit, declared_bytes=declared_length(scope))
        return await self._app(scope, body.receive, send)


class LimitedBody:
    """The body of one request, refused as soon as it is known to be over its limit."""

    def __init__(
        self, receive: Receive, *, limit_bytes: int, declared_bytes: int, stall_s: float = BODY_STALL_S
    ) -> None:
        self._receive = receive
        self._limit_bytes = limit_bytes
        self._declared_bytes = declared_bytes
        self._stall_s = stall_s
        self._received_bytes = 0
        self._complete = False

    async def receive(self) -> Message:
        """Return the next message. Raises: `HTTPException` 413, and 408 if the rest of the body does not come."""
        if self._declared_bytes > self._limit_bytes:
            await self._drain()
        if self._complete:
            return await self._receive()  # the next message is that the caller hung up, whenever that is
        try:
            async with asyncio.timeout(self._stall_s):
                message = await self._receive()
        except TimeoutError as error:
            raise stalled(self._stall_s) from error
        self._received_bytes += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._received_bytes > self._limit_bytes:
            if not self._complete:
                await self._drain()
            raise too_large(self._limit_bytes)
        return message

    async def _drain(self) -> None:
        ends = time.monotonic() + DRAIN_S
        more = max(self._declared_bytes, self._received_bytes) <= DRAIN_BYTES
        while more and time.monotonic() < ends and self._received_bytes <= DRAIN_BYTES:
            message = await self._receive()
            self._received_bytes += len(message.get("body", b""))
            more = message.get("more_body", False)
        raise too_large(self._limit_bytes)


def declared_length(scope: Scope) -> int:
    """Return the Content-Length of a request; 0 where there is none or it is no number."""
    declared = Headers(scope=scope).get("content-length", "")
    return int(declared) if declared.isascii() and declared.isdigit() else 0


@asynccontextmanager
async def while_connected(receive: Receive) -> AsyncIterator[None]:
    """Cancel the block as soon as the caller hangs up. Raises: `ClientDisconnect`.

    The request's body must have been read. The block stays in its own task: generators that hold a
    timeout across a `yield` do not survive a change of task.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine always runs in a task here; this tells the type checker
    before, gone = task.cancelling(), False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError as error:
        if gone and task.uncancel() <= before:
            raise ClientDisconnect from error
        raise
    finally:
        watcher.cancel()
