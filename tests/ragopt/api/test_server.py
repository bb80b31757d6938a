"""The server: it drains before it leaves, and says that it does."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from contextlib import ExitStack, nullcontext

import httpx
import pytest
import uvloop

from ragopt.api.app import create_app
from ragopt.api.running import Lifetime
from ragopt.api.server import LISTENERS, DrainingServer, listening_socket, url_of
from ragopt.config import Settings
from tests.ragopt.api.fakes import FakeService, Served, eventually, served

QUESTION = {"question": "Is the sky blue?"}


def begin(http: Served, path: str) -> tuple[threading.Thread, list[httpx.Response]]:
    """Return a thread that waits for the answer to a question, and where the answer will be."""
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(http.post(path, QUESTION)))
    thread.start()
    eventually(lambda: bool(http.service.pipeline.asked))
    return thread, answers


def test_drain_answers_open_requests_first() -> None:
    """After the signal readiness is off and the socket stays open until the last request is answered."""
    service = FakeService()
    service.pipeline.gate = threading.Event()
    with served(service) as http:
        thread, answers = begin(http, "/context")
        http.server.handle_exit(15, None)
        eventually(lambda: http.lifetime.draining)
        ready = http.get("/readyz", key=None)
        assert (ready.status_code, ready.json()["status"]) == (503, "draining")
        service.pipeline.gate.set()
        thread.join(10)
        assert answers[0].is_success
    with pytest.raises(httpx.ConnectError):
        http.get("/healthz")


def test_new_work_is_refused_while_draining() -> None:
    """A question that arrives during the drain is refused with a 503, and not started."""
    service = FakeService()
    service.pipeline.gate = threading.Event()
    with served(service) as http:
        thread, _ = begin(http, "/context")
        http.server.handle_exit(15, None)
        eventually(lambda: http.lifetime.draining)
        refused = http.post("/answer", QUESTION)
        assert (refused.status_code, refused.json()["code"]) == (503, "draining")
        service.pipeline.gate.set()
        thread.join(10)
    assert len(service.pipeline.asked) == 1


def test_what_does_not_end_in_time_is_told_so() -> None:
    """When the drain's time is over, an open stream ends with the error event `draining`, other requests with a 503."""
    service = FakeService(settings=Settings(drain_s=0.2))
    service.pipeline.gate = threading.Event()
    with served(service) as http, http.client() as client:
        with client.stream("POST", "/answer", json={**QUESTION, "stream": True}) as stream:
            lines = stream.iter_lines()
            while "delta" not in next(lines):
                continue
            thread, answers = begin(http, "/context")
            http.server.handle_exit(15, None)
            rest = list(lines)
        thread.join(10)
    problem = json.loads(rest[rest.index("event: error") + 1].removeprefix("data: "))
    assert (problem["code"], problem["status"]) == ("draining", 503)
    assert not any(line.startswith("event: ") for line in rest[rest.index("event: error") + 1 :])
    assert [(item.status_code, item.json()["code"]) for item in answers] == [(503, "draining")]
    assert service.pipeline.closed.is_set()


def test_callers_who_come_at_once_are_let_in_together() -> None:
    """A turn of the loop lets in as many as there are listeners: a busy loop has few turns a second."""
    callers = 3 * LISTENERS
    app = create_app(lambda: nullcontext(FakeService()), Settings(), lifetime=Lifetime())  # type: ignore[arg-type,return-value]
    server = DrainingServer(app, lifetime=Lifetime(), drain_s=0)

    async def let_in(bound: socket.socket, connections: ExitStack) -> int:
        serving = asyncio.create_task(server.serve([bound]))
        while not server.started:
            await asyncio.sleep(0.01)
        for _ in range(callers):
            connections.enter_context(socket.create_connection(bound.getsockname()))
        turns = 0
        while len(server.server_state.connections) < callers:
            turns += 1
            await asyncio.sleep(0)
        server.should_exit = True
        await serving
        return turns

    with listening_socket("127.0.0.1", 0) as bound, ExitStack() as connections:
        turns = uvloop.run(let_in(bound, connections))
    assert turns <= 6


def test_port_in_use_is_an_error() -> None:
    """A second listener on the same port is refused at once, before anything else is started."""
    with listening_socket("127.0.0.1", 0) as first, pytest.raises(OSError, match="in use"):
        listening_socket("127.0.0.1", first.getsockname()[1])


def has_ipv6() -> bool:
    """Return whether this machine can listen on the IPv6 loopback: a build of Python that could is not enough."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


HOSTS = [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), *([("::1", "[::1]")] if has_ipv6() else [])]


@pytest.mark.parametrize(("host", "shown"), HOSTS)
def test_url_reaches_the_socket(host: str, shown: str) -> None:
    """The address that is printed is one that this machine can open."""
    with listening_socket(host, 0) as bound:
        assert url_of(bound) == f"http://{shown}:{bound.getsockname()[1]}"
