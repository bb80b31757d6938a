"""A response that can fail on the wire: stop half way, break the connection, never come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from eval.stub.asking import Json
from eval.stub.dialects import Frames

DRIP_S = 0.05
EVENT_STREAM = "text/event-stream"
BAD_EVENT = b"event: content_block_delta\ndata: {not json\n\n"
OTHER_SHAPE: Json = {"status": "ok"}
SPLIT_BYTES = 3


class BrokenConnectionError(Exception):
    """Makes the server drop the connection without ending the response."""


class Misdeed(Enum):
    """What a response does instead of sending more."""

    SILENCE = "never send again"
    RESET = "break the connection"
    DRIP = "repeat the last piece for ever"


Script: TypeAlias = Sequence[bytes | Misdeed]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send after `delay_s`: status and headers, then what `body` yields. aborts: no answer at all."""

    body: AsyncIterator[bytes]
    content_type: str = EVENT_STREAM
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0
    aborts: bool = False


class Watch(Protocol):
    """What is told of a response on its way."""

    def began(self) -> None:
        """Say that the first byte is about to be sent."""

    def ended(self) -> None:
        """Say that nothing more will be sent."""

    def left(self) -> None:
        """Say that the client went away before the end."""


class WireResponse(Response):
    """Sends a plan until it is done or the client leaves; `abort` breaks the client's connection."""

    def __init__(self, plan: Plan, watch: Watch, *, abort: Callable[[], None]) -> None:
        super().__init__(status_code=plan.status)
        self._plan = plan
        self._watch = watch
        self._abort = abort

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 (ASGI's signature)
        """Answer one request."""
        try:
            if self._plan.aborts:
                self._abort()
                # The server must notice before the application returns, or it answers with a 500.
                await asyncio.sleep(DRIP_S)
                return
            await self._answer(receive, send)
        finally:
            self._watch.ended()

    async def _answer(self, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(self._client_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            leaving.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
        if sending.cancelled():
            self._watch.left()
        else:
            sending.result()

    async def _send(self, send: Send) -> None:
        await asyncio.sleep(self._plan.delay_s)
        started = False
        async for piece in self._plan.body:
            if not started:
                self._watch.began()
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


def stream_script(frames: Frames, fault: str) -> Script:
    """Return the events of a stream as `fault` has them."""
    opening, words, closing = frames.opening, frames.words, frames.closing
    half = words[: max(1, len(words) // 2)]
    told: dict[str, Script] = {
        "hang": [Misdeed.SILENCE],
        "stall": [*opening, *half, Misdeed.SILENCE],
        "drip": [*opening, *words, Misdeed.DRIP],
        "cut": [*opening, *half],
        "cut_early": opening,
        "reset": [*opening, *half, Misdeed.RESET],
        "sse_error": [*opening, frames.error],
        "sse_error_late": [*opening, *half, frames.error],
        "bad_json": [*opening, BAD_EVENT],
        "other_shape": [f"event: status\ndata: {json.dumps(OTHER_SHAPE)}\n\n".encode()],
        "duplicate_usage": [*opening, *words, *closing[:-1], closing[-2], closing[-1]],
        "wrong_order": [*opening, *half, *closing[:-1], *words[len(half) :], closing[-1]],
    }
    if fault == "split_utf8":
        return list(split(b"".join((*opening, *words, *closing))))
    return told.get(fault, [*opening, *words, *closing])


def whole_script(body: Json, fault: str) -> Script:
    """Return an answer without streaming as `fault` has it."""
    data = json.dumps(body, ensure_ascii=False).encode()
    half = data[: len(data) // 2]
    told: dict[str, Script] = {
        "hang": [Misdeed.SILENCE],
        "stall": [half, Misdeed.SILENCE],
        "drip": [b" ", Misdeed.DRIP],
        "reset": [half, Misdeed.RESET],
        "cut": [half],
        "cut_early": [half],
        "bad_json": [b"{not json}"],
        "other_shape": [json.dumps(OTHER_SHAPE).encode()],
    }
    return list(split(data)) if fault == "split_utf8" else told.get(fault, [data])


def split(data: bytes) -> Iterator[bytes]:
    """Yield three bytes at a time: characters come apart."""
    for at in range(0, len(data), SPLIT_BYTES):
        yield data[at : at + SPLIT_BYTES]


async def played(script: Script, *, interval_s: float = 0) -> AsyncIterator[bytes]:
    """Yield the pieces, a fixed time apart, and do the misdeed where there is one."""
    clock = asyncio.get_running_loop().time
    start_s = clock()
    last = b""
    for at, piece in enumerate(script):
        if isinstance(piece, bytes):
            # By the clock, so that what sending takes does not add up.
            if interval_s and (wait_s := start_s + at * interval_s - clock()) > 0:
                await asyncio.sleep(wait_s)
            yield piece
            last = piece
        elif piece is Misdeed.DRIP:
            while True:
                yield last
                await asyncio.sleep(DRIP_S)
        elif piece is Misdeed.SILENCE:
            await asyncio.Event().wait()
        else:
            # What was yielded must be on the wire first.
            await asyncio.sleep(DRIP_S)
            raise BrokenConnectionError


async def once(data: bytes) -> AsyncIterator[bytes]:
    """Yield `data`."""
    yield data
