"""Limits: bytes of a body, places among the running questions, time, and callers that hang up."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message

from ragopt.api.limits import LimitedBody, while_connected
from ragopt.api.running import Lifetime
from ragopt.config import Settings
from ragopt.errors import DeadlineExceeded
from tests.ragopt.api.fakes import FakeService, Served, eventually, served

QUESTION = {"question": "Is the sky blue?"}


@contextmanager
def small() -> Iterator[Served]:
    """Serve with limits that a test can pass quickly."""
    settings = Settings(max_body_bytes=1_000, max_ingest_bytes=5_000, max_concurrent_requests=1, queue_wait_s=0.05)
    with served(FakeService(settings=settings)) as running:
        yield running


def in_chunks(total: int) -> Iterator[bytes]:
    """Yield a body piece by piece, so that no Content-Length announces it."""
    for _ in range(total // 100):
        yield b" " * 100


@pytest.mark.parametrize(("path", "limit"), [("/answer", 1_000), ("/context", 1_000), ("/ingest", 5_000)])
@pytest.mark.parametrize("length", ["declared", "unknown"])
def test_body_over_its_limit_is_413(path: str, limit: int, length: str) -> None:
    """A body over its limit is refused as a problem, whether or not its length was announced."""
    with small() as http, http.client() as client:
        body = b" " * (limit + 100) if length == "declared" else in_chunks(limit + 100)
        response = client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")
    assert response.headers["content-type"] == "application/problem+json"
    assert str(limit) in response.json()["detail"]


def test_body_at_its_limit_is_read() -> None:
    """A body of exactly the limit is served: the limit is the last size that fits."""
    with small() as http, http.client() as client:
        content = b'{"question": "Is the sky blue?"}'.ljust(1_000)
        assert client.post("/context", content=content, headers={"Content-Type": "application/json"}).is_success


def test_body_that_lies_about_its_length_is_counted() -> None:
    """Received bytes count, not the header: a wrong Content-Length does not get a larger body through."""
    with small() as http:
        address = urlsplit(http.url)
        with socket.create_connection((address.hostname, address.port), timeout=10) as raw:
            head = f"POST /answer HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {'key-of-acme'}\r\n"
            raw.sendall(f"{head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n".encode())
            raw.sendall(b"7d0\r\n" + b" " * 2_000 + b"\r\n0\r\n\r\n")
            status = raw.recv(65_536).split(b"\r\n")[0]
    assert status.split()[1] in (b"413", b"400")


def test_body_that_stalls_is_408() -> None:
    """A body whose rest does not come is refused; after its end the wait for the caller to hang up has no limit."""
    messages: list[Message] = [{"type": "http.request", "body": b"a", "more_body": more} for more in (True, False)]

    async def receive() -> Message:
        if not messages:
            await asyncio.sleep(0.05)
            return {"type": "http.disconnect"}
        return messages.pop(0)

    async def scenario(count: int) -> list[Message]:
        body = LimitedBody(receive, limit_bytes=10, declared_bytes=0, stall_s=0.01)
        return [await body.receive() for _ in range(count)]

    assert asyncio.run(scenario(3))[-1] == {"type": "http.disconnect"}
    messages.append({"type": "http.request", "body": b"a", "more_body": True})
    with pytest.raises(HTTPException) as refused:
        asyncio.run(scenario(2))
    assert refused.value.status_code == 408


def test_question_beyond_the_places_is_503() -> None:
    """While every place is taken, one more question is refused as overloaded after a short wait."""
    with small() as http:
        http.service.pipeline.gate = threading.Event()
        first: list[httpx.Response] = []
        running = threading.Thread(target=lambda: first.append(http.post("/context", QUESTION)))
        running.start()
        eventually(lambda: bool(http.service.pipeline.asked))
        refused = http.post("/answer", QUESTION)
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        assert http.get("/healthz").is_success
        http.service.pipeline.gate.set()
        running.join(10)
        assert first[0].is_success
        assert http.post("/context", QUESTION).is_success


def test_stream_holds_its_place_until_its_end() -> None:
    """A streamed answer keeps its place until the last byte is out, and gives it back then."""
    with small() as http:
        http.service.pipeline.gate = threading.Event()
        with http.client() as client, client.stream("POST", "/answer", json={**QUESTION, "stream": True}) as stream:
            lines = stream.iter_lines()
            while "delta" not in next(lines):
                continue
            assert http.post("/context", QUESTION).status_code == 503
            http.service.pipeline.gate.set()
            assert any("event: done" in line for line in lines)
        eventually(lambda: http.post("/context", QUESTION).is_success)


def test_deadline_turns_into_its_own_error() -> None:
    """A block that runs over its deadline is cancelled; a timeout of its own passes through unchanged."""

    async def scenario() -> None:
        now = asyncio.get_running_loop().time()
        with pytest.raises(DeadlineExceeded):
            async with Lifetime().until(now + 0.01):
                await asyncio.sleep(30)
        with pytest.raises(TimeoutError):
            async with Lifetime().until(now + 30):
                raise TimeoutError

    asyncio.run(scenario())


def test_deadline_holds_between_items_only() -> None:
    """What a consumer awaits between two items is not cut by the deadline; the next item is."""

    async def items() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(30)
        yield 2

    seen = []

    async def scenario() -> None:
        async for item in Lifetime().each_until(asyncio.get_running_loop().time() + 0.02, items()):
            await asyncio.sleep(0.05)
            seen.append(item)

    with pytest.raises(DeadlineExceeded):
        asyncio.run(scenario())
    assert seen == [1]


def test_block_is_cancelled_when_the_caller_hangs_up() -> None:
    """A caller that hangs up cancels the block, whose clean-up may still wait; nothing is cancelled twice."""
    steps = []

    async def receive() -> dict[str, str]:
        await asyncio.sleep(0.01)
        return {"type": "http.disconnect"}

    async def block() -> None:
        async with while_connected(receive):
            try:
                await asyncio.sleep(30)
            finally:
                await asyncio.sleep(0)
                steps.append("cleaned up")

    async def scenario() -> None:
        with pytest.raises(ClientDisconnect):
            await block()
        await asyncio.sleep(0)
        steps.append("went on")

    asyncio.run(scenario())
    assert steps == ["cleaned up", "went on"]


def test_cancel_from_outside_stays_a_cancel() -> None:
    """A task that is cancelled for another reason is not taken for a caller that hung up."""

    async def scenario() -> bool:
        async def receive() -> dict[str, str]:
            await asyncio.sleep(30)
            return {"type": "http.disconnect"}

        async def block() -> None:
            async with while_connected(receive):
                await asyncio.sleep(30)

        task = asyncio.create_task(block())
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return task.cancelled()

    assert asyncio.run(scenario())


def test_late_request_is_504() -> None:
    """A question that runs over the request's total time is answered with a 504, and cancelled."""
    with served(FakeService(settings=Settings(request_timeout_s=0.5))) as http:
        http.service.pipeline.gate = threading.Event()
        response = http.post("/answer", QUESTION)
        assert (response.status_code, response.json()["code"]) == (504, "deadline_exceeded")
        assert http.service.pipeline.closed.wait(60)
        http.service.pipeline.gate.set()


def test_caller_that_hangs_up_cancels_the_answer() -> None:
    """When the caller goes away while an unstreamed answer is made, the model call under it is ended."""
    with served() as http:
        http.service.pipeline.gate = threading.Event()
        with http.client() as client, pytest.raises(httpx.ReadTimeout):
            client.post("/answer", json=QUESTION, timeout=0.3)
        assert http.service.pipeline.closed.wait(60)
