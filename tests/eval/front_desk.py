"""A tiny HTTP server that looks like the service to the benchmarks: it takes documents, answers, and sheds load."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from eval.bench.service import RunningService

TIMINGS = {"retrieve": 1.0, "overlap": 0.0, "other": 1.0, "total": 2.0}


@dataclass
class FrontDesk:
    """At most `permits` answers at once, each after `answer_s`; more are refused with 503 at once.

    Every `broken_every`-th answer is a 500, 0 for none. `most` is how many were ever asked for at once.
    """

    permits: int = 64
    answer_s: float = 0.002
    broken_every: int = 0
    answers: int = 0
    waiting: int = 0
    most: int = 0
    _conversations: list[asyncio.Task[None]] = field(default_factory=list)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[RunningService]:
        """Listen on a free port for the block."""
        server = await asyncio.start_server(self._converse, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            yield RunningService(f"http://127.0.0.1:{port}", "key", 0.0, os.getpid())
        finally:
            server.close()
            await asyncio.gather(*self._conversations)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations.append(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if line)
                body = json.loads(await reader.readexactly(int(fields["content-length"])))
                status, reply = await self._reply(head.split()[1], body)
                data = json.dumps(reply).encode()
                writer.write(f"HTTP/1.1 {status} .\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()  # the client hung up

    async def _reply(self, path: str, body: dict[str, list[dict[str, str]]]) -> tuple[int, dict[str, object]]:
        if path == "/ingest":
            return 200, {"documents": [{"id": item["id"], "chunks": 10, "error": None} for item in body["documents"]]}
        if self.waiting >= self.permits:
            return 503, {}
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        await asyncio.sleep(self.answer_s)
        self.waiting -= 1
        self.answers += 1
        broken = self.broken_every and self.answers % self.broken_every == 0
        return 500 if broken else 200, {"context": {"tokens": 5}, "timings_ms": TIMINGS}
