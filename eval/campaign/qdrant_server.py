"""A small HTTP server that speaks as much of Qdrant's API as the client of `indexes` uses, over its local mode.

It stands in for a server where none can be had: the requests, the connections and their faults are real, the engine
behind them is the simulation that `qdrant-client` ships. Source: Qdrant's REST API reference, v1.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import TypeAdapter

from eval.errors import BenchError

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient

HOST = "127.0.0.1"
START_S = 10.0
VERSION = {"title": "qdrant - vector search engine", "version": "1.20.0"}
# What the simulation leaves out of the description of a collection and a server always says.
LEFT_OUT: Mapping[str, Any] = {
    "status": "green",
    "optimizer_status": "ok",
    "segments_count": 1,
    "payload_schema": {},
}
CONFIG: Mapping[str, Any] = {
    "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000},
    "optimizer_config": {
        "deleted_threshold": 0.2,
        "vacuum_min_vector_number": 1_000,
        "default_segment_number": 1,
        "flush_interval_sec": 5,
    },
}


def create_app(client: AsyncQdrantClient) -> FastAPI:
    """Return the server over a client in local mode."""
    app = FastAPI(openapi_url=None)
    add_collections(app, client)
    add_writes(app, client)
    add_reads(app, client)
    return app


def add_collections(app: FastAPI, client: AsyncQdrantClient) -> None:
    """Add what is asked of collections as a whole."""
    from qdrant_client import models

    schemas: dict[str, dict[str, Any]] = {}

    @app.get("/")
    async def about() -> JSONResponse:
        return JSONResponse(VERSION)

    @app.get("/collections")
    async def collections() -> JSONResponse:
        return said((await client.get_collections()).model_dump(mode="json"))

    @app.get("/collections/{name}/exists")
    async def exists(name: str) -> JSONResponse:
        return said({"exists": await client.collection_exists(name)})

    @app.put("/collections/{name}")
    async def create(name: str, request: Request) -> JSONResponse:
        if await client.collection_exists(name):
            return JSONResponse({"status": {"error": f"Collection `{name}` already exists!"}, "time": 0.0}, 409)
        wanted = models.CreateCollection.model_validate(await request.json())
        await client.create_collection(
            name,
            vectors_config=wanted.vectors,
            sparse_vectors_config=wanted.sparse_vectors,
            metadata=wanted.metadata,
        )
        return said(result=True)

    @app.get("/collections/{name}")
    async def describe(name: str) -> JSONResponse:
        found = (await client.get_collection(name)).model_dump(mode="json", exclude_none=True)
        schema = {field: {"data_type": kind, "points": 0} for field, kind in schemas.get(name, {}).items()}
        config = {**CONFIG, **{key: value for key, value in found["config"].items() if key in ("params", "metadata")}}
        return said({**LEFT_OUT, **found, "config": config, "payload_schema": schema})

    @app.put("/collections/{name}/index")
    async def index(name: str, request: Request) -> JSONResponse:
        wanted = await request.json()
        schemas.setdefault(name, {})[wanted["field_name"]] = wanted["field_schema"]
        return done()


def add_writes(app: FastAPI, client: AsyncQdrantClient) -> None:
    """Add what changes points."""
    from qdrant_client import models

    selectors: TypeAdapter[Any] = TypeAdapter(models.PointsSelector)

    @app.put("/collections/{name}/points")
    async def upsert(name: str, request: Request) -> JSONResponse:
        await client.upsert(name, models.PointsList.model_validate(await request.json()).points)
        return done()

    @app.post("/collections/{name}/points/payload")
    async def set_payload(name: str, request: Request) -> JSONResponse:
        wanted = models.SetPayload.model_validate(await request.json())
        # The client takes no list of its own ids by their type, as lists are invariant.
        points: Any = wanted.points or wanted.filter
        await client.set_payload(name, wanted.payload, points=points)
        return done()

    @app.post("/collections/{name}/points/delete")
    async def delete(name: str, request: Request) -> JSONResponse:
        await client.delete(name, selectors.validate_python(await request.json()))
        return done()


def add_reads(app: FastAPI, client: AsyncQdrantClient) -> None:
    """Add what reads points."""
    from qdrant_client import models

    @app.post("/collections/{name}/points")
    async def retrieve(name: str, request: Request) -> JSONResponse:
        wanted = models.PointRequest.model_validate(await request.json())
        payload, vectors = bool(wanted.with_payload), bool(wanted.with_vector)
        found = await client.retrieve(name, wanted.ids, with_payload=payload, with_vectors=vectors)
        return said([record.model_dump(mode="json", exclude_none=True) for record in found])

    @app.post("/collections/{name}/points/scroll")
    async def scroll(name: str, request: Request) -> JSONResponse:
        wanted = models.ScrollRequest.model_validate(await request.json())
        found, offset = await client.scroll(
            name,
            scroll_filter=wanted.filter,
            limit=wanted.limit or 10,
            offset=wanted.offset,
            with_payload=wanted.with_payload if wanted.with_payload is not None else True,
            with_vectors=wanted.with_vector or False,
        )
        points = [record.model_dump(mode="json", exclude_none=True) for record in found]
        return said({"points": points, "next_page_offset": offset})

    @app.post("/collections/{name}/points/count")
    async def count(name: str, request: Request) -> JSONResponse:
        wanted = models.CountRequest.model_validate(await request.json())
        return said((await client.count(name, count_filter=wanted.filter, exact=True)).model_dump(mode="json"))

    @app.post("/collections/{name}/points/query")
    async def query(name: str, request: Request) -> JSONResponse:
        wanted = models.QueryRequest.model_validate(await request.json())
        found = await client.query_points(
            name,
            wanted.query,
            using=wanted.using,
            query_filter=wanted.filter,
            limit=wanted.limit or 10,
            with_payload=wanted.with_payload or False,
        )
        return said(found.model_dump(mode="json", exclude_none=True))


def said(result: object) -> JSONResponse:
    """Return Qdrant's envelope of a success."""
    return JSONResponse({"result": result, "status": "ok", "time": 0.001})


def done() -> JSONResponse:
    """Return Qdrant's envelope of a write that is in its log."""
    return said({"operation_id": 1, "status": "completed"})


@contextmanager
def qdrant_served() -> Iterator[int]:
    """Serve an empty Qdrant on a free port of 127.0.0.1 for the block, in a thread of its own; yields the port."""
    from qdrant_client import AsyncQdrantClient

    app = create_app(AsyncQdrantClient(location=":memory:"))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=0))
    with closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)) as listening:
        listening.bind((HOST, 0))
        listening.listen()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="qdrant")
        thread.start()
        try:
            until = time.monotonic() + START_S
            while not server.started and thread.is_alive() and time.monotonic() < until:
                time.sleep(0.01)
            if not server.started:
                raise BenchError("the Qdrant stand-in did not start")
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()
