"""The stub on a real socket: in process for tests, or in the foreground."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import uvicorn

from eval.stub.app import create_app
from eval.stub.state import SeenCall, Step, StubOptions, StubState

HOST = "127.0.0.1"
START_S = 10.0


@dataclass(frozen=True, slots=True)
class StubServer:
    """A running stub."""

    port: int
    state: StubState

    @property
    def anthropic_url(self) -> str:
        """Return the base URL for Anthropic's dialect."""
        return f"http://{HOST}:{self.port}"

    @property
    def openai_url(self) -> str:
        """Return the base URL for OpenAI's dialect."""
        return f"http://{HOST}:{self.port}/v1"

    @property
    def calls(self) -> list[SeenCall]:
        """Return the requests so far, oldest first."""
        return list(self.state.calls)

    def plan(self, *steps: str | Step) -> None:
        """Plan what happens to the coming requests, one step for each; a name is that fault."""
        self.state.steps += [Step(step) if isinstance(step, str) else step for step in steps]

    def advance(self, seconds: float) -> None:
        """Let time pass for caches, limits and batches."""
        self.state.advanced_s += seconds

    def all_left(self, calls: Sequence[SeenCall], *, within_s: float = 5.0) -> bool:
        """Return whether the clients of all these requests went away, waiting for it to be noticed."""
        until = time.monotonic() + within_s
        while time.monotonic() < until and not all(call.client_disconnected for call in calls):
            time.sleep(0.01)
        return all(call.client_disconnected for call in calls)

    def last_call_left(self, *, within_s: float = 5.0) -> bool:
        """Return whether the client of the latest request went away, waiting for it to be noticed."""
        return bool(self.calls) and self.all_left(self.calls[-1:], within_s=within_s)


@contextmanager
def serve_in_thread(options: StubOptions | None = None) -> Iterator[StubServer]:
    """Serve on a free port of 127.0.0.1 for the block; requests still open at its end are dropped."""
    state = StubState(options or StubOptions())
    server = server_of(state)
    with closing(listening_socket()) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="provider-stub")
        thread.start()
        try:
            wait_until_started(server, thread)
            yield StubServer(listening.getsockname()[1], state)
        finally:
            server.should_exit = True
            thread.join()


def listening_socket(host: str = HOST, port: int = 0) -> socket.socket:
    """Return a socket that listens already, on a free port for 0. Raises: `OSError` if the address is taken."""
    # Without the protocol spelled out asyncio leaves Nagle's algorithm on: 40 ms for each answer.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen()
    except OSError:
        listening.close()
        raise
    return listening


def serve(options: StubOptions, listening: socket.socket) -> None:
    """Serve on a bound socket in the foreground until interrupted."""
    server_of(StubState(options)).run(sockets=[listening])


def server_of(state: StubState) -> uvicorn.Server:
    """Return the server over `state`, which can break its connections."""
    server = uvicorn.Server(configuration(state))

    def abort(port: int) -> None:
        # The protocol object of a connection is all that leads to its socket; ASGI hides it.
        for connection in list(server.server_state.connections):
            client, transport = getattr(connection, "client", None), getattr(connection, "transport", None)
            if client and client[1] == port and transport:
                transport.abort()

    state.abort = abort
    return server


def configuration(state: StubState) -> uvicorn.Config:
    """Return uvicorn's configuration; only what stops the server is logged, broken connections are on purpose."""
    return uvicorn.Config(
        create_app(state),
        log_level="critical",
        lifespan="off",
        timeout_graceful_shutdown=0,  # a hanging answer would never end by itself
    )


def wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    """Return when `server` accepts connections. Raises: `RuntimeError` if it does not within ten seconds."""
    until = time.monotonic() + START_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > until:
            raise RuntimeError("the provider stub did not start")
        time.sleep(0.005)
