"""The HTTP application: middleware from the outside in, routes, and what lives as long as it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, TypedDict

from fastapi import FastAPI
from starlette.middleware import Middleware

from ragopt.api import (
    answers,
    batch,
    cache,
    chat,
    conversations,
    documents,
    experiments,
    feedback,
    health,
    ingest,
    kept,
    keys,
    metrics,
    stats,
)
from ragopt.api.admission import Admission, Line, Work
from ragopt.api.jobs import JobRunner
from ragopt.api.lag import LoopLag
from ragopt.api.limits import BodyLimit
from ragopt.api.metrics import Moment
from ragopt.api.page import route as page
from ragopt.api.problems import HANDLED, answer_with_problem
from ragopt.api.request_log import RequestLog
from ragopt.api.running import Lifetime, Running
from ragopt.batches.runner import BatchRunner
from ragopt.config import Settings, collector_address
from ragopt.metrics import Metrics
from ragopt.tracing import opened_tracing

if TYPE_CHECKING:
    from ragopt.wiring import Service


VERSION = "0.1.0"
PARTS = (
    ingest, documents, answers, batch, chat, conversations, experiments, feedback, cache, keys, kept, stats, health,
    metrics, page,
)  # fmt: skip


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
    shared_lifetime, counters = lifetime or Lifetime(), Metrics()
    tracing = opened_tracing(collector_address(), version=VERSION)
    observers = [counters.observed, *([tracing.exported] if tracing else [])]

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[State]:
        async with started(open_service, settings, lifetime=shared_lifetime, counters=counters) as running:
            yield {"running": running}
        if tracing is not None:
            await asyncio.to_thread(tracing.close)

    app = FastAPI(
        title="ragopt",
        summary="Documents in; packed context and checked, cited answers out.",
        version=VERSION,
        lifespan=lifespan,
        # Both pages load their scripts from a content network, which a closed network does not reach.
        docs_url=None,
        redoc_url=None,
        # Off: an id may end with a slash.
        redirect_slashes=False,
        exception_handlers=dict.fromkeys(HANDLED, answer_with_problem),
        middleware=[
            Middleware(RequestLog, lifetime=shared_lifetime, observers=observers),
            Middleware(
                BodyLimit,
                limits_bytes={"/ingest": settings.max_ingest_bytes, "/batch": settings.batch.max_bytes},
                default_bytes=settings.max_body_bytes,
            ),
        ],
    )
    for part in PARTS:
        app.include_router(part.router)
    return app


@asynccontextmanager
async def started(
    open_service: Callable[[], AbstractAsyncContextManager[Service]],
    settings: Settings,
    *,
    lifetime: Lifetime,
    counters: Metrics,
) -> AsyncIterator[Running]:
    """Yield what the requests share, with everything started that works beside them."""
    lag = LoopLag()
    async with (
        open_service() as service,
        JobRunner(service.jobs, service.library, audit=service.audit, observe=counters.ingested) as jobs,
        BatchRunner(service.batches) as batches,
        lag.probing(),
        aside(service.warm()),
    ):
        questions, ingests = (Admission(settings.max_concurrent_requests, lines(settings)) for _ in range(2))
        running = Running(
            service,
            questions,
            ingests,
            jobs=jobs,
            batches=batches,
            lifetime=lifetime,
            metrics=counters,
            lag=lag,
        )
        counters.add(Moment(running))
        yield running


@asynccontextmanager
async def aside(work: Awaitable[None]) -> AsyncIterator[None]:
    """Do the work beside the block; what is not done at its end is cancelled."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def lines(settings: Settings) -> dict[Work, Line]:
    """Return how many of each class of work may run and wait, and how long."""
    places, limits = settings.max_concurrent_requests, settings.limits
    return {
        "interactive": Line(places, limits.interactive_queue, settings.queue_wait_s),
        "background": Line(
            max(1, int(places * limits.background_share)), limits.background_queue, limits.background_wait_s
        ),
    }
