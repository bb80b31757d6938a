"""A TCP proxy that stands between a client and a server, and does to their connections what networks do."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

HOST = "127.0.0.1"
PIECE_BYTES = 16_384
POLL_S = 0.01
START_S = 10.0

Address: TypeAlias = tuple[str, int]
# Where the server listens: a host and a port, or the path of a unix socket.
Upstream: TypeAlias = Address | Path


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens to every connection, the open ones too.

    delay_s: each piece waits so long. bytes_per_s: no faster than this, None for no limit. paused: connections are
    taken and nothing passes. refused: new ones are closed at once, open ones reset. cut_after: so many bytes of an
    answer pass, then the connection is reset; None for never. piece_bytes: so many at a time.
    """

    delay_s: float = 0.0
    bytes_per_s: float | None = None
    paused: bool = False
    refused: bool = False
    cut_after: int | None = None
    piece_bytes: int = PIECE_BYTES


FAIR = Weather()


@dataclass(slots=True)
class Proxy:
    """A running proxy; `weather` may be changed at any time, from any thread. passed: bytes in both directions."""

    port: int
    upstream: Upstream
    weather: Weather = FAIR
    passed: int = 0
    connections: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection until either side ends it or the weather does."""
        self.connections += 1
        self.writers.add(writer)
        try:
            if not self.weather.refused:
                await self._carried(reader, writer)
        except OSError:
            pass
        finally:
            self.writers.discard(writer)
            reset(writer)

    async def _carried(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if isinstance(self.upstream, Path):
            back, forth = await asyncio.open_unix_connection(self.upstream)
        else:
            back, forth = await asyncio.open_connection(*self.upstream)
        ways = [asyncio.create_task(way) for way in (self._way(reader, forth), self._way(back, writer, answers=True))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            forth.close()

    async def _way(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, answers: bool = False) -> None:
        """Carry one direction; returns when the source is at its end or the connection has to be cut."""
        carried = 0
        while piece := await source.read(self.weather.piece_bytes):
            while self.weather.paused:  # noqa: ASYNC110 - another thread changes it
                await asyncio.sleep(POLL_S)
            weather = self.weather
            wait_s = weather.delay_s + (len(piece) / weather.bytes_per_s if weather.bytes_per_s else 0.0)
            if wait_s:
                await asyncio.sleep(wait_s)
            limit = weather.cut_after if answers else None
            room = len(piece) if limit is None else max(0, limit - carried)
            target.write(piece[:room])
            await target.drain()
            carried += len(piece[:room])
            self.passed += len(piece[:room])
            if room < len(piece):
                return


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection at once, with what is unsent dropped."""
    with suppress(OSError):
        transport = writer.transport
        connection = transport.get_extra_info("socket")
        if connection is not None:
            # A linger of 0 seconds makes the close a reset. Source: socket(7), SO_LINGER
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        transport.abort()


@contextmanager
def proxied(upstream: Upstream) -> Iterator[Proxy]:
    """Run a proxy on a free port of 127.0.0.1 for the block, in a thread of its own."""
    ready, ended = threading.Event(), threading.Event()
    made: list[Proxy] = []

    async def run() -> None:
        listening = socket.socket()
        listening.bind((HOST, 0))
        proxy = Proxy(listening.getsockname()[1], upstream)
        server = await asyncio.start_server(proxy.serve, sock=listening)
        made.append(proxy)
        ready.set()
        await watch(proxy, ended)
        server.close()
        for writer in list(proxy.writers):
            reset(writer)

    thread = threading.Thread(target=asyncio.run, args=(run(),), name="proxy")
    thread.start()
    try:
        if not ready.wait(START_S):
            raise OSError("the proxy did not start")
        yield made[0]
    finally:
        ended.set()
        thread.join()


async def watch(proxy: Proxy, ended: threading.Event) -> None:
    """Reset open connections when the weather turns to refusing; return at the end of the block."""
    refusing = False
    while not ended.is_set():
        if proxy.weather.refused and not refusing:
            for writer in list(proxy.writers):
                reset(writer)
        refusing = proxy.weather.refused
        await asyncio.sleep(POLL_S)
