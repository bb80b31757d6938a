"""The HTTP server process: one socket, a drain on SIGTERM, exit code 0 after it."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from ragopt.api.running import Lifetime

BACKLOG = 2048
# uvloop takes one connection a listener and turn of the loop (libuv since 1.45), and a turn of a busy loop is long: of
# a hundred callers who come at once the last would wait for seconds before anything is read of them.
LISTENERS = 16
# Longer than load balancers and clients keep an idle connection: whoever closes it must not be the one who is asked.
KEEP_ALIVE_S = 75
# What uvicorn still grants open connections once the drain is over.
LAST_WORDS_S = 1


class DrainingServer(uvicorn.Server):
    """A uvicorn server that leaves in two steps.

    On the first SIGTERM or SIGINT `lifetime.draining` is set, which turns readiness off and refuses
    new work while the socket stays open, so that a load balancer gets an answer rather than a
    refused connection. It closes when no request is open or `drain_s` is over, or at a second SIGINT; what is
    open then ends with the problem `draining`.
    """

    def __init__(
        self, app: FastAPI, *, lifetime: Lifetime, drain_s: float, on_started: Callable[[], None] | None = None
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="on",
                workers=1,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=LAST_WORDS_S,
            )
        )
        self._lifetime = lifetime
        self._drain_s = drain_s
        self._drain_ends = 0.0
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then listen with several listeners a socket; then `on_started` is told."""
        given = sockets or []
        await super().startup([*given, *(bound.dup() for bound in given for _ in range(LISTENERS - 1))] or None)
        if self.started and self._on_started is not None:
            self._on_started()

    async def on_tick(self, counter: int) -> bool:
        """Return whether to leave now; called ten times a second."""
        if not await super().on_tick(counter):
            return False
        now = asyncio.get_running_loop().time()
        if not self._lifetime.draining:
            self._lifetime.draining = True
            self._drain_ends = now + self._drain_s
        over = now >= self._drain_ends or self.force_exit
        if over:
            # Each open stream has time for one last event, and every other request for a problem.
            self._lifetime.end()
        return over or self._lifetime.open_requests == 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Begin the drain. The signal is not raised again afterwards, which would replace exit code 0."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address, port 0 for a free one. Raises: `OSError`."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        # Without this, a second process with SO_REUSEADDR could bind the port before we listen.
        bound.listen(BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


def url_of(bound: socket.socket) -> str:
    """Return the address under which this machine reaches the socket."""
    host, port = bound.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
