"""A served cross-encoder over a socket: what is sent, what comes back, and every way in which that is wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence

import httpx
import pytest
from pydantic import SecretStr
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from indexes.errors import ModelUnavailable
from ragopt.domain import QueryKnobs
from ragopt.errors import ProviderError, ProviderProtocolError, ProviderRejected, ProviderUnavailable
from ragopt.stages.rerank.judging import CrossEncoderReranker
from ragopt.stages.rerank.served import ServedCrossEncoder, translated
from ragopt.telemetry import Trace
from tests.ragopt.stages.rerank.hits import retrieved
from tests.rerank_endpoint import Endpoint, served_endpoint

TEXTS = ["cats sleep", "the late fee is eight", "a late dog"]


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    """One endpoint for the module."""
    with served_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(server: Endpoint) -> Endpoint:
    """Return the endpoint as it was when it started."""
    server.answer, server.hangs = None, False
    server.bodies.clear()
    server.keys.clear()
    return server


def judged(url: str, texts: Sequence[str] = TEXTS, *, key: str | None = None) -> Sequence[float]:
    """Return the scores of one call."""

    async def run() -> Sequence[float]:
        judge = ServedCrossEncoder(url, SecretStr(key) if key else None)
        try:
            return await judge.scores("late fee", texts)
        finally:
            await judge.close()

    return asyncio.run(run())


def test_scores_come_in_the_order_of_the_texts(endpoint: Endpoint) -> None:
    """The endpoint answers best first; the body is text-embeddings-inference's, and so is the key's header."""
    assert judged(endpoint.url, key="secret") == [0.0, 2.0, 1.0]
    assert endpoint.bodies == [{"query": "late fee", "texts": TEXTS, "truncate": True}]
    assert endpoint.keys == ["Bearer secret"]


def test_the_address_may_end_in_rerank(endpoint: Endpoint) -> None:
    """With or without the path, and without a key there is no header."""
    assert judged(f"{endpoint.url}/rerank") == judged(f"{endpoint.url}/") == [0.0, 2.0, 1.0]
    assert endpoint.keys == [None, None]


def ranks(*pairs: tuple[object, object]) -> Callable[[], Response]:
    """Return an answer of these indexes and scores; NaN is written as Python writes it."""
    body = json.dumps([{"index": index, "score": score} for index, score in pairs])
    return lambda: Response(body, media_type="application/json")


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (lambda: JSONResponse({"error": "overloaded"}, 429), ProviderUnavailable, "HTTP 429"),
        (lambda: JSONResponse({"error": "broken"}, 500), ProviderUnavailable, "HTTP 500"),
        (lambda: HTMLResponse("<h1>Bad gateway</h1>", 502), ProviderUnavailable, "HTTP 502"),
        (lambda: JSONResponse({"error": "key secret is wrong"}, 401), ProviderRejected, "HTTP 401"),
        (lambda: JSONResponse({"error": "batch size"}, 422), ProviderRejected, "HTTP 422"),
        (lambda: RedirectResponse("/login"), ProviderProtocolError, "HTTP 307"),
        (lambda: HTMLResponse("<h1>Welcome</h1>"), ProviderProtocolError, "no answer of a rerank endpoint"),
        (lambda: JSONResponse({"results": []}), ProviderProtocolError, "valid array"),
        (ranks((0, 1.0), (1, 1.0)), ProviderProtocolError, "2 scores for 3 texts"),
        (ranks((0, 1.0), (1, 1.0), (1, 1.0)), ProviderProtocolError, "3 scores for 3 texts"),
        (ranks((0, 1.0), (1, 1.0), (3, 1.0)), ProviderProtocolError, "3 scores for 3 texts"),
        (ranks((0, 1.0), (1, float("nan")), (2, 1.0)), ProviderProtocolError, "finite number"),
        (ranks((0, 1.0), (1, "high"), (2, 1.0)), ProviderProtocolError, "valid number"),
    ],
)
def test_every_wrong_answer_is_an_error_of_ours(
    endpoint: Endpoint, answer: Callable[[], Response], kind: type[ProviderError], said: str
) -> None:
    """Status, HTML, another shape, another count, an index twice, NaN: each names the address and what is wrong."""
    endpoint.answer = answer
    with pytest.raises(kind, match=said) as raised:
        judged(endpoint.url, key="secret")
    assert endpoint.url in raised.value.detail
    assert "secret" not in raised.value.detail


def test_an_endpoint_that_is_not_there_is_unavailable() -> None:
    """A refused connection may work later."""
    with pytest.raises(ProviderUnavailable, match="ConnectError"):
        judged("http://127.0.0.1:9")


def test_every_error_of_the_library_has_a_class_of_ours() -> None:
    """What never reached the endpoint is unavailable, the rest is not the protocol."""
    kinds = {cls for cls in vars(httpx).values() if isinstance(cls, type) and issubclass(cls, httpx.HTTPError)}
    for kind in kinds - {httpx.HTTPStatusError}:
        error = kind("said")
        unavailable = issubclass(kind, httpx.TransportError)
        assert isinstance(translated(error, "x"), ProviderUnavailable if unavailable else ProviderProtocolError)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://", "a host is missing"),
        ("http://ann:hunter2@host:1", "RAGOPT_RERANK_API_KEY"),
        ("http://host:port", "RAGOPT_RERANK_MODEL"),
    ],
)
def test_an_address_that_cannot_be_is_a_configuration_error(url: str, said: str) -> None:
    """Before anything is sent, and without showing a password."""
    with pytest.raises(ModelUnavailable, match=said) as raised:
        ServedCrossEncoder(url)
    assert "hunter2" not in raised.value.detail


@pytest.mark.parametrize("fault", ["hangs", "500", "nan", "down"])
def test_a_question_survives_its_endpoint(endpoint: Endpoint, fault: str) -> None:
    """Slow beyond the deadline, broken, wrong or gone: the order is late interaction's, and the trace says why."""
    endpoint.hangs = fault == "hangs"
    endpoint.answer = {
        "500": lambda: JSONResponse({}, 500),
        "nan": ranks((0, float("nan")), (1, 1.0), (2, 1.0)),
    }.get(fault)
    url = "http://127.0.0.1:9" if fault == "down" else endpoint.url
    found = retrieved("late fee", TEXTS)

    async def run() -> tuple[list[str], Trace]:
        judge, trace = ServedCrossEncoder(url), Trace("r")
        reranker = CrossEncoderReranker(judge, count_tokens=len)
        knobs = QueryKnobs(rerank_deadline_ms=100 if fault == "hangs" else 10_000)
        ranked = await reranker("late fee", found, knobs=knobs, trace=trace)
        await judge.close()
        return [item.hit.chunk.text for item in ranked], trace

    texts, trace = asyncio.run(run())
    assert texts[0] == "the late fee is eight"
    assert sorted(texts) == sorted(TEXTS)
    assert trace.facts["rerank_judged"] == 0
    assert set(trace.fallbacks) == {"rerank"}
