"""A response that can fail on the wire: stop half way, break the connection, never come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from eval.stub.dialects import Frames, Json

DRIP_S = 0.05
EVENT_STREAM = "text/event-stream"


class BrokenConnectionError(Exception):
    """Makes the server drop the connection without ending the response."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send after `delay_s`: status and headers, then what `body` yields."""

    body: AsyncIterator[bytes]
    content_type: str = EVENT_STREAM
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0


class WireResponse(Response):
    """Sends a plan until it is done or the client leaves; tells `on_leave` if the client left."""

    def __init__(self, plan: Plan, *, on_leave: Callable[[], None]) -> None:
        super().__init__(status_code=plan.status)
        self._plan = plan
        self._on_leave = on_leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 (ASGI's signature)
        """Answer one request."""
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(self._client_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
        if sending.cancelled():
            self._on_leave()
        else:
            sending.result()

    async def _send(self, send: Send) -> None:
        await asyncio.sleep(self._plan.delay_s)
        started = False
        async for piece in self._plan.body:
            if not started:
                await send(self._start())
                started = True
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _start(self) -> dict[str, object]:
        headers = (("content-type", self._plan.content_type), *self._plan.headers)
        raw = [(name.encode(), value.encode()) for name, value in headers]
        return {"type": "http.response.start", "status": self._plan.status, "headers": raw}

    async def _client_left(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


async def streamed(frames: Frames, fault: str) -> AsyncIterator[bytes]:
    """Yield the stream as `fault` has it."""
    if fault == "hang":
        await forever()
    for piece in frames.opening:
        yield piece
    for piece in frames.words[: words_before(fault, len(frames.words))]:
        yield piece
    if fault in ("cut", "cut_early"):
        return
    if fault == "sse_error":
        yield frames.error
        return
    if fault == "bad_json":
        yield b"event: content_block_delta\ndata: {not json\n\n"
        return
    await misbehave(fault)
    while fault == "drip":
        yield frames.words[-1]
        await asyncio.sleep(DRIP_S)
    for piece in frames.closing:
        yield piece


def words_before(fault: str, words: int) -> int:
    """Return how many of `words` words are sent before `fault` shows."""
    if fault in ("cut_early", "sse_error", "bad_json", "empty"):
        return 0
    return max(1, words // 2) if fault in ("cut", "reset", "stall") else words


async def whole(body: Json, fault: str) -> AsyncIterator[bytes]:
    """Yield the answer without streaming as `fault` has it."""
    if fault in ("hang", "stall"):
        await forever()
    while fault == "drip":
        yield b" "
        await asyncio.sleep(DRIP_S)
    data = json.dumps(body, ensure_ascii=False).encode()
    broken = fault in ("cut", "cut_early", "reset", "bad_json")
    yield data[: len(data) // 2] if broken else data
    await misbehave(fault)


async def misbehave(fault: str) -> None:
    """Break the connection or fall silent if `fault` says so; do nothing otherwise."""
    if fault == "reset":
        # What was yielded must be on the wire first.
        await asyncio.sleep(DRIP_S)
        raise BrokenConnectionError
    if fault == "stall":
        await forever()


async def once(data: bytes) -> AsyncIterator[bytes]:
    """Yield `data`."""
    yield data


async def forever() -> None:
    """Wait until cancelled."""
    await asyncio.Event().wait()
