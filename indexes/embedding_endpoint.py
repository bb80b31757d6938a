"""The wire of an embedding endpoint: text-embeddings-inference's, or what speaks it.

Source: text-embeddings-inference, `router/src/http/types.rs` and `core/src/tokenization.rs`: `/embed_all` gives the
vectors of all tokens, special ones included; `/tokenize` cuts nothing off and counts in bytes of UTF-8; both refuse an
empty text.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypeAlias, TypeVar

import httpx
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, SecretStr, TypeAdapter, ValidationError
from pydantic_core import from_json

from indexes.endpoint import checked_address, client_of, described, reason
from indexes.errors import EmbeddingUnavailable
from indexes.model import SETTING
from indexes.records import FloatMatrix, FloatVector

# 424: the model failed on this batch. 429: more requests are under way than the server takes.
TRY_AGAIN_STATUSES = frozenset({408, 424, 425, 429})
# A text without tokens, as the server takes it.
BLANK = " "

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one try may take, and the pauses before further ones."""

    timeout_s: float
    pauses_s: tuple[float, ...]


# Whoever asks whether the service is ready waits no longer than this.
PING = Patience(2.0, ())
QUESTION = Patience(5.0, (0.05,))
DOCUMENTS = Patience(60.0, (0.1, 0.4, 1.6, 6.4))


class Info(BaseModel):
    """Which model an endpoint runs. max_input_length: of tokens, special ones included."""

    model_id: str
    model_sha: str | None = None
    max_input_length: Annotated[int, Field(gt=2)]


class Token(BaseModel):
    """A token of a text. start, stop: in bytes of UTF-8, None for a special token."""

    id: Annotated[int, Field(ge=0)]
    special: bool
    start: int | None = None
    stop: int | None = None


Tokens: TypeAlias = list[Token]
INFO: TypeAdapter[Info] = TypeAdapter(Info)
TOKENS: TypeAdapter[list[Tokens]] = TypeAdapter(list[Tokens])


class EmbeddingEndpoint:
    """The calls to one endpoint. Each raises `EmbeddingUnavailable` if it fails after its last try."""

    def __init__(self, url: str, api_key: SecretStr | None = None) -> None:
        """Raise `ModelUnavailable` if `url` has no host, or holds a password."""
        address = checked_address(url, setting=SETTING)
        self.url = str(address).rstrip("/")
        self._client = client_of(address, api_key, timeout_s=QUESTION.timeout_s)

    async def info(self, patience: Patience) -> Info:
        """Return which model runs there."""
        return read(INFO, await self._call("/info", patience), self.url)

    async def pooled(self, text: str) -> FloatVector:
        """Return float32 [dim]: one vector of the whole text, as the server pools it."""
        body = {"inputs": [text or BLANK], "normalize": True, "truncate": True}
        return read_arrays(await self._call("/embed", QUESTION, body), 1, 1, self.url)[0]

    async def token_vectors(self, texts: Sequence[str], patience: Patience) -> list[FloatMatrix]:
        """Return float32 [n_tokens, dim] of each text, special tokens included."""
        body = {"inputs": [text or BLANK for text in texts], "truncate": True}
        content = await self._call("/embed_all", patience, body)
        return await asyncio.to_thread(read_arrays, content, len(texts), 2, self.url)

    async def tokens(self, texts: Sequence[str], patience: Patience) -> list[Tokens]:
        """Return the tokens of each text, special ones included; none is cut off."""
        content = await self._call("/tokenize", patience, {"inputs": [text or BLANK for text in texts]})
        found = await asyncio.to_thread(read, TOKENS, content, self.url)
        if len(found) != len(texts):
            raise EmbeddingUnavailable(f"{self.url}: the tokens of {len(found)} texts for {len(texts)}")
        return found

    async def close(self) -> None:
        """Close pooled connections."""
        await self._client.aclose()

    async def _call(self, path: str, patience: Patience, body: object = None) -> bytes:
        """Return what a path says, asked again after each pause while that can help."""
        # Escaped by hand: httpx cannot send a lone surrogate.
        content = json.dumps(body).encode() if body is not None else b""
        request = self._client.build_request(
            "POST" if content else "GET", self.url + path, content=content, timeout=patience.timeout_s
        )
        for pause in (*patience.pauses_s, None):
            failed = ""
            try:
                response = await self._client.send(request)
            except httpx.HTTPError as error:
                failed = described(error)
            else:
                if response.status_code == httpx.codes.OK:
                    return response.content
                failed = f"HTTP {response.status_code}"
                if response.status_code < 500 and response.status_code not in TRY_AGAIN_STATUSES:
                    break
            if pause is not None:
                await asyncio.sleep(pause)
        raise EmbeddingUnavailable(f"{self.url}{path}: {failed}")


def read(kind: TypeAdapter[T], content: bytes, url: str) -> T:
    """Return what a body says. Raises: `EmbeddingUnavailable` with what is wrong with it, without the body."""
    try:
        return kind.validate_json(content)
    except ValidationError as error:
        raise EmbeddingUnavailable(f"{url}: no answer of an embedding endpoint: {reason(error)}") from error


def read_arrays(content: bytes, count: int, ndim: int, url: str) -> list[NDArray[np.float32]]:
    """Return `count` finite float32 arrays of `ndim` dimensions, none of them empty. Raises: `EmbeddingUnavailable`."""
    try:
        found = [np.array(numbers, np.float32) for numbers in from_json(content)]
    except (TypeError, ValueError) as error:
        raise EmbeddingUnavailable(f"{url}: no answer of an embedding endpoint: not lists of numbers") from error
    sound = all(array.ndim == ndim and array.size and bool(np.isfinite(array).all()) for array in found)
    if len(found) != count or not sound:
        raise EmbeddingUnavailable(f"{url}: no answer of an embedding endpoint: not the vectors of {count} texts")
    return found
