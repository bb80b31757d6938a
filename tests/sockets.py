"""Applications on a real socket, in a thread of the test."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import uvicorn
from starlette.applications import Starlette

from eval.stub.server import listening_socket, wait_until_started


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    """Yield the address of an application that is served on a free port of 127.0.0.1 for the block."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=0))
    with closing(listening_socket()) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="served-app")
        thread.start()
        try:
            wait_until_started(server, thread)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
