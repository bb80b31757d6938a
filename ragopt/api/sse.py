"""Server-sent events over HTTP: paced, and ended at once when the caller hangs up.

Source: WHATWG HTML, 9.2 Server-sent events.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ragopt.api.limits import while_connected

PING_S = 15.0
# A caller that takes no byte for this long is treated as gone, so that it cannot keep its place.
STALL_S = 60.0


def encode_event(name: str, data: object) -> bytes:
    """Return one event as it goes over the wire, `data` as one line of JSON."""
    return format_sse_event(event=name, data_str=json.dumps(data, ensure_ascii=False, separators=(",", ":")))


class EventStream(Response):
    """A response that sends each event as it comes, and `: ping` when none came for `ping_s` seconds."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None], *, ping_s: float = PING_S) -> None:
        # nginx buffers a response unless this header says not to.
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._ping_s = ping_s
        self._sent_at = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send the events; closes their generator whatever happens. Raises: `ClientDisconnect`."""
        async with aclosing(self._events) as events, while_connected(receive):
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            self._sent_at = time.monotonic()
            pings = asyncio.create_task(self._ping(send))
            try:
                async for event in events:
                    await self._send(send, event)
            finally:
                pings.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, event: bytes) -> None:
        try:
            async with asyncio.timeout(STALL_S):
                await send({"type": "http.response.body", "body": event, "more_body": True})
        except TimeoutError as error:
            raise ClientDisconnect from error
        self._sent_at = time.monotonic()

    async def _ping(self, send: Send) -> None:
        while True:
            quiet_s = time.monotonic() - self._sent_at
            if quiet_s >= self._ping_s:
                await send({"type": "http.response.body", "body": KEEPALIVE_COMMENT, "more_body": True})
                self._sent_at = time.monotonic()
                quiet_s = 0.0
            await asyncio.sleep(self._ping_s - quiet_s)
