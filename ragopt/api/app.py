"""The HTTP application: middleware from the outside in, routes, and what lives as long as it does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, TypedDict

from fastapi import FastAPI
from starlette.middleware import Middleware

from ragopt.api import answers, batch, chat, conversations, documents, experiments, feedback, health, ingest, stats
from ragopt.api.admission import Admission, Line, Work
from ragopt.api.jobs import JobRunner
from ragopt.api.limits import BodyLimit
from ragopt.api.page import route as page
from ragopt.api.problems import HANDLED, answer_with_problem
from ragopt.api.request_log import RequestLog
from ragopt.api.running import Lifetime, Running
from ragopt.batches.runner import BatchRunner
from ragopt.config import Settings

if TYPE_CHECKING:
    from ragopt.wiring import Service


class State(TypedDict):
    """What the lifespan hands to every request."""

    running: Running


def create_app(
    open_service: Callable[[], AbstractAsyncContextManager[Service]],
    settings: Settings,
    *,
    lifetime: Lifetime | None = None,
) -> FastAPI:
    """Return the application; `open_service` is entered when it starts and left when it stops.

    `lifetime` is shared with the server that drains it.
    """
    shared_lifetime = lifetime or Lifetime()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with (
            open_service() as service,
            JobRunner(service.jobs, service.library) as jobs,
            BatchRunner(service.batches) as batches,
        ):
            questions, ingests = (Admission(settings.max_concurrent_requests, lines(settings)) for _ in range(2))
            yield {
                "running": Running(service, questions, ingests, jobs=jobs, batches=batches, lifetime=shared_lifetime)
            }

    app = FastAPI(
        title="ragopt",
        summary="Documents in; packed context and checked, cited answers out.",
        version="0.1.0",
        lifespan=lifespan,
        # Both pages load their scripts from a content network, which a closed network does not reach.
        docs_url=None,
        redoc_url=None,
        # Off: an id may end with a slash.
        redirect_slashes=False,
        exception_handlers=dict.fromkeys(HANDLED, answer_with_problem),
        middleware=[
            Middleware(RequestLog, lifetime=shared_lifetime),
            Middleware(
                BodyLimit,
                limits_bytes={"/ingest": settings.max_ingest_bytes, "/batch": settings.batch.max_bytes},
                default_bytes=settings.max_body_bytes,
            ),
        ],
    )
    for part in (ingest, documents, answers, batch, chat, conversations, experiments, feedback, stats, health, page):
        app.include_router(part.router)
    return app


def lines(settings: Settings) -> dict[Work, Line]:
    """Return how many of each class of work may run and wait, and how long."""
    places, limits = settings.max_concurrent_requests, settings.limits
    return {
        "interactive": Line(places, limits.interactive_queue, settings.queue_wait_s),
        "background": Line(
            max(1, int(places * limits.background_share)), limits.background_queue, limits.background_wait_s
        ),
    }
