"""An embedding endpoint over a socket: the vectors of the model that ships come back as they are made here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import numpy as np
import pytest
from pydantic import SecretStr
from starlette.responses import JSONResponse, PlainTextResponse, Response

from indexes.embedding import Embedder
from indexes.errors import EmbeddingUnavailable, ModelUnavailable
from indexes.served_embedding import BATCH_TEXTS, NUMBERS_WITHIN, PROBE, SHIPPED_NUMBERS, ServedEmbedder, code_points
from ragopt.config import cache_dir
from tests.embedding_endpoint import EmbeddingServer, embedding_endpoint

T = TypeVar("T")

TEXTS = [
    "The fee for late payment is eight dollars.",
    "",
    "word " * 2_000,
    "مرحبا بالعالم and \u200bzero width",
    "Überraschung: 🎈 late fees!",
]
QUESTION = "how much is the late fee?"


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddingServer]:
    """One endpoint for the module."""
    with embedding_endpoint() as made:
        yield made


@pytest.fixture
def endpoint(server: EmbeddingServer) -> EmbeddingServer:
    """Return the endpoint as it was when it started."""
    server.model_id, server.pooling, server.prompt = "sentence-transformers/all-MiniLM-L6-v2", "mean", ""
    server.turned, server.answer = False, None
    server.seen.clear()
    return server


@pytest.fixture(scope="module")
def here() -> Iterator[Embedder]:
    """The same model in this process."""
    loaded = Embedder.load("", cache_folder=cache_dir())
    yield loaded
    loaded.close()


def through(url: str, use: Callable[[ServedEmbedder], Awaitable[T]], *, key: str | None = None) -> T:
    """Return what `use` does with the embedder of an endpoint."""

    async def run() -> T:
        embedder = await ServedEmbedder.load(url, SecretStr(key) if key else None)
        try:
            return await use(embedder)
        finally:
            await embedder.close()

    return asyncio.run(run())


def test_a_served_model_gives_what_it_gives_here(endpoint: EmbeddingServer, here: Embedder) -> None:
    """Vectors, bits and tag are the same, so either reads what the other embedded; each call carries the key."""

    async def both(served: ServedEmbedder) -> None:
        assert (served.tag, served.dim) == (here.tag, here.dim)
        for there, mine in zip(await served.encode(TEXTS), await here.encode(TEXTS), strict=True):
            assert float(there.dense @ mine.dense) > 0.999
            assert there.tokens.shape == mine.tokens.shape
            assert not there.tokens.size or np.mean(np.unpackbits(there.tokens) == np.unpackbits(mine.tokens)) > 0.98
        there_question, question = await served.encode_question(QUESTION), await here.encode_question(QUESTION)
        assert float(there_question.dense @ question.dense) > 0.999
        assert np.allclose(there_question.weights, question.weights)
        assert float(np.sum(there_question.tokens * question.tokens, axis=1).min()) > 0.99

    through(endpoint.url, both, key="secret")
    assert {key for _, key, _ in endpoint.seen} == {"Bearer secret"}
    assert max(count for _, _, count in endpoint.seen) == BATCH_TEXTS


def test_tokens_stand_where_they_stand_here(endpoint: EmbeddingServer, here: Embedder) -> None:
    """The server counts bytes and cuts nothing off; the places are code points, as many as there are vectors."""
    there = through(endpoint.url, lambda served: served.token_starts(TEXTS))
    mine = asyncio.run(here.token_starts(TEXTS))
    assert [places.tolist() for places in there] == [places.tolist() for places in mine]
    assert code_points("aÜ🎈b", [0, 1, 3, 7, 99]).tolist() == [0, 1, 2, 3, 4]


def test_nothing_to_encode_asks_nothing(endpoint: EmbeddingServer) -> None:
    """Progress counts each batch, and an empty list is no request."""
    sizes: list[int] = []

    async def encode(served: ServedEmbedder) -> int:
        await served.encode(TEXTS, on_batch=sizes.append)
        asked = len(endpoint.seen)
        assert (await served.encode([]), await served.token_starts([])) == ([], [])
        return len(endpoint.seen) - asked

    assert through(endpoint.url, encode) == 0
    assert sum(sizes) == len(TEXTS)


def test_the_shipped_model_is_known_by_its_vectors(endpoint: EmbeddingServer, here: Embedder) -> None:
    """Its numbers are the ones written down; another model of the same size and name is not taken for it."""
    numbers = asyncio.run(here.encode_question(PROBE)).dense[: len(SHIPPED_NUMBERS)]
    assert float(np.abs(numbers - SHIPPED_NUMBERS).max()) < NUMBERS_WITHIN / 4
    endpoint.turned = True
    tag = through(endpoint.url, tag_of)
    assert tag == "served:sentence-transformers/all-MiniLM-L6-v2@unknown/mean/random-384"


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_how_a_server_pools_is_found(endpoint: EmbeddingServer, pooling: str) -> None:
    """The dense vector is the server's own, whichever of its token vectors make it."""
    endpoint.pooling, endpoint.turned = pooling, True  # type: ignore[assignment]
    assert through(endpoint.url, tag_of).split("/")[-2] == pooling


async def tag_of(served: ServedEmbedder) -> str:
    """Return the name of the vectors."""
    return served.tag


@pytest.mark.parametrize(
    ("path", "answer", "said"),
    [
        ("/embed", "[[0.5, 0.5]]", "pool by"),
        ("/embed", "[[0.1, null]]", "not the vectors"),
        ("/embed_all", "[[[1.0, 2.0], [1.0]]]", "not lists of numbers"),
        ("/embed_all", "[[[1e999, 0.5]]]", "not the vectors"),
        ("/embed_all", '{"error": "no"}', "not lists of numbers"),
        ("/embed_all", "<html>", "not lists of numbers"),
        ("/embed_all", "[[[0.5, 0.5]]]", "1 vectors for"),
        ("/tokenize", '[[{"id": -1, "special": false}]]', "0.0.id"),
        ("/tokenize", "[[], []]", "2 texts for 1"),
        ("/info", '{"model_id": "m"}', "max_input_length"),
    ],
)
def test_what_no_embedding_endpoint_says_is_refused_at_the_start(
    endpoint: EmbeddingServer, path: str, answer: str, said: str
) -> None:
    """A server that is something else is found out before anything is stored, with the setting to change."""
    endpoint.answer = lambda asked: PlainTextResponse(answer) if asked == path else None
    with pytest.raises(ModelUnavailable, match=said) as raised:
        through(endpoint.url, tag_of)
    assert raised.value.detail.startswith("RAGOPT_EMBEDDING_MODEL: ")


def test_a_prompt_before_each_text_is_refused(endpoint: EmbeddingServer) -> None:
    """The places of tokens would be those of another text."""
    endpoint.prompt = "query: "
    with pytest.raises(ModelUnavailable, match="--default-prompt"):
        through(endpoint.url, tag_of)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://", "a host is missing"),
        ("http://ann:hunter2@host:1", "RAGOPT_EMBEDDING_API_KEY"),
        ("http://127.0.0.1:9", "ConnectError"),
    ],
)
def test_an_address_where_nothing_is_names_the_setting(url: str, said: str) -> None:
    """The service does not start, and a password is not shown."""
    with pytest.raises(ModelUnavailable, match=said) as raised:
        through(url, tag_of)
    assert "RAGOPT_EMBEDDING_MODEL" in raised.value.detail
    assert "hunter2" not in raised.value.detail


def test_a_busy_server_is_asked_again(endpoint: EmbeddingServer) -> None:
    """A question and an ingest outlast one refusal of a server at its limit, and one failed batch."""

    async def use(served: ServedEmbedder) -> None:
        refusals: list[Response] = [JSONResponse({}, 429), JSONResponse({}, 424)]
        endpoint.answer = lambda path: refusals.pop() if refusals and path == "/embed_all" else None
        assert (await served.encode(["late fee"]))[0].dense.shape == (served.dim,)
        assert not refusals
        refusals += [JSONResponse({}, 503)]
        assert (await served.encode_question(QUESTION)).dense.shape == (served.dim,)

    through(endpoint.url, use)


@pytest.mark.parametrize("status", [413, 503])
def test_a_server_that_fails_under_way_is_unavailable(endpoint: EmbeddingServer, status: int) -> None:
    """What would fail again is not sent again, and the error says where and how."""

    async def use(served: ServedEmbedder) -> int:
        endpoint.answer = lambda path: JSONResponse({}, status) if path == "/embed_all" else None
        asked = len(endpoint.seen)
        with pytest.raises(EmbeddingUnavailable, match=f"/embed_all: HTTP {status}"):
            await served.encode_question(QUESTION)
        return sum(path == "/embed_all" for path, _, _ in endpoint.seen[asked:])

    assert through(endpoint.url, use) == (2 if status == 503 else 1)


def test_one_failed_batch_ends_an_ingest(endpoint: EmbeddingServer) -> None:
    """The error comes at once, and the batches that waited are never sent."""

    async def use(served: ServedEmbedder) -> int:
        endpoint.answer = lambda path: JSONResponse({}, 413) if path == "/embed_all" else None
        asked = len(endpoint.seen)
        with pytest.raises(EmbeddingUnavailable):
            await served.encode(["late fee"] * 200)
        await asyncio.sleep(0.05)
        return len(endpoint.seen) - asked

    assert through(endpoint.url, use) < 50


def test_a_server_that_runs_another_model_is_not_ready(endpoint: EmbeddingServer) -> None:
    """A model exchanged under a running service would mix vectors: readiness says so."""

    async def use(served: ServedEmbedder) -> None:
        await served.ping()
        endpoint.model_id = "other/model"
        with pytest.raises(EmbeddingUnavailable, match="other/model"):
            await served.ping()
        endpoint.answer = lambda path: JSONResponse([[[0.5] * 8] * 5]) if path == "/embed_all" else None
        with pytest.raises(EmbeddingUnavailable, match="384 wide"):
            await served.encode(["late fee"])

    through(endpoint.url, use)
