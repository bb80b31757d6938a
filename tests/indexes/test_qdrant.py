"""What only the server engine owes: names, errors of the network, and what it asks a server for.

A small server of ours answers from a script, over a real socket; a real Qdrant is `tests/contracts`.
"""

from __future__ import annotations

import asyncio
import json
import string
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from indexes.errors import InvalidText, StoreUnavailable
from indexes.qdrant import QdrantEngine, collection_name
from indexes.records import SparseVector
from indexes.store import INTEGER_FIELDS, KEYWORD_FIELDS, Payload, Point, Store, Where

Answer: TypeAlias = tuple[int, object]
DIM = 4
ALLOWED = set(string.ascii_letters + string.digits + "_-.~=")
INFO = {
    "status": "green",
    "optimizer_status": "ok",
    "segments_count": 1,
    "config": {
        "params": {},
        "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10},
        "optimizer_config": {
            "deleted_threshold": 0.2,
            "vacuum_min_vector_number": 10,
            "default_segment_number": 1,
            "flush_interval_sec": 1,
        },
    },
    "payload_schema": {},
}


def ok(result: object) -> Answer:
    """Return Qdrant's envelope of a success."""
    return 200, {"result": result, "status": "ok", "time": 0.001}


def failed(status: int, message: str) -> Answer:
    """Return Qdrant's envelope of an error."""
    return status, {"status": {"error": message}, "time": 0.001}


@dataclass
class ScriptedServer:
    """Answers each `METHOD /path` with its list of answers, the last of them for ever; remembers the requests."""

    script: dict[str, list[Answer]]
    requests: list[tuple[str, dict[str, str], Payload]] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close."""
        method, target, _ = (await reader.readline()).decode().split()
        headers: dict[str, str] = {}
        while line := (await reader.readline()).decode().strip():
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        call = f"{method} {unquote(urlsplit(target).path)}"
        self.requests.append((call, headers, json.loads(body or b"{}")))
        self.queries.append(urlsplit(target).query)
        status, answer = self.answer(call)
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        head = f"HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n"
        writer.write(f"{head}connection: close\r\n\r\n".encode() + content)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    def answer(self, call: str) -> Answer:
        """Return the next answer of the script."""
        answers = self.script.get(call, [failed(404, f"no answer for {call}")])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def calls(self, start: str) -> list[Payload]:
        """Return the bodies of the requests that start so."""
        return [body for call, _, body in self.requests if call.startswith(start)]


def collection(name: str = "a") -> str:
    """Return the path of the collection of a store."""
    return f"/collections/{collection_name(name)}"


def existing() -> dict[str, list[Answer]]:
    """Return the script of a server that has the collection `a` with all of its indexes."""
    schema = {name: {"data_type": "keyword", "points": 0} for name in (*KEYWORD_FIELDS, *INTEGER_FIELDS)}
    return {
        f"GET {collection()}/exists": [ok({"exists": True})],
        f"GET {collection()}": [ok({**INFO, "payload_schema": schema})],
    }


def serve(
    script: dict[str, list[Answer]],
    scenario: Callable[[QdrantEngine], Awaitable[None]],
    *,
    api_key: SecretStr | None = None,
) -> ScriptedServer:
    """Run a scenario against a server with that script, and return the server."""
    scripted = ScriptedServer(script)

    async def against() -> None:
        server = await asyncio.start_server(scripted, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        engine = QdrantEngine(f"http://127.0.0.1:{port}", api_key, timeout_s=1)
        try:
            await scenario(engine)
        finally:
            await engine.close()
            server.close()
            await server.wait_closed()

    asyncio.run(against())
    return scripted


async def every_call(store: Store) -> list[BaseException | None]:
    """Return what each method of a store raised."""

    async def scrolled() -> list[Point]:
        return [point async for point in store.scroll(Where())]

    results = await asyncio.gather(
        store.upsert([Point("00000000-0000-0000-0000-000000000001", {})]),
        store.search_dense(np.ones(DIM, np.float32), Where(), limit=1),
        store.search_sparse(SparseVector((1,), (1.0,)), Where(), limit=1),
        store.fetch(["00000000-0000-0000-0000-000000000001"]),
        scrolled(),
        store.set_payload(Where(), {"a": 1}),
        store.delete(Where()),
        store.count(Where()),
        return_exceptions=True,
    )
    return [result if isinstance(result, BaseException) else None for result in results]


@given(st.text())
def test_collection_names_are_allowed(name: str) -> None:
    """Any name becomes at most 255 characters that Qdrant allows, with our prefix."""
    encoded = collection_name(name)
    assert encoded.startswith("ragopt_")
    assert len(encoded) <= 255
    assert set(encoded) <= ALLOWED


@given(st.lists(st.text(), unique=True, min_size=2))
def test_collection_names_differ(names: list[str]) -> None:
    """Different names become different collections, long ones included."""
    assert len({collection_name(name + tail) for name in names for tail in ("", "x" * 300)}) == 2 * len(names)


def test_name_that_is_not_unicode_is_refused() -> None:
    """A name with a lone surrogate is an `InvalidText`."""
    with pytest.raises(InvalidText):
        collection_name("a\ud800")


def test_new_collection_is_made_whole() -> None:
    """A new store has the two vectors, IDF, and every payload index before it is handed out; the key is sent."""
    script = {
        f"GET {collection()}/exists": [ok({"exists": False})],
        f"PUT {collection()}": [ok(result=True)],
        f"GET {collection()}": [ok(INFO)],
        f"PUT {collection()}/index": [ok({"operation_id": 1, "status": "completed"})],
    }

    async def scenario(engine: QdrantEngine) -> None:
        await engine.open("a", dim=DIM)

    with pytest.warns(UserWarning, match="insecure connection"):
        server = serve(script, scenario, api_key=SecretStr("secret"))
    (created, *indexes) = server.calls(f"PUT {collection()}")
    assert created["vectors"] == {"dense": {"size": DIM, "distance": "Cosine", "datatype": "float16"}}
    assert created["sparse_vectors"] == {"bm25": {"modifier": "idf"}}
    expected = {**dict.fromkeys(KEYWORD_FIELDS, "keyword"), **dict.fromkeys(INTEGER_FIELDS, "integer")}
    assert {body["field_name"]: body["field_schema"] for body in indexes} == expected
    assert {headers["api-key"] for _, headers, _ in server.requests} == {"secret"}


def test_missing_indexes_are_made() -> None:
    """Where a worker died between the collection and its last index, the next open makes the missing ones."""
    schema = {name: {"data_type": "keyword", "points": 0} for name in KEYWORD_FIELDS}
    script = existing()
    script[f"GET {collection()}"] = [ok({**INFO, "payload_schema": schema})]
    script[f"PUT {collection()}/index"] = [ok({"operation_id": 1, "status": "completed"})]

    async def scenario(engine: QdrantEngine) -> None:
        await engine.open("a", dim=DIM)

    server = serve(script, scenario)
    assert [body["field_name"] for body in server.calls("PUT")] == list(INTEGER_FIELDS)


def test_collection_that_another_worker_makes_is_used() -> None:
    """If the collection appears between the question and the creation, that is a success; else it is an error."""
    script = existing()
    script[f"GET {collection()}/exists"] = [ok({"exists": False}), ok({"exists": True})]
    script[f"PUT {collection()}"] = [failed(409, "Collection already exists")]

    async def works(engine: QdrantEngine) -> None:
        await engine.open("a", dim=DIM)

    async def fails(engine: QdrantEngine) -> None:
        with pytest.raises(StoreUnavailable, match="no more collections"):
            await engine.open("a", dim=DIM)

    serve(script, works)
    script[f"GET {collection()}/exists"] = [ok({"exists": False})]
    script[f"PUT {collection()}"] = [failed(400, "no more collections")]
    serve(script, fails)


def test_names_are_ours() -> None:
    """Only collections with our prefix are listed, decoded; the name of a long one is in its metadata."""
    long = "long" * 100
    listed = ["other", collection_name("b/ü"), collection_name(long)]
    script: dict[str, list[Answer]] = {
        "GET /collections": [ok({"collections": [{"name": name} for name in listed]})],
        f"GET {collection(long)}": [ok({**INFO, "config": {**INFO["config"], "metadata": {"ragopt_name": long}}})],  # type: ignore[dict-item]
    }

    async def scenario(engine: QdrantEngine) -> None:
        assert await engine.names() == ["b/ü", long]

    serve(script, scenario)


@pytest.mark.parametrize(
    "answer",
    [
        failed(500, "internal"),
        failed(401, "wrong key"),
        failed(429, "slow down"),
        (200, b"<html>a proxy</html>"),
        (200, {"result": "?"}),
    ],
    ids=["500", "401", "429", "not_json", "other_json"],
)
def test_bad_answers_are_errors_of_the_store(answer: Answer) -> None:
    """Whatever a server answers instead of a result, every method raises `StoreUnavailable` with its address."""
    script = existing()
    base = f"{collection()}/points"
    calls = ("PUT ", "POST /query", "POST ", "POST /scroll", "POST /payload", "POST /delete", "POST /count")
    for call in calls:
        method, _, path = call.partition(" ")
        script[f"{method} {base}{path}"] = [answer]

    async def scenario(engine: QdrantEngine) -> None:
        raised = await every_call(await engine.open("a", dim=DIM))
        assert [type(error) for error in raised] == [StoreUnavailable] * 8
        assert all("http://127.0.0.1:" in str(error) for error in raised)

    serve(script, scenario)


def test_server_that_is_down() -> None:
    """A refused connection is `StoreUnavailable`, for the engine and for a store that was open before."""

    async def scenario() -> None:
        scripted = ScriptedServer(existing())
        server = await asyncio.start_server(scripted, "127.0.0.1", 0)
        engine = QdrantEngine(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        store = await engine.open("a", dim=DIM)
        server.close()
        await server.wait_closed()
        assert [type(error) for error in await every_call(store)] == [StoreUnavailable] * 8
        for call in (engine.ping(), engine.names(), engine.open("a", dim=DIM)):
            with pytest.raises(StoreUnavailable):
                await call
        await engine.close()

    asyncio.run(scenario())


def test_server_that_does_not_answer() -> None:
    """A server that takes the request and says nothing is `StoreUnavailable` after the time limit."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # returns when the client hangs up
        writer.close()
        hung_up.set()

    async def scenario() -> None:
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        engine = QdrantEngine(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", timeout_s=1)
        with pytest.raises(StoreUnavailable):
            await engine.ping()
        await hung_up.wait()
        await engine.close()
        server.close()
        await server.wait_closed()

    hung_up = asyncio.Event()
    asyncio.run(scenario())


def test_writes_wait_for_the_server() -> None:
    """Every write asks the server to answer only when it is done."""
    base = f"{collection()}/points"
    done = [ok({"operation_id": 1, "status": "completed"})]
    script = {**existing(), f"PUT {base}": done, f"POST {base}/payload": done, f"POST {base}/delete": done}

    async def scenario(engine: QdrantEngine) -> None:
        store = await engine.open("a", dim=DIM)
        await store.upsert([Point("00000000-0000-0000-0000-000000000001", {})])
        await store.set_payload(Where(), {"a": 1})
        await store.delete(Where())

    server = serve(script, scenario)
    assert server.queries[-3:] == ["wait=true"] * 3
