"""Event streams: the wire format, and signs of life while nothing happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.requests import ClientDisconnect

from ragopt.api.sse import EventStream, encode_event


async def never() -> dict[str, Any]:
    """Return no message, as a caller that stays."""
    await asyncio.sleep(30)
    return {"type": "http.disconnect"}


def run_stream(events: AsyncGenerator[bytes, None], *, ping_s: float = 15.0) -> list[bytes]:
    """Return the pieces that a stream sends."""
    sent: list[bytes] = []

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    asyncio.run(EventStream(events, ping_s=ping_s)({"type": "http"}, never, send))
    return sent


@pytest.mark.parametrize("text", ["a\nb\r\n\n", "é\u2028 data: x", ""])
def test_event_is_one_block(text: str) -> None:
    """Whatever its data holds, an event is a name, one line of JSON and a blank line."""
    encoded = encode_event("delta", {"text": text}).decode()
    assert encoded.startswith("event: delta\ndata: {")
    assert (encoded.count("\n"), encoded.endswith("\n\n")) == (3, True)


def test_quiet_stream_is_kept_alive() -> None:
    """While no event comes, `: ping` goes out, and the events stay whole and in order."""

    async def events() -> AsyncGenerator[bytes, None]:
        yield b"one"
        await asyncio.sleep(0.08)
        yield b"two"

    sent = run_stream(events(), ping_s=0.02)
    assert [piece for piece in sent if piece and not piece.startswith(b":")] == [b"one", b"two"]
    assert b": ping\n\n" in sent[: sent.index(b"two")]
    assert sent[-1] == b""


def test_busy_stream_needs_no_ping() -> None:
    """A stream whose events come often enough sends nothing else."""

    async def events() -> AsyncGenerator[bytes, None]:
        for _ in range(3):
            yield b"event"

    assert run_stream(events()) == [b"", b"event", b"event", b"event", b""]


def test_generator_is_closed_when_the_caller_goes() -> None:
    """A caller that hangs up cancels the wait for the next event, and the generator's clean-up runs."""
    steps = []

    async def events() -> AsyncGenerator[bytes, None]:
        try:
            yield b"one"
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0)
            steps.append("closed")

    async def leave() -> dict[str, Any]:
        await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        steps.append("sent")

    with pytest.raises(ClientDisconnect):
        asyncio.run(EventStream(events())({"type": "http"}, leave, send))
    assert steps == ["sent", "sent", "closed"]
