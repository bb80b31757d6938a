"""A rerank endpoint for tests, on a real socket."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from eval.stub.server import listening_socket, wait_until_started
from tests.cross_encoders import shared_words


@dataclass
class Endpoint:
    """A rerank endpoint on a real socket, and what it was asked. `answer` replaces what it says."""

    url: str = ""
    answer: Callable[[], Response] | None = None
    hangs: bool = False
    bodies: list[dict[str, object]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    async def rerank(self, request: Request) -> Response:
        """Return shared words as scores, best first, as text-embeddings-inference does."""
        body = await request.json()
        self.bodies.append(body)
        self.keys.append(request.headers.get("authorization"))
        while self.hangs:
            await asyncio.sleep(0.005)
        if self.answer is not None:
            return self.answer()
        scores = [shared_words(body["query"], text) for text in body["texts"]]
        ranks = [{"index": at, "score": scores[at]} for at in sorted(range(len(scores)), key=lambda at: -scores[at])]
        return JSONResponse(ranks)


@contextmanager
def served_endpoint() -> Iterator[Endpoint]:
    """Serve an endpoint on a free port of 127.0.0.1 for the block."""
    endpoint = Endpoint()
    app = Starlette(routes=[Route("/rerank", endpoint.rerank, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=0))
    with closing(listening_socket()) as listening:
        endpoint.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="rerank-endpoint")
        thread.start()
        try:
            wait_until_started(server, thread)
            yield endpoint
        finally:
            endpoint.hangs = False
            server.should_exit = True
            thread.join()
