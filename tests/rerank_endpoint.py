"""A rerank endpoint for tests, on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.cross_encoders import shared_words
from tests.sockets import served


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
    with served(Starlette(routes=[Route("/rerank", endpoint.rerank, methods=["POST"])])) as endpoint.url:
        try:
            yield endpoint
        finally:
            endpoint.hangs = False
