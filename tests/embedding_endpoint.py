"""An embedding endpoint for tests, on a real socket: the model that ships behind text-embeddings-inference's wire."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tokenizers import Encoding

from indexes.model import Forward, HiddenStates, ModelFiles, Pooling, load_forward, model_files, padded, pooled
from ragopt.config import cache_dir
from tests.sockets import served

Answer: TypeAlias = "Callable[[str], Response | None]"
FORWARD_PATHS = ("/embed", "/embed_all", "/tokenize")


@dataclass
class EmbeddingServer:
    """What the endpoint runs and was asked: path, key and count of texts. `answer` may replace what a path says.

    turned: the numbers of each vector come in reverse, so that the model is not the one that ships.
    """

    files: ModelFiles
    forward: Forward
    url: str = ""
    model_id: str = "sentence-transformers/all-MiniLM-L6-v2"
    pooling: Pooling = "mean"
    prompt: str = ""
    turned: bool = False
    answer: Answer | None = None
    seen: list[tuple[str, str | None, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make both tokenizers: the one of `/tokenize` cuts nothing off."""
        self.cutting, self.whole = self.files.tokenizer(), self.files.tokenizer()
        self.whole.no_truncation()

    async def respond(self, request: Request) -> Response:
        """Return what text-embeddings-inference does."""
        path = request.url.path
        texts: list[str] = (await request.json())["inputs"] if request.method == "POST" else []
        self.seen.append((path, request.headers.get("authorization"), len(texts)))
        replaced = self.answer(path) if self.answer else None
        if replaced is not None:
            return replaced
        if path == "/info":
            limit = self.files.max_tokens
            return JSONResponse({"model_id": self.model_id, "model_sha": None, "max_input_length": limit})
        if not all(texts):
            return JSONResponse({"error": "`inputs` cannot be empty", "error_type": "Empty"}, 400)
        prompted = [self.prompt + text for text in texts]
        if path == "/tokenize":
            return JSONResponse([tokens_of(self.whole.encode(text), text) for text in prompted])
        vectors = self.vectors(prompted)
        if path == "/embed":
            return JSONResponse([pooled(rows, self.pooling).tolist() for rows in vectors])
        return JSONResponse([rows.tolist() for rows in vectors])

    def vectors(self, texts: Sequence[str]) -> list[HiddenStates]:
        """Return the vectors of each text's tokens, special ones included, cut where the model's limit is."""
        encodings = [self.cutting.encode(text) for text in texts]
        hidden = self.forward.hidden(*padded(encodings))[:, :, :: -1 if self.turned else 1]
        return [hidden[row, : len(encoding.ids)] for row, encoding in enumerate(encodings)]


def tokens_of(encoding: Encoding, text: str) -> list[dict[str, object]]:
    """Return the tokens as `/tokenize` does: places in bytes, none for special tokens."""
    sizes = np.concatenate([[0], np.cumsum([len(letter.encode()) for letter in text])]).astype(int).tolist()
    return [
        {"id": number, "text": token, "special": True, "start": None, "stop": None}
        if special
        else {"id": number, "text": token, "special": False, "start": sizes[start], "stop": sizes[stop]}
        for number, token, special, (start, stop) in zip(
            encoding.ids, encoding.tokens, encoding.special_tokens_mask, encoding.offsets, strict=True
        )
    ]


@contextmanager
def embedding_endpoint() -> Iterator[EmbeddingServer]:
    """Serve the model that ships on a free port of 127.0.0.1 for the block."""
    files = model_files("")
    server = EmbeddingServer(files, load_forward(files, cache_dir()))
    routes = [
        Route("/info", server.respond),
        *(Route(path, server.respond, methods=["POST"]) for path in FORWARD_PATHS),
    ]
    with served(Starlette(routes=routes)) as server.url:
        yield server
