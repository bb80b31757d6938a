"""The TCP proxy of the campaign, before an echo server over real sockets."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from eval.campaign.proxy import FAIR, HOST, Proxy, Upstream, Weather, proxied

SAID = b"0123456789" * 10
PATIENCE_S = 30.0


class Echo(socketserver.BaseRequestHandler):
    """Says back whatever it hears."""

    def handle(self) -> None:
        """Serve one connection."""
        while heard := self.request.recv(4096):
            self.request.sendall(heard)


class Threaded(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """One thread for each connection."""

    daemon_threads = True


class ThreadedUnix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The same on a unix socket."""

    daemon_threads = True


@contextmanager
def echoing(folder: Path | None = None) -> Iterator[Upstream]:
    """Run an echo server for the block; yields where it listens."""
    server: socketserver.TCPServer = Threaded((HOST, 0), Echo) if folder is None else ThreadedUnix(f"{folder}/s", Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield (HOST, server.server_address[1]) if folder is None else folder / "s"  # type: ignore[misc]
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def connected(proxy: Proxy) -> Iterator[socket.socket]:
    """Yield a connection through the proxy."""
    with socket.create_connection((HOST, proxy.port), timeout=PATIENCE_S) as connection:
        yield connection


def heard(connection: socket.socket, size: int = len(SAID)) -> bytes:
    """Return what comes back, until so many bytes came or the connection ended."""
    got = b""
    while len(got) < size:
        try:
            piece = connection.recv(size - len(got))
        except ConnectionResetError:
            return got
        if not piece:
            return got
        got += piece
    return got


@pytest.mark.parametrize("unix", [False, True])
@pytest.mark.parametrize(
    "weather",
    [FAIR, Weather(delay_s=0.01), Weather(bytes_per_s=10_000, piece_bytes=7)],
    ids=["fair", "slow", "trickle"],
)
def test_what_is_slow_arrives_whole(short_dir: Path, weather: Weather, *, unix: bool) -> None:
    """Whatever the pace, the bytes come back in order, from a port or a unix socket."""
    with echoing(short_dir if unix else None) as upstream, proxied(upstream) as proxy, connected(proxy) as connection:
        proxy.weather = weather
        connection.sendall(SAID)
        assert heard(connection) == SAID
    (short_dir / "s").unlink(missing_ok=True)


def test_a_cut_answer_ends_where_it_says() -> None:
    """Only so many bytes of an answer arrive, and then the connection is gone."""
    with echoing() as upstream, proxied(upstream) as proxy:
        proxy.weather = Weather(cut_after=33)
        with connected(proxy) as connection:
            connection.sendall(SAID)
            assert len(heard(connection)) <= 33


def test_a_pause_ends_and_what_was_sent_arrives() -> None:
    """Nothing passes while it lasts; afterwards everything does."""
    with echoing() as upstream, proxied(upstream) as proxy, connected(proxy) as connection:
        proxy.weather = Weather(paused=True)
        connection.sendall(SAID)
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(PATIENCE_S)
        proxy.weather = FAIR
        assert heard(connection) == SAID


def test_refusing_resets_what_is_open() -> None:
    """Open connections end, new ones get nothing, and fair weather lets them through again."""
    with echoing() as upstream, proxied(upstream) as proxy:
        with connected(proxy) as connection:
            connection.sendall(SAID)
            assert heard(connection) == SAID
            proxy.weather = Weather(refused=True)
            assert heard(connection) == b""
        with connected(proxy) as connection:
            assert heard(connection) == b""
        proxy.weather = FAIR
        with connected(proxy) as connection:
            connection.sendall(SAID)
            assert heard(connection) == SAID
